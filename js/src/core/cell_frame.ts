import type { Palette } from "./theme";
import type { Viewport } from "./viewport";

/** Room around the cells inside their canvas, for what is drawn around one at the edge. */
export const EDGE = 4;

/** Where a cell is. Row 0 is at the bottom. */
export interface GridCell {
  row: number;
  column: number;
}

/** The box of a cell, where the upper left corner of what is seen is at (x, y). */
export function cellBox(view: Viewport, { row, column }: GridCell, x: number, y: number): DOMRect {
  return new DOMRect(
    x + (column - view.left) * view.cellWidth,
    y + view.extent.height - (row + 1 - view.bottom) * view.cellHeight,
    view.cellWidth,
    view.cellHeight,
  );
}

/** The cell at a point, from the upper left corner of what is seen; null outside the cells. */
export function cellUnder(view: Viewport, x: number, y: number): GridCell | null {
  const { extent } = view;
  const up = extent.height - y;
  if (x < 0 || up < 0 || x >= extent.width || up >= extent.height) return null;
  return {
    column: Math.min(extent.columns - 1, Math.floor(view.left + x / view.cellWidth)),
    row: Math.min(extent.rows - 1, Math.floor(view.bottom + up / view.cellHeight)),
  };
}

/** Draws a line around a cell, set off from what is around it. */
export function outline(
  context: CanvasRenderingContext2D,
  box: DOMRect,
  { weight, color, surface }: { weight: number; color: string; surface: string },
): void {
  const [width, height] = [Math.max(4, box.width), Math.max(4, box.height)];
  const [x, y] = [box.x + (box.width - width) / 2, box.y + (box.height - height) / 2];
  context.strokeStyle = surface;
  context.lineWidth = weight + 2;
  context.beginPath();
  context.roundRect(x - 0.5, y, width, height, 2);
  context.stroke();
  context.strokeStyle = color;
  context.lineWidth = weight;
  context.stroke();
}

/** Draws which part of all cells is seen, along the edges at which there are more. */
export function drawScroll(
  context: CanvasRenderingContext2D,
  view: Viewport,
  palette: Palette,
  x: number,
  y: number,
): void {
  const { width, height, columns, rows } = view.extent;
  const sideways = view.columnsSeen < columns;
  const upwards = view.rowsSeen < rows;
  context.fillStyle = palette.line;
  if (sideways) context.fillRect(x, y + height + 1, width, 2);
  if (upwards) context.fillRect(x + width + 1, y, 2, height);
  context.fillStyle = palette.muted;
  if (sideways)
    context.fillRect(x + (view.left / columns) * width, y + height + 1, (view.columnsSeen / columns) * width, 2);
  if (upwards) {
    const tall = (view.rowsSeen / rows) * height;
    context.fillRect(x + width + 1, y + height - (view.bottom / rows) * height - tall, 2, tall);
  }
}
