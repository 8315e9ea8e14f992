import { thinLabels } from "../../core/axes";
import { drawPixels } from "../../core/canvas";
import { type Bins, bins, strongest } from "../../core/pooling";
import { word } from "../../core/scales";
import type { Palette } from "../../core/theme";
import type { Viewport } from "../../core/viewport";
import { Status } from "./data";
import { isBeyond, type ShownGrid } from "./shown";

/*
 * What each mark means:
 *   filled         measured; the colour is the effect, towards the clean side or towards the corrupt side
 *   a dot          not run, because the value is certain; filled as well if that value is not 0
 *   paper, a line  not computed: still to come, or left out by a job that ended early
 *   a cross        run, but this metric has no effect there
 *   a cut corner   beyond the end of the colour scale
 * Cells too small for marks are painted as pixels, each with the strongest effect of the cells that it covers.
 */

/** What is needed to paint the cells of one site, on screen or into a picture. */
export interface CellsPicture {
  grid: ShownGrid;
  site: number;
  limit: number;
  palette: Palette;
  view: Viewport;
  /** Device pixels in a CSS pixel. */
  scale: number;
}

// Smaller cells than this have no room for gaps and marks, and are painted as pixels.
const ROOM_FOR_MARKS = 7;

/** The colour of an effect says towards which prompt it goes, so that orange is the clean side in both directions. */
export function colorIndex(palette: Palette, grid: ShownGrid, effect: number, limit: number): number {
  const towardsClean = grid.data.spec.direction === "denoising" ? effect : -effect;
  return palette.scale.index(towardsClean, limit);
}

export function paintCells(context: CanvasRenderingContext2D, picture: CellsPicture, x: number, y: number): void {
  const { view, scale } = picture;
  const { extent } = view;
  const columns = bins(Math.round(extent.width * scale), view.left, view.cellWidth * scale, extent.columns);
  const rows = bins(Math.round(extent.height * scale), view.bottom, view.cellHeight * scale, extent.rows);
  if (Math.min(view.cellWidth, view.cellHeight) >= ROOM_FOR_MARKS) paintLarge(context, picture, columns, rows, x, y);
  else paintSmall(context, picture, columns, rows, x, y);
}

function paintLarge(
  context: CanvasRenderingContext2D,
  picture: CellsPicture,
  columns: Bins,
  rows: Bins,
  x: number,
  y: number,
): void {
  const { grid, site, limit, palette, view, scale } = picture;
  const gap = Math.min(view.cellWidth, view.cellHeight) >= 11 ? 1 : 1 / scale;
  const lower = y + view.extent.height;
  for (let r = 0; r < rows.count; r++) {
    for (let c = 0; c < columns.count; c++) {
      const at = grid.at({ site, layer: rows.cellFrom[r], pos: columns.cellFrom[c] });
      const left = x + columns.pixelFrom[c] / scale;
      const box = {
        x: left,
        y: lower - rows.pixelTo[r] / scale + gap,
        width: (columns.pixelTo[c] - columns.pixelFrom[c]) / scale - gap,
        height: (rows.pixelTo[r] - rows.pixelFrom[r]) / scale - gap,
      };
      const effect = grid.effect[at];
      const status = grid.status[at];
      if (status === Status.leftOut) continue;
      if (status === Status.pending) paintPaper(context, palette, box);
      else if (Number.isNaN(effect)) paintNothing(context, palette, box);
      else {
        // What is exactly 0 without a run has no fill, so that it does not look measured.
        if (status === Status.computed || Math.abs(effect) > 1e-6) {
          context.fillStyle = palette.scale.css[colorIndex(palette, grid, effect, limit)];
          roundRect(context, box, 1.5);
        }
        if (status === Status.known) paintDot(context, palette, box);
        if (isBeyond(effect, limit)) paintNotch(context, palette, box);
      }
    }
  }
}

interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

function roundRect(context: CanvasRenderingContext2D, box: Box, radius: number): void {
  context.beginPath();
  context.roundRect(box.x, box.y, box.width, box.height, radius);
  context.fill();
}

/** Still to come: an outline with one stroke across, like a form that is not filled in. */
function paintPaper(context: CanvasRenderingContext2D, palette: Palette, { x, y, width, height }: Box): void {
  context.strokeStyle = palette.line;
  context.lineWidth = 1;
  context.beginPath();
  context.roundRect(x + 0.5, y + 0.5, width - 1, height - 1, 1.5);
  const reach = Math.min(width, height) / 2 - 2.5;
  if (reach > 1) {
    context.moveTo(x + width / 2 - reach, y + height / 2 + reach);
    context.lineTo(x + width / 2 + reach, y + height / 2 - reach);
  }
  context.stroke();
}

