import { drawPixels } from "../../core/canvas";
import { bins, strongest } from "../../core/pooling";
import { DivergingScale, word } from "../../core/scales";
import type { Palette } from "../../core/theme";
import type { Viewport } from "../../core/viewport";
import { isEstimate, Status } from "./data";
import { isBeyond, type ShownGrid } from "./shown";

/*
 * What each mark means:
 *   filled         measured; the colour is the effect, towards the first side (warm) or towards the second (cool)
 *   striped        estimated: the colour of the estimate, under stripes until a run has taken its place
 *   a dot          not run, because the value is certain; filled as well if that value is not 0
 *   paper, a line  not computed: still to come, or left out by a job that ended early
 *   a cross        run, but this metric has no effect there
 *   a cut corner   beyond the end of the colour scale
 * Cells too small for marks are painted as pixels, each with the strongest effect of the cells that it covers.
 */

/** What is needed to paint the cells of one panel, on screen or into a picture. */
export interface CellsPicture {
  grid: ShownGrid;
  panel: number;
  limit: number;
  palette: Palette;
  view: Viewport;
  /** Device pixels in a CSS pixel. */
  scale: number;
}

type Mark = "paper" | "cross" | "dot" | null;

/** How a cell looks, at any size. */
interface Look {
  /** Index into the colour scale; null for a cell without fill. */
  fill: number | null;
  striped: boolean;
  mark: Mark;
  beyond: boolean;
}

/** Stretches of device pixels from the lower left corner: [from, to) of columns and of rows. */
interface Stretch {
  columns: [number, number];
  rows: [number, number];
}

// Smaller cells than this have no room for gaps and marks, and are painted as pixels.
const ROOM_FOR_MARKS = 7;
const ROOM_FOR_GAPS = 11;
const STRIPES = 4;

/** The colour of an effect says towards which side it goes, so that warm is the first side whichever is the host. */
export function colorIndex(palette: Palette, grid: ShownGrid, effect: number, limit: number): number {
  return palette.scale.index(grid.data.spec.story.host === 1 ? effect : -effect, limit);
}

export function paintCells(context: CanvasRenderingContext2D, picture: CellsPicture, x: number, y: number): void {
  const { grid, panel, view, scale } = picture;
  const { extent } = view;
  const columns = bins(Math.round(extent.width * scale), view.left, view.cellWidth * scale, extent.columns);
  const rows = bins(Math.round(extent.height * scale), view.bottom, view.cellHeight * scale, extent.rows);
  const large = Math.min(view.cellWidth, view.cellHeight) >= ROOM_FOR_MARKS;
  const paint = large ? paintBoxes(context, picture, x, y) : paintPixels(context, picture, x, y);
  const offset = grid.at({ panel, row: 0, column: 0 });
  for (let r = 0; r < rows.count; r++) {
    for (let c = 0; c < columns.count; c++) {
      const [row, column] = [rows.cellFrom[r], columns.cellFrom[c]];
      const cells: [number, number][] = [
        [row, rows.cellTo[r]],
        [column, columns.cellTo[c]],
      ];
      const at = strongest(grid.effect, offset, grid.data.columns, cells[0], cells[1]);
      const look = lookOf(picture, at >= 0 ? at : grid.at({ panel, row, column }));
      if (look)
        paint.cell(look, {
          columns: [columns.pixelFrom[c], columns.pixelTo[c]],
          rows: [rows.pixelFrom[r], rows.pixelTo[r]],
        });
    }
  }
  paint.finish();
  if (!large) partLayers(context, picture, x, y);
}

/** A hairline between the heads of one layer and those of the next, where there are no gaps between cells. */
function partLayers(
  context: CanvasRenderingContext2D,
  { grid, panel, view, scale }: CellsPicture,
  x: number,
  y: number,
): void {
  const { lines } = grid.data.spec.panels[panel];
  const { width, height } = view.extent;
  if (view.cellHeight < 3) return;
  lines.forEach(({ layer, head }, row) => {
    const edge = height - (row - view.bottom) * view.cellHeight;
    if (head === null || row === 0 || lines[row - 1].layer === layer || edge < 0 || edge > height) return;
    context.clearRect(x, y + Math.round(edge * scale) / scale, width, 1 / scale);
  });
}

