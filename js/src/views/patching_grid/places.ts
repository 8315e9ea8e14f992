import type { Spot } from "../../protocol/common";
import type { Cell, GridSpec, WirePanel } from "../../protocol/patching_grid";
import { type CellIndex, findCell, nameCell } from "./data";

/** A row and a column of a panel; −1 where a place does not say which. */
export interface Ghost {
  row: number;
  column: number;
}

/** What tells the cells of a panel apart: layer, then head or latent, then what the columns are. */
function axesOf({ lines, columns }: WirePanel): (keyof Spot & keyof Cell)[] {
  const [first] = lines;
  const rows = (["head", "latent"] as const).filter((axis) => (first?.[axis] ?? null) !== null);
  const along = columns === "pos" || columns === "head" || columns === "neuron" ? [columns] : [];
  return ["layer", ...rows, ...along];
}

/** A cell as a place that other views understand. */
export function spotOf(spec: GridSpec, cell: CellIndex): Spot {
  const { role: _role, latent, ...place } = nameCell(spec, cell);
  return typeof latent === "number" ? { ...place, latent } : place;
}

/** The cell that a place means: of the site that is named, else of the panel that has most of it; as in Python. */
export function cellAt(spec: GridSpec, spot: Spot, here: Cell | null): Cell | null {
  const place: Partial<Cell> = { ...here, ...spot };
  const known = (panel: WirePanel) => axesOf(panel).filter((axis) => spot[axis] !== undefined).length;
  const is = (panel: WirePanel, site: string | undefined) => Number(panel.term.name === site);
  const panels = spec.panels
    .filter((panel) => known(panel) > 0)
    .sort(
      (a, b) => is(b, spot.site) - is(a, spot.site) || known(b) - known(a) || is(b, here?.site) - is(a, here?.site),
    );
  for (const panel of panels) {
    const axes = axesOf(panel).flatMap((axis) => (place[axis] === undefined ? [] : [[axis, place[axis]]]));
    const cell: Cell = { site: panel.term.name, ...Object.fromEntries(axes) };
    if (findCell(spec, cell)) return cell;
  }
  return null;
}

/** Where a place is in a panel: a cell, a row or a column; null where it has no part of it. */
export function ghostIn(spec: GridSpec, number: number, spot: Spot | null): Ghost | null {
  if (!spot) return null;
  const { lines, columns, labels } = spec.panels[number];
  const row = lines.findIndex(
    ({ layer, head, latent }) =>
      layer === spot.layer && (head === null || head === spot.head) && (latent === null || latent === spot.latent),
  );
  if (row < 0 && spot.layer !== undefined) return null;
  const wanted = columns === "pos" || columns === "head" || columns === "neuron" ? spot[columns] : undefined;
  const width = spec.pairs[0].clean.labels.length;
  const column = wanted === undefined ? -1 : columns === "pos" ? wanted : labels.indexOf(String(wanted));
  const inside = columns !== "pos" || column < width;
  return (row < 0 && column < 0) || !inside ? null : { row, column };
}

/** The tokens at a position in the pair that is shown, or in all of them. */
export function wordsAt(spec: GridSpec, pair: number | null, pos: number): string[] {
  const pairs = pair === null ? spec.pairs : [spec.pairs[pair]];
  const words = pairs.flatMap(({ clean, corrupt }) => [clean.labels[pos], corrupt.labels[pos]]);
  return [...new Set(words.filter((word) => word !== undefined))];
}
