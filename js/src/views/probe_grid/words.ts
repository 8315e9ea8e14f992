import type { GridCell } from "../../core/cell_frame";
import { formatCount } from "../../core/format";
import type { Figures } from "./data";
import type { Scene } from "./scene";

/** A share with two digits; what is not all does not read as all. */
export function formatShare(share: number): string {
  if (Number.isNaN(share)) return "no value";
  return share < 1 && share >= 0.995 ? share.toFixed(3) : share.toFixed(2);
}

export function formatInterval({ low, high }: Figures): string {
  return Number.isNaN(low) ? "" : `${formatShare(low)} to ${formatShare(high)}`;
}

/** A difference of shares, with its sign. */
export function formatDifference(difference: number): string {
  const text = Math.abs(difference).toFixed(2);
  return /[1-9]/.test(text) ? `${difference > 0 ? "+" : "−"}${text}` : text;
}

/** A row as it stands left of the grid: its layer, with its site where there are several. */
export function rowLabels({ rows }: Scene["spec"]): string[] {
  const several = new Set(rows.map(({ site }) => site)).size > 1;
  return rows.map(({ site, layer }) => (several ? `${layer} ${site}` : String(layer)));
}

/** A cell's name: site, layer, and where in the text. */
export function nameOf({ spec }: Pick<Scene, "spec">, { row, column }: GridCell): string {
  const { site, layer } = spec.rows[row];
  return `${site} · layer ${layer} · ${placeOf(spec, column)}`;
}

/** Where in the text a column is, with the token that all texts have there. */
export function placeOf(spec: Scene["spec"], column: number): string {
  const { where, label, pos } = spec.columns[column];
  return pos === null || label === String(pos) ? where : `${label} (${where})`;
}

/** How many different things its examples are, where that is fewer than they are themselves. */
export function differentOf({ spec }: Pick<Scene, "spec">, { column }: GridCell): string {
  const { groups, pos } = spec.columns[column];
  const count = formatCount(spec.n_examples, spec.noun);
  if (groups === spec.n_examples) return count;
  if (spec.noun === "token") return `${count} of ${formatCount(groups, "text")}`;
  return `${count}, ${groups.toLocaleString("en-US")} different ${pos === null ? "ones or groups" : "up to here"}`;
}

/** A cell in a sentence, as a screen reader says it. */
export function describe(scene: Scene, cell: GridCell): string {
  const { spec, data, kind, measure } = scene;
  const name = nameOf(scene, cell).replaceAll(" · ", ", ");
  const { untested } = spec.columns[cell.column];
  if (untested) return `${name}: not tested, ${untested}`;
  if (!data.isComputed(cell)) return `${name}: not computed yet`;
  const figures = data.figures(measure, kind, cell);
  const { value, control } = figures;
  const interval = formatInterval(figures);
  const parts = [
    `${spec.kinds[kind].label}, ${spec.measures[measure].label} ${formatShare(value)}`,
    interval && `95% interval ${interval}`,
    spec.control && `control ${formatShare(control)}, selectivity ${formatDifference(value - control)}`,
  ];
  return `${name}: ${parts.filter(Boolean).join(", ")}`;
}

/** What the picture as a whole shows, in a sentence. */
export function meaningOf({ spec, measure }: Pick<Scene, "spec" | "measure">): string {
  const own = `Each cell is ${spec.measures[measure].label} of probes on ${spec.noun}s that were held out of their fit`;
  return `${own}; what has the same beginning is in one fold.`;
}
