import { fitText, thinLabels } from "./axes";
import { isolated } from "./labels";
import type { PatternSource, Tile } from "./pattern_source";
import type { Fonts } from "./picture";
import { type DivergingScale, word } from "./scales";
import type { SquareView } from "./square_view";
import type { Palette } from "./theme";

/** How numbers become colours: from 0 to the limit, or from −limit to it. */
export interface PatternLook {
  palette: Palette;
  limit: number;
}

/** Where the square goes, and how much room its labels have to the left of it and below. */
export interface PatternBox {
  x: number;
  y: number;
  side: number;
}

const LABEL = 12;
const LONGEST = 76;
const SLANT = -Math.PI / 3;
/** Cells at least so wide are set apart by a line. */
const APART = 9;

interface Painted {
  scale: DivergingScale;
  limit: number;
  canvas: HTMLCanvasElement;
}

const painted = new WeakMap<Float32Array, Painted>();

/** A tile as pixels; kept for as long as its numbers are, and drawn anew for other colours. */
function pixels({ values, rows, columns }: Tile, { palette, limit }: PatternLook): HTMLCanvasElement | null {
  const { scale } = palette;
  const before = painted.get(values);
  if (before && before.scale === scale && before.limit === limit) return before.canvas;
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  if (!context) return null;
  const none = word(palette.faint);
  const words = new Uint32Array(values.length);
  for (let at = 0; at < values.length; at++) {
    words[at] = Number.isNaN(values[at]) ? none : scale.words[scale.index(values[at], limit)];
  }
  context.putImageData(new ImageData(new Uint8ClampedArray(words.buffer as ArrayBuffer), columns, rows), 0, 0);
  painted.set(values, { scale, limit, canvas });
  return canvas;
}

/** Draws a small picture of a pattern. Its numbers must not be more than the pixels. */
export function paintTile(
  context: CanvasRenderingContext2D,
  tile: Tile,
  look: PatternLook,
  box: { x: number; y: number; width: number; height: number },
): void {
  const image = pixels(tile, look);
  if (!image) return;
  context.imageSmoothingEnabled = false;
  context.drawImage(image, box.x, box.y, box.width, box.height);
}

/** The level whose numbers are no smaller than a pixel, so that none is left out in drawing. */
export function levelFor(source: PatternSource, cell: number): number {
  let level = 0;
  while (level < source.levels - 1 && cell * 2 ** level < 0.999) level++;
  return level;
}

/** Draws the numbers in sight. Cells of the view are numbers of level 0. */
export function paintNumbers(
  context: CanvasRenderingContext2D,
  source: PatternSource,
  look: PatternLook,
  view: SquareView,
  box: PatternBox,
  scale: number,
): void {
  const { cell, left, top, seen } = view;
  context.save();
  context.beginPath();
  context.rect(box.x, box.y, box.side, box.side);
  context.clip();
  context.fillStyle = look.palette.line;
  context.fillRect(box.x, box.y, box.side, box.side);
  const place = (row: number, column: number, tall: number, wide: number) => ({
    x: box.x + (column - left) * cell,
    y: box.y + (row - top) * cell,
    width: wide * cell,
    height: tall * cell,
  });
  const level = levelFor(source, cell * scale);
  const step = 2 ** level;
  const wide = source.size * step;
  const draw = (at: Tile, row: number, column: number) =>
    paintTile(context, at, look, place(row * wide, column * wide, at.rows * step, at.columns * step));
  const tiles: [Tile | null, number, number][] = [];
  for (let row = Math.floor(top / wide); row * wide < Math.min(source.across, top + seen); row++) {
    for (let column = Math.floor(left / wide); column * wide < Math.min(source.across, left + seen); column++)
      tiles.push([source.tile(level, row, column), row, column]);
  }
  const { coarse } = source;
  if (coarse && tiles.some(([tile]) => tile === null))
    paintTile(context, coarse, look, place(0, 0, source.across, source.across));
  for (const [tile, row, column] of tiles) if (tile) draw(tile, row, column);
  if (cell >= APART) {
    context.fillStyle = look.palette.bg;
    for (let line = Math.ceil(left); line <= left + seen; line++)
      context.fillRect(Math.round(box.x + (line - left) * cell) - 0.5, box.y, 1, box.side);
    for (let line = Math.ceil(top); line <= top + seen; line++)
      context.fillRect(box.x, Math.round(box.y + (line - top) * cell) - 0.5, box.side, 1);
  }
  context.restore();
}

/** Draws tokens along both axes: all that have room, and whichever are set off before others. */
export function paintAxes(
  context: CanvasRenderingContext2D,
  labels: readonly string[],
  block: number,
  view: SquareView,
  box: PatternBox,
  { palette, fonts }: { palette: Palette; fonts: Fonts },
  { query, key }: { query: number | null; key: number | null },
): void {
  const { cell, left, top, seen, across } = view;
  const crowded = cell < LABEL;
  const name = (number: number, own: boolean) => {
    const token = number * block;
    return crowded && !own ? String(token) : isolated(labels[token]);
  };
  const chosen = (first: number, own: number | null, room: number) =>
    thinLabels(across, room / cell, {
      first: own === null ? [] : [Math.floor(own / block)],
      from: Math.ceil(first - 0.5),
      to: Math.min(across, Math.floor(first + seen + 0.5)),
    });
  const write = (number: number, own: number | null, align: CanvasTextAlign, x: number, y: number) => {
    const marked = own !== null && number === Math.floor(own / block);
    context.font = `${marked ? "bold " : ""}11px ${fonts.mono}`;
    context.fillStyle = marked ? palette.fg : palette.muted;
    context.textAlign = align;
    context.fillText(
      fitText(name(number, marked), LONGEST, (text) => context.measureText(text).width),
      x,
      y,
    );
  };
  context.textBaseline = "middle";
  context.direction = "ltr";
  for (const number of chosen(top, query, LABEL)) {
    write(number, query, "right", box.x - 6, box.y + (number + 0.5 - top) * cell);
  }
  context.font = `11px ${fonts.mono}`;
  const beside = crowded ? context.measureText(String(across * block)).width + 8 : LABEL;
  for (const number of chosen(left, key, beside)) {
    context.save();
    context.translate(box.x + (number + 0.5 - left) * cell + 1, box.y + box.side + 5);
    const flat = crowded && number !== Math.floor((key ?? -1) / block);
    if (!flat) context.rotate(SLANT);
    write(number, key, flat ? "center" : "right", 0, flat ? 6 : 0);
    context.restore();
  }
}

/** The room that labels take to the left of the square, and below it. */
export function labelRoom(
  labels: readonly string[],
  measure: (text: string) => number,
): { left: number; below: number } {
  let widest = 24;
  for (const label of labels) widest = Math.max(widest, Math.min(LONGEST, measure(label)));
  return { left: Math.ceil(widest) + 8, below: Math.ceil(widest * Math.sin(-SLANT)) + 14 };
}
