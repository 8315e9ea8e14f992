import type { Palette } from "./theme";

const STEP = 8;

/** What is still to come where a cell is large: slanted lines, so that it looks neither measured nor like 0. */
export function hatch(
  context: CanvasRenderingContext2D,
  { faint }: Palette,
  { x, y, width, height }: { x: number; y: number; width: number; height: number },
): void {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.strokeStyle = faint;
  context.lineWidth = 1;
  context.setLineDash([]);
  context.beginPath();
  for (let at = -height; at < width; at += STEP) {
    context.moveTo(x + at, y + height);
    context.lineTo(x + at + height, y);
  }
  context.stroke();
  context.restore();
}