function paintDot(context: CanvasRenderingContext2D, palette: Palette, { x, y, width, height }: Box): void {
  context.fillStyle = palette.faint;
  context.beginPath();
  context.arc(x + width / 2, y + height / 2, 0.9, 0, 2 * Math.PI);
  context.fill();
}

/** Run, but without a number: a small cross. */
function paintNothing(context: CanvasRenderingContext2D, palette: Palette, { x, y, width, height }: Box): void {
  const reach = Math.min(width, height, 12) / 4;
  const [cx, cy] = [x + width / 2, y + height / 2];
  context.strokeStyle = palette.muted;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(cx - reach, cy - reach);
  context.lineTo(cx + reach, cy + reach);
  context.moveTo(cx - reach, cy + reach);
  context.lineTo(cx + reach, cy - reach);
  context.stroke();
}

function paintNotch(context: CanvasRenderingContext2D, palette: Palette, { x, y, width, height }: Box): void {
  const size = Math.min(width, height) * 0.42;
  context.fillStyle = palette.bg;
  context.beginPath();
  context.moveTo(x + width - size, y - 0.5);
  context.lineTo(x + width + 0.5, y - 0.5);
  context.lineTo(x + width + 0.5, y + size);
  context.fill();
}

function paintSmall(
  context: CanvasRenderingContext2D,
  picture: CellsPicture,
  columns: Bins,
  rows: Bins,
  x: number,
  y: number,
): void {
  const { grid, site, limit, palette, view, scale } = picture;
  const { positions, layers } = grid.data;
  const width = Math.round(view.extent.width * scale);
  const height = Math.round(view.extent.height * scale);
  const words = new Uint32Array(width * height);
  const [line, nothing] = [word(palette.line), word(palette.faint)];
  const offset = site * layers * positions;
  for (let r = 0; r < rows.count; r++) {
    const rowRange: [number, number] = [rows.cellFrom[r], rows.cellTo[r]];
    for (let c = 0; c < columns.count; c++) {
      const at = strongest(grid.effect, offset, positions, rowRange, [columns.cellFrom[c], columns.cellTo[c]]);
      const first = grid.at({ site, layer: rows.cellFrom[r], pos: columns.cellFrom[c] });
      let color = 0;
      let pattern: "plain" | "hatched" | "dotted" = "plain";
      if (at >= 0) {
        if (grid.status[at] !== Status.known || Math.abs(grid.effect[at]) > 1e-6) {
          color = palette.scale.words[colorIndex(palette, grid, grid.effect[at], limit)];
        } else {
          color = nothing;
          pattern = "dotted";
        }
      } else if (grid.status[first] === Status.pending) {
        color = line;
        pattern = "hatched";
      } else if (grid.status[first] === Status.leftOut) continue;
      else color = nothing;
      for (let py = height - rows.pixelTo[r]; py < height - rows.pixelFrom[r]; py++) {
        for (let px = columns.pixelFrom[c]; px < columns.pixelTo[c]; px++) {
          if (pattern === "plain" || onPattern(pattern, px, py)) words[py * width + px] = color;
        }
      }
    }
  }
  drawPixels(context, words, { width, height }, { x, y, width: view.extent.width, height: view.extent.height });
}

function onPattern(pattern: "hatched" | "dotted", x: number, y: number): boolean {
  return pattern === "hatched" ? (x + y) % 6 === 0 : x % 12 === 6 && y % 12 === 6;
}

/** Layer numbers, right-aligned before the plot. */
export function paintLayers(
  context: CanvasRenderingContext2D,
  { view, palette }: { view: Viewport; palette: Palette },
  layers: readonly number[],
  x: number,
  y: number,
  font: string,
): void {
  const from = Math.ceil(view.bottom - 0.5);
  const to = Math.floor(view.bottom + view.rowsSeen + 0.5);
  const gap = 15 / view.cellHeight;
  const ticks = thinLabels(layers.length, gap, {
    from: Math.max(0, from),
    to: Math.min(layers.length, to),
    last: true,
  });
  context.font = font;
  context.fillStyle = palette.muted;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const tick of ticks) {
    context.fillText(
      String(layers[tick]),
      x - 7,
      y + view.extent.height - (tick + 0.5 - view.bottom) * view.cellHeight + 0.5,
    );
  }
}
