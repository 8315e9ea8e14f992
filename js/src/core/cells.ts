import { fitText } from "./axes";
import { drawPixels } from "./canvas";
import { isolated } from "./labels";
import { bins } from "./pooling";
import { DivergingScale, word } from "./scales";
import { shadesOf } from "./shading";
import type { Palette } from "./theme";
import type { Viewport } from "./viewport";

/** What is drawn on a cell beside its colour: a form not filled in, no number, a dot, or a bar under what is right. */
export type Mark = "paper" | "cross" | "dot" | "hit" | null;

/** How a cell looks, at any size. */
export interface CellLook {
  /** Index into the palette's colour scale; null for a cell without fill. */
  fill: number | null;
  mark: Mark;
  /** Whether its value lies beyond the colour scale. */
  beyond: boolean;
  striped?: boolean;
  /** What stands in it where there is room. */
  text?: string;
}

/** The cells of a plot. */
export interface Cells {
  /** The number of the one that is shown of those that share a pixel: [from, to) of rows and of columns. */
  pick(rows: [number, number], columns: [number, number]): number;
  /** How a cell looks; null for one that is left out. */
  look(at: number): CellLook | null;
  /** Whether a hairline parts a row from the one below. */
  parted?(row: number): boolean;
}

/** What is needed to paint cells, on screen or into a picture. */
export interface CellsPicture {
  cells: Cells;
  palette: Palette;
  view: Viewport;
  /** Device pixels in a CSS pixel. */
  scale: number;
  /** Font of what stands in cells. */
  font?: string;
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
/** Cells of this size have room for text. */
export const ROOM_FOR_TEXT = { width: 24, height: 12 };

/** Paints cells. Those too small for marks are painted as pixels. */
export function paintCells(context: CanvasRenderingContext2D, picture: CellsPicture, x: number, y: number): void {
  const { cells, view, scale } = picture;
  const { extent } = view;
  const columns = bins(Math.round(extent.width * scale), view.left, view.cellWidth * scale, extent.columns);
  const rows = bins(Math.round(extent.height * scale), view.bottom, view.cellHeight * scale, extent.rows);
  const large = Math.min(view.cellWidth, view.cellHeight) >= ROOM_FOR_MARKS;
  const paint = large ? paintBoxes(context, picture, x, y) : paintPixels(context, picture, x, y);
  for (let r = 0; r < rows.count; r++) {
    for (let c = 0; c < columns.count; c++) {
      const at = cells.pick([rows.cellFrom[r], rows.cellTo[r]], [columns.cellFrom[c], columns.cellTo[c]]);
      const look = cells.look(at);
      if (look)
        paint.cell(look, {
          columns: [columns.pixelFrom[c], columns.pixelTo[c]],
          rows: [rows.pixelFrom[r], rows.pixelTo[r]],
        });
    }
  }
  paint.finish();
  if (!large) partRows(context, picture, x, y);
}

/** A hairline between groups of rows, where there are no gaps between cells. */
function partRows(context: CanvasRenderingContext2D, { cells, view, scale }: CellsPicture, x: number, y: number): void {
  const { width, height, rows } = view.extent;
  if (!cells.parted || view.cellHeight < 3) return;
  for (let row = 1; row < rows; row++) {
    const edge = height - (row - view.bottom) * view.cellHeight;
    if (edge >= 0 && edge <= height && cells.parted(row))
      context.clearRect(x, y + Math.round(edge * scale) / scale, width, 1 / scale);
  }
}

/** Stripes are pale on a strong colour and dark on a pale one. */
function stripeColor(palette: Palette, fill: number): string {
  return Math.abs(fill / DivergingScale.HALF - 1) > 0.3 ? palette.bg : palette.faint;
}

interface Painter {
  cell(look: CellLook, stretch: Stretch): void;
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
  { palette, view, scale, font }: CellsPicture,
  x: number,
  y: number,
): Painter {
  const write =
    font && view.cellWidth >= ROOM_FOR_TEXT.width && view.cellHeight >= ROOM_FOR_TEXT.height
      ? textPainter(context, palette, font)
      : null;
  const gap = Math.min(view.cellWidth, view.cellHeight) >= ROOM_FOR_GAPS ? 1 : 1 / scale;
  const lower = y + view.extent.height;
  return {
    cell({ fill, striped, mark, beyond, text }, { columns, rows }) {
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
      if (mark) MARKS[mark](context, palette, box, fill === null ? palette.fg : shadesOf(palette.scale)[fill].ink);
      if (text) write?.(text, fill, box, mark === "hit");
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

/** Writes in cells, cutting what has no room; what is set off is bold. */
function textPainter(context: CanvasRenderingContext2D, palette: Palette, font: string) {
  const inks = shadesOf(palette.scale);
  const cut = new Map<string, string>();
  context.textBaseline = "middle";
  context.direction = "ltr";
  return (text: string, fill: number | null, box: Box, strong: boolean) => {
    const room = box.width - 4;
    const key = `${Math.floor(room)} ${strong} ${text}`;
    context.font = strong ? `bold ${font}` : font;
    const fitted = cut.get(key) ?? fitText(text, room, (part) => context.measureText(part).width);
    cut.set(key, fitted);
    context.textAlign = "center";
    context.fillStyle = fill === null ? palette.fg : inks[fill].ink;
    context.fillText(isolated(fitted), box.x + box.width / 2, box.y + box.height / 2 + 0.5);
  };
}

const MARKS = { paper: paintPaper, cross: paintCross, dot: paintDot, hit: paintHit };

/** What came true: a bar along the lower edge, in the colour of text. */
function paintHit(context: CanvasRenderingContext2D, _: Palette, { x, y, width, height }: Box, ink: string): void {
  const [inset, thick] = [Math.min(3, width / 5), height >= 12 ? 1.5 : 1];
  context.fillStyle = ink;
  context.fillRect(x + inset, y + height - thick - 1, width - 2 * inset, thick);
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
