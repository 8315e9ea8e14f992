import type { GridCell } from "../../core/cell_frame";
import { formatCount } from "../../core/format";
import { isolated } from "../../core/labels";
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
  const { where, label } = spec.columns[column];
  return isToken(spec.columns[column]) ? `[${isolated(label)}] (${where})` : where;
}

/** Whether all texts have one token at a column, which its label then is. */
export function isToken({ label, pos }: Scene["spec"]["columns"][number]): boolean {
  return pos !== null && label !== `pos ${pos}`;
}

/** How many different things its examples are, where that is fewer than they are themselves. */
export function differentOf({ spec }: Pick<Scene, "spec">, { column }: GridCell): string {
  const { groups, pos } = spec.columns[column];
  const count = formatCount(spec.n_examples, spec.noun);
  if (groups === spec.n_examples) return count;
  if (spec.noun === "token") return `${count} of ${formatCount(groups, "text")}`;
  return `${count}, ${groups.toLocaleString("en-US")} different ${pos === null ? "ones or groups" : "up to here"}`;
}

/** What is to be said of a cell. */
export function saidOf(scene: Scene, cell: GridCell): string[] {
  const { spec, data, kind, measure } = scene;
  const { untested } = spec.columns[cell.column];
  if (untested) return [`not tested: ${untested}`];
  if (!data.isComputed(cell)) return ["not computed yet"];
  const figures = data.figures(measure, kind, cell);
  const { value, control } = figures;
  const interval = formatInterval(figures);
  const said = [`${spec.kinds[kind].label}: ${spec.measures[measure].label} ${formatShare(value)}`];
  if (interval) said.push(`95% interval ${interval}`);
  if (spec.control) said.push(`control ${formatShare(control)}, selectivity ${formatDifference(value - control)}`);
  return [...said, differentOf(scene, cell)];
}

/** A cell in a sentence, as a screen reader says it. */
export function describe(scene: Scene, cell: GridCell): string {
  return `${nameOf(scene, cell).replaceAll(" · ", ", ")}: ${saidOf(scene, cell).join(", ")}`;
}

/** What the picture as a whole shows, in sentences. */
export function meaningOf({ spec, measure }: Pick<Scene, "spec" | "measure">): string {
  const { noun, classes, counts } = spec;
  const own = `Each cell is the ${spec.measures[measure].label} of a probe that is fitted there, on ${noun}s held out`;
  const apart = noun === "token" ? "all tokens of a text together" : "those that begin alike together";
  const most = classes.slice(0, 6).map((name, n) => `${counts[n].toLocaleString("en-US")} ${name}`);
  const all = classes.length > 6 ? `${most.join(", ")}, …` : most.join(", ");
  return `${own}, ${apart}. ${formatCount(spec.n_examples, noun)}: ${all}.`;
}
