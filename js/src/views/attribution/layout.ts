import type { AttributionSpec } from "../../protocol/attribution";

const TALLEST = 440;
const LABELS = 22;
const AXIS = 24;
const GUTTER = 34;
const GAP = 10;
const NARROWEST = 3;
/** A head whose cell is as wide as this is easy to hit. */
const EASY = 8;
const TALLEST_ROW = 40;
const WIDEST = 46;
/** Width of a cell beside those of heads: MLP and biases. */
const BESIDE = [18, 46] as const;
const BETWEEN = 30;
/** In narrower room the line of the sum goes below the map. */
const TWO_COLUMNS = 560;

/** One component's cell, in pixels. */
export interface Cell {
  component: number;
  /** 0 is the embedding at the foot, then come the layers, and at the top the last biases. */
  row: number;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Column {
  text: string;
  /** Words for `text`. */
  title: string;
  x: number;
  width: number;
}

export interface Layout {
  width: number;
  height: number;
  rows: number;
  rowHeight: number;
  cells: Cell[];
  columns: Column[];
  /** Where cells lie. */
  map: { x: number; y: number; width: number; height: number };
  /** Where the sum is drawn; its rows are as tall as those of the map. */
  sum: { x: number; y: number; width: number; height: number };
}

/** Lays components out by layer and head, with the line of the sum beside them, or below in a narrow view. */
export function layOut(spec: AttributionSpec, width: number): Layout {
  const { n_layers: layers, n_heads: heads, components } = spec;
  const rows = layers + 2;
  const rowHeight = Math.max(6, Math.min(TALLEST_ROW, Math.floor(TALLEST / rows)));
  const beside = ["attn_out", "attn_bias", "mlp_out", "mlp_bias"].filter((site) =>
    components.some((part) => part.site === site),
  );
  const two = width >= TWO_COLUMNS;
  const room = (two ? width * 0.54 : width) - GUTTER;
  const count = Math.max(1, beside.length);
  const spare = (room - GAP - heads * EASY) / count - 3;
  const extra = Math.max(BESIDE[0], Math.min(BESIDE[1], (room * 0.32) / count - 3, spare));
  const forHeads = room - beside.length * (extra + 3) - (heads ? GAP : 0);
  const cellWidth = heads ? Math.max(NARROWEST, Math.min(WIDEST, forHeads / heads)) : 0;
  const columns: Column[] = [];
  const names: Record<string, [string, string]> = {
    attn_out: ["attn", "attention"],
    attn_bias: ["bA", "bias of attention"],
    mlp_out: ["MLP", "MLP"],
    mlp_bias: ["bM", "bias of the MLP"],
  };
  let x = GUTTER + heads * cellWidth + (heads ? GAP : 0);
  const places = new Map<string, number>();
  for (const site of beside) {
    const [text, title] = names[site];
    columns.push({ text, title, x, width: extra });
    places.set(site, x);
    x += extra + 3;
  }
  const mapWidth = x - 3 - GUTTER;
  const map = { x: GUTTER, y: LABELS, width: mapWidth, height: rows * rowHeight };
  const embedded = components.filter(({ layer, kind }) => layer === null && kind !== "bias").length;
  let put = 0;
  const cells = components.map(({ layer, head, site, kind }, component): Cell => {
    const row = layer === null ? (kind === "bias" ? rows - 1 : 0) : layer + 1;
    const y = map.y + (rows - 1 - row) * rowHeight;
    const own = { component, row, y, height: rowHeight };
    if (layer === null) {
      const share = kind === "bias" ? mapWidth : mapWidth / embedded;
      const left = kind === "bias" ? 0 : share * put++;
      return { ...own, x: map.x + left, width: share };
    }
    if (head !== null) return { ...own, x: map.x + head * cellWidth, width: cellWidth };
    return { ...own, x: places.get(site) ?? map.x, width: extra };
  });
  const top = two ? map.y : map.y + map.height + AXIS + LABELS + 8;
  const left = two ? map.x + map.width + BETWEEN : GUTTER;
  const sum = { x: left, y: top, width: Math.max(80, width - left - 46), height: map.height };
  return { width, height: top + map.height + AXIS, rows, rowHeight, cells, columns, map, sum };
}

/** The cell at a point; null for none. */
export function cellAt({ cells }: Layout, x: number, y: number): Cell | null {
  return cells.find((c) => x >= c.x && x < c.x + c.width && y >= c.y && y < c.y + c.height) ?? null;
}

/** The cells of each row, from left to right. */
export function byRow({ cells, rows }: Layout): Cell[][] {
  const found: Cell[][] = Array.from({ length: rows }, () => []);
  for (const cell of cells) found[cell.row].push(cell);
  for (const row of found) row.sort((a, b) => a.x - b.x);
  return found;
}
