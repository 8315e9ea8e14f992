import type { Extent } from "../../core/viewport";

/** Where the panels go and how large their cells are, in CSS pixels. */
export interface Layout {
  columns: number;
  /** Room left of a plot: layer numbers, or where the first slanted labels reach. */
  gutter: number;
  /** Room around the plot inside its canvas, for what is drawn around a cell at its edge. */
  edge: number;
  /** Room below the cells for the token labels. */
  labels: number;
  extent: Extent;
}

const GUTTER = 36;
const EDGE = 4;
const WIDEST = 46;

function cellHeight(width: number, layers: number): number {
  const inProportion = Math.min(Math.max(width * 0.62, 13), 22, 460 / layers);
  // Few layers get taller rows, so that a shallow model still makes a picture; many keep enough to be seen.
  return Math.max(inProportion, Math.min(28, 140 / layers), 240 / Math.max(layers, 60));
}

/** Panels stand side by side when each keeps cells that can be hit, and are stacked when they would not. */
export function layoutPanels(
  width: number,
  counts: { sites: number; layers: number; positions: number },
  labels: number,
  scale: number,
): Layout {
  const { sites, layers, positions } = counts;
  const least = Math.min(Math.max(positions * 13, 150), 620) + GUTTER + EDGE;
  const fitting = Math.max(1, Math.min(sites, Math.floor(width / least)));
  // Rows as even as can be; but two above one looks unfinished, and three in a column does not.
  const columns = sites === 3 && fitting === 2 ? 1 : Math.ceil(sites / Math.ceil(sites / fitting));
  const room = Math.max(60, width / columns - GUTTER - EDGE);
  const exact = Math.min(WIDEST, room / positions);
  // Whole device pixels keep large cells alike; small ones are pooled anyway.
  const cell = exact >= 5 ? Math.floor(exact * scale) / scale : exact;
  const height = cellHeight(exact, layers);
  const row = height >= 5 ? Math.floor(height * scale) / scale : height;
  return {
    columns,
    gutter: GUTTER,
    edge: EDGE,
    labels,
    extent: {
      columns: positions,
      rows: layers,
      width: cell * positions,
      height: Math.round(row * layers * scale) / scale,
    },
  };
}
