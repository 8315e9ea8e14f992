import { EDGE } from "../../core/cell_frame";
import type { Extent } from "../../core/viewport";

/** What of a panel decides how much room it takes. */
export interface Shape {
  rows: number;
  columns: number;
  /** Whether rows are heads, of which there are many more than layers. */
  heads: boolean;
  /** What the rows are: the same text for panels that have the same ones. */
  lines: string;
  /** Whether labels below may be slanted, so that the first one reaches to the left of the plot. */
  slanted: boolean;
  /** Room for the labels of its rows. */
  labels: number;
}

/** Where a panel goes and how large its cells are, in CSS pixels. */
export interface PanelBox {
  extent: Extent;
  /** Room left of the plot: labels of rows, or where the first slanted labels reach. */
  gutter: number;
  /** Width of the panel with all that is around its plot. */
  width: number;
  /** Whether its rows are labelled; a panel beside one with the same rows does without. */
  numbered: boolean;
}

export interface Layout {
  /** The panels that stand side by side, line by line. */
  lines: number[][];
  panels: PanelBox[];
}

const GUTTER = 36;
const NARROW_GUTTER = 22;
const WIDEST = 46;
const LEAST = 13;
/** Panels that are wider than this in cells that can be hit are pooled instead of growing. */
const DENSE = 620;
/** Room for a panel's name. */
const NAME = 108;

function cellHeight(width: number, { rows, heads }: Shape): number {
  const inProportion = Math.min(Math.max(width * 0.62, 13), 22, (heads ? 720 : 460) / rows);
  // Few layers get taller rows, so that a shallow model still makes a picture; many keep enough to be seen.
  return Math.max(inProportion, Math.min(28, 140 / rows), 240 / Math.max(rows, 60));
}

const sameSize = (a: Shape, b: Shape) => a.rows === b.rows && a.columns === b.columns && a.heads === b.heads;
const isDense = ({ columns }: Shape) => columns * LEAST > DENSE;

/** Panels stand side by side when each keeps cells that can be hit, and are stacked when they would not. */
export function layoutPanels(width: number, shapes: readonly Shape[], scale: number): Layout {
  const first = Math.max(GUTTER, ...shapes.map(({ labels }) => labels));
  const lines = arrange(width, shapes, first);
  const numbered = shapes.map((shape, panel) => {
    const before = lines.some(([start]) => start === panel) ? null : shapes[panel - 1];
    return before === null || before.lines !== shape.lines;
  });
  const gutters = shapes.map(({ slanted }, panel) => (numbered[panel] ? first : slanted ? GUTTER : NARROW_GUTTER));
  const cells = cellWidths(width, shapes, lines, gutters);
  const panels = shapes.map((shape, panel) => {
    const exact = cells[panel];
    // Whole device pixels keep large cells alike; small ones are pooled anyway.
    const cell = exact >= 5 ? Math.floor(exact * scale) / scale : exact;
    const height = cellHeight(exact, shape);
    const row = height >= 5 ? Math.floor(height * scale) / scale : height;
    const { rows, columns } = shape;
    const extent = { columns, rows, width: cell * columns, height: Math.round(row * rows * scale) / scale };
    const gutter = gutters[panel];
    const alone = lines.some((line) => line.length === 1 && line[0] === panel);
    const room = Math.max(extent.width, Math.min(alone ? 3 * NAME : NAME, width - gutter - EDGE));
    return { extent, gutter, numbered: numbered[panel], width: gutter + room + EDGE };
  });
  return { lines, panels };
}

/** Which panels share a line. */
function arrange(width: number, shapes: readonly Shape[], gutter: number): number[][] {
  const all = [...shapes.keys()];
  const least = ({ columns }: Shape) =>
    Math.min(Math.max(columns * LEAST, columns === 1 ? NAME : 150), DENSE) + GUTTER + EDGE;
  if (shapes.every((shape) => sameSize(shape, shapes[0]))) {
    const count = shapes.length;
    const fitting = Math.max(1, Math.min(count, Math.floor((width - gutter + GUTTER) / least(shapes[0]))));
    // Rows as even as can be; but two above one looks unfinished, and three in a column does not.
    const columns = count === 3 && fitting === 2 ? 1 : Math.ceil(count / Math.ceil(count / fitting));
    return Array.from({ length: Math.ceil(count / columns) }, (_, line) =>
      all.slice(line * columns, (line + 1) * columns),
    );
  }
  const lines: number[][] = [];
  let room = 0;
  for (const panel of all) {
    const shape = shapes[panel];
    const line = lines.at(-1);
    const alike = line?.every((other) => sameSize(shapes[other], shape) || !(isDense(shape) || isDense(shapes[other])));
    if (line && alike && room >= least(shape)) line.push(panel);
    else {
      lines.push([panel]);
      room = width - gutter + GUTTER;
    }
    room -= least(shape);
  }
  return lines;
}

/** The width of each panel's cells: the same for all where all keep cells that can be hit, else for each size. */
function cellWidths(
  width: number,
  shapes: readonly Shape[],
  lines: readonly number[][],
  gutters: readonly number[],
): number[] {
  const own = shapes.map(() => WIDEST);
  for (const line of lines) {
    const room = line.reduce((left, panel) => left - gutters[panel] - EDGE, width);
    const cell = shareOut(
      room,
      line.map((panel) => shapes[panel].columns),
    );
    for (const panel of line) own[panel] = cell;
  }
  const common = Math.min(WIDEST, ...own.filter((_, panel) => !isDense(shapes[panel])));
  return shapes.map((shape) => {
    if (!isDense(shape) && common >= LEAST) return common;
    return Math.min(...own.filter((_width, other) => sameSize(shapes[other], shape)));
  });
}

/** The widest cell with which panels of so many columns share a line; narrow ones still have room for their name. */
function shareOut(room: number, counts: readonly number[]): number {
  let wide = counts;
  let cell = 0;
  for (const _ of counts) {
    const names = counts.length > 1 ? NAME * (counts.length - wide.length) : 0;
    cell = Math.max(60, room - names) / wide.reduce((sum, count) => sum + count, 0);
    const still = wide.filter((count) => counts.length === 1 || count * Math.min(WIDEST, cell) >= NAME);
    if (still.length === wide.length || still.length === 0) break;
    wide = still;
  }
  return Math.min(WIDEST, cell);
}