function lookOf({ grid, limit, palette }: CellsPicture, at: number): Look | null {
  const [status, effect] = [grid.status[at], grid.effect[at]];
  const without = (mark: Mark): Look => ({ fill: null, striped: false, mark, beyond: false });
  if (status === Status.leftOut) return null;
  if (status === Status.pending) return without("paper");
  if (Number.isNaN(effect)) return without("cross");
  const known = status === Status.known;
  // What is exactly 0 without a run has no fill, so that it does not look measured.
  if (known && Math.abs(effect) <= 1e-6) return without("dot");
  return {
    fill: colorIndex(palette, grid, effect, limit),
    striped: isEstimate(status),
    mark: known ? "dot" : null,
    beyond: isBeyond(effect, limit),
  };
}

/** Stripes are pale on a strong colour and dark on a pale one. */
function stripeColor(palette: Palette, fill: number): string {
  return Math.abs(fill / DivergingScale.HALF - 1) > 0.3 ? palette.bg : palette.faint;
}

interface Painter {
  cell(look: Look, stretch: Stretch): void;
  finish(): void;
}

interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

function paintBoxes(
  context: CanvasRenderingContext2D,
  { palette, view, scale }: CellsPicture,
  x: number,
  y: number,
): Painter {
  const gap = Math.min(view.cellWidth, view.cellHeight) >= ROOM_FOR_GAPS ? 1 : 1 / scale;
  const lower = y + view.extent.height;
  return {
    cell({ fill, striped, mark, beyond }, { columns, rows }) {
      const box = {
        x: x + columns[0] / scale,
        y: lower - rows[1] / scale + gap,
        width: (columns[1] - columns[0]) / scale - gap,
        height: (rows[1] - rows[0]) / scale - gap,
      };
      if (fill !== null) {
        context.fillStyle = palette.scale.css[fill];
        context.beginPath();
        context.roundRect(box.x, box.y, box.width, box.height, 1.5);
        context.fill();
        if (striped) paintStripes(context, stripeColor(palette, fill), box);
      }
      if (mark) MARKS[mark](context, palette, box);
      if (beyond) paintNotch(context, palette, box);
    },
    finish() {},
  };
}

/** Slanted stripes that run on from cell to cell, so that a field of estimates is one calm texture. */
function paintStripes(context: CanvasRenderingContext2D, color: string, { x, y, width, height }: Box): void {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.strokeStyle = color;
  context.lineWidth = 1.1;
  context.beginPath();
  const step = STRIPES * Math.SQRT2;
  for (let sum = Math.ceil((x + y) / step) * step; sum < x + y + width + height; sum += step) {
    context.moveTo(sum - y + 1, y - 1);
    context.lineTo(sum - y - height - 1, y + height + 1);
  }
  context.stroke();
  context.restore();
}

const MARKS = { paper: paintPaper, cross: paintCross, dot: paintDot };

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
function paintCross(context: CanvasRenderingContext2D, palette: Palette, { x, y, width, height }: Box): void {
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

function paintPixels(
  context: CanvasRenderingContext2D,
  { palette, view, scale }: CellsPicture,
  x: number,
  y: number,
): Painter {
  const width = Math.round(view.extent.width * scale);
  const height = Math.round(view.extent.height * scale);
  const words = new Uint32Array(width * height);
  const gaps = [view.cellWidth, view.cellHeight].map((size) => (size >= ROOM_FOR_GAPS ? Math.round(scale) : 0));
  const period = Math.round(STRIPES * scale);
  return {
    cell({ fill, striped, mark }, { columns, rows }) {
      const color = fill === null ? word(mark === "paper" ? palette.line : palette.faint) : palette.scale.words[fill];
      const stripe = striped ? word(stripeColor(palette, fill ?? 0)) : 0;
      for (let py = height - rows[1] + gaps[1]; py < height - rows[0]; py++) {
        for (let px = columns[0]; px < columns[1] - gaps[0]; px++) {
          if (fill !== null) words[py * width + px] = striped && (px + py) % period < scale ? stripe : color;
          else if (mark === "cross" || onPattern(mark, px, py)) words[py * width + px] = color;
        }
      }
    },
    finish() {
      drawPixels(context, words, { width, height }, { x, y, width: view.extent.width, height: view.extent.height });
    },
  };
}

function onPattern(mark: Mark, x: number, y: number): boolean {
  return mark === "paper" ? (x + y) % 6 === 0 : x % 12 === 6 && y % 12 === 6;
}
