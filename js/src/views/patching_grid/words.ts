import { formatCount, formatEffect, formatNumber, formatPercent, formatProbability } from "../../core/format";
import { bare, isolated } from "../../core/labels";
import { substitute } from "../../core/template";
import type { WirePrediction } from "../../protocol/common";
import type { GridSpec, WireLine } from "../../protocol/patching_grid";
import { type CellIndex, hostAndDonor, isByHead, isEstimate, positionOf, Status } from "./data";
import type { Scene } from "./scene";

/** The two sides of a pair by their colours, in the order of the baselines; `story.sides` has their names. */
export type Accent = "clean" | "corrupt";
export const ACCENTS: readonly Accent[] = ["clean", "corrupt"];

/** A stretch of a sentence; those that name a token of one side take its accent. */
export interface Phrase {
  text: string;
  accent?: Accent;
}

/** Host is the side that every cell starts from, an effect of 0; donor is the other one, an effect of 1. */
export function roles({ story }: GridSpec): { host: Accent; donor: Accent } {
  return { host: ACCENTS[story.host], donor: ACCENTS[1 - story.host] };
}

export function sideName({ story }: GridSpec, side: Accent): string {
  return story.sides[ACCENTS.indexOf(side)];
}

/** Whether a side is a prompt that the model was run on. */
export function hasTokens(spec: GridSpec, side: Accent): boolean {
  return spec.pairs[0][side].labels.length > 0;
}

/** A side in a sentence: "the clean run", or "the uniform prediction", which no run made. */
function sideOf(spec: GridSpec, side: Accent): string {
  return `the ${sideName(spec, side)}${hasTokens(spec, side) ? " run" : ""}`;
}

export function titleOf({ story, pairs }: GridSpec, pair: number | null): Phrase[] {
  const shown = pair === null ? pairs : [pairs[pair]];
  const titles = shown.map(({ answer, wrong_answer }) =>
    substitute(story.question, { answer: bare(answer), wrong_answer: bare(wrong_answer) }),
  );
  const { answer, wrong_answer } = shown[0];
  const itself = story.question.includes("$wrong_answer") && answer === wrong_answer;
  if (itself || new Set(titles).size > 1) return [{ text: story.question_of_several }];
  return story.question
    .split(/(\$answer|\$wrong_answer)/)
    .filter(Boolean)
    .map((text) => {
      if (text === "$answer") return { text: bare(answer), accent: "clean" };
      return text === "$wrong_answer" ? { text: bare(wrong_answer), accent: "corrupt" } : { text };
    });
}

export function meanOf(spec: GridSpec): string {
  return `mean of ${formatCount(spec.pairs.length, spec.story.noun)}`;
}

export function whichPairs(spec: GridSpec, pair: number | null): string {
  if (spec.pairs.length === 1) return "";
  return pair === null ? meanOf(spec) : `${spec.story.noun} ${pair + 1} of ${spec.pairs.length}`;
}

/** The labels at a position of one side, over the pairs that are shown. */
export function labelsAt(spec: GridSpec, pair: number | null, pos: number, side: Accent): string[] {
  const shown = pair === null ? spec.pairs : [spec.pairs[pair]];
  return [...new Set(shown.map((one) => one[side].labels[pos] ?? ""))];
}

export interface Label {
  text: string;
  accent: Accent | null;
}

/** A position on an axis. Where pairs hold different tokens its label is only an example, and says so with "…". */
export function tokenLabel(spec: GridSpec, pair: number | null, pos: number): Label {
  const { donor } = roles(spec);
  const labels = labelsAt(spec, pair, pos, hasTokens(spec, donor) ? donor : "clean");
  const differs = (pair === null ? spec.pairs : [spec.pairs[pair]]).some((one) => one.differs.includes(pos));
  return { text: labels.length > 1 ? `${labels[0]}…` : labels[0], accent: differs ? donor : null };
}

/** What a panel's site is; where there is one column, also what it takes together, which has no room below it. */
export function meaningOf(spec: GridSpec, panel: number): string {
  const { term, columns, labels } = spec.panels[panel];
  return [term.meaning, columns === "layer" ? labels[0] : ""].filter(Boolean).join(", ");
}

/** What stands below a column. */
export function columnLabel(spec: GridSpec, pair: number | null, panel: number, column: number): Label {
  const { columns, labels } = spec.panels[panel];
  if (columns === "pos") return tokenLabel(spec, pair, column);
  return { text: columns === "layer" ? "" : labels[column], accent: null };
}

/** What the rows and the columns of a panel are; no word for columns where there is only one. */
export function axisNames(spec: GridSpec, panel: number): { rows: string; columns: string } {
  const { columns, lines } = spec.panels[panel];
  return {
    rows: isByHead(lines) ? "layer and head" : (lines[0]?.latent ?? null) === null ? "layer" : "latent",
    columns: columns === "layer" ? "" : columns === "pos" ? "token" : columns,
  };
}

/** Letters of a latent's name that have room beside a row. */
const NAME = 16;

/** What stands beside a row: "9", "9.6" for a head, or a latent's number and its name. */
export function rowLabel(spec: GridSpec, panel: number, row: number): string {
  const { layer, head, latent, name } = spec.panels[panel].lines[row];
  if (latent !== null) return name ? `${latent} ${cut(name)}` : String(latent);
  return head === null ? String(layer) : `${layer}.${head}`;
}

/** A name as far as there is room for it. */
function cut(name: string): string {
  const letters = [...name];
  return letters.length > NAME ? `${letters.slice(0, NAME - 1).join("")}…` : name;
}

/** "layer 9", "layer 9, head 6" or "layer 9, latent 532 (cities)". */
function rowName({ layer, head, latent, name }: WireLine): string {
  if (head !== null) return `layer ${layer}, head ${head}`;
  if (latent === null) return `layer ${layer}`;
  const named = { all: "all latents", error: "error of the dictionary" }[latent as string];
  return `layer ${layer}, ${named ?? `latent ${latent}`}${name && ` (${isolated(name)})`}`;
}

export function differingPositions(spec: GridSpec, pair: number | null): number[] {
  const shown = pair === null ? spec.pairs : [spec.pairs[pair]];
  return [...new Set(shown.flatMap(({ differs }) => differs))].sort((a, b) => a - b);
}

/** Where a cell is, in the parts that every sentence about it is made of. */
export interface Place {
  site: string;
  /** "layer 9", "layer 9, head 6" or "layer 9, latent 532". */
  row: string;
  /** "head 6", "neuron 12" or a role's name; empty for positions and where there is one column. */
  column: string;
  token: string | null;
  /** What there is to say about the column. */
  note: string;
}

export function placeOf({ spec, pair }: Scene, { panel, row, column }: CellIndex): Place {
  const { term, lines, columns, labels, notes } = spec.panels[panel];
  const numbered = columns === "head" || columns === "neuron";
  return {
    site: term.label,
    row: rowName(lines[row]),
    column: numbered ? `${columns} ${labels[column]}` : columns === "role" ? labels[column] : "",
    token: columns === "pos" ? tokenLabel(spec, pair, column).text : null,
    note: notes[column] ?? "",
  };
}

/** A cell's name: "z, layer 9, head 6". */
export function nameOf(scene: Scene, cell: CellIndex): string {
  const { site, row, column, token } = placeOf(scene, cell);
  const last = token === null ? column : `${isolated(token)} at position ${cell.column}`;
  return [site, row, last].filter(Boolean).join(", ");
}

/** What was replaced, as the object of a sentence: "z of layer 9, head 6". */
function whatIn(scene: Scene, cell: CellIndex): string {
  const { site, row, column, token } = placeOf(scene, cell);
  const start = `${site} of ${row}`;
  if (token !== null) return `${start} at ${isolated(token)} (position ${cell.column})`;
  if (!column) return start;
  return `${start}${scene.spec.panels[cell.panel].columns === "role" ? " at " : ", "}${column}`;
}

/** A value of the shown metric; a plus sign where the sign is what matters. */
export function metricValue(scene: Scene, value: number): string {
  const { term, baselines } = scene.spec.metrics[scene.metric];
  if (term.name === "prob") return Number.isNaN(value) ? "no value" : formatProbability(value);
  if (term.name === "rank" && Number.isInteger(value)) return value.toLocaleString("en-US");
  const all = baselines.flat();
  return formatNumber(value, { plus: term.name === "logit_diff" || (Math.min(...all) < 0 && Math.max(...all) > 0) });
}

export function withUnit(scene: Scene, value: number): string {
  const { unit } = scene.spec.metrics[scene.metric].term;
  return unit ? `${metricValue(scene, value)} ${unit}` : metricValue(scene, value);
}

export function hasGap(scene: Scene): boolean {
  return scene.grid.pairs.some((pair) => {
    const [host, donor] = hostAndDonor(scene.spec, scene.metric, pair);
    return host !== donor;
  });
}

export function noGap({ spec, metric }: Scene): string {
  const { label } = spec.metrics[metric].term;
  const [first, second] = ACCENTS.map((side) => sideOf(spec, side));
  return `There is no gap in this metric: ${label} is the same in ${first} and in ${second}, so no effect is defined.`;
}

/** Why a cell has no number; null for one that has. */
export function whyNot(scene: Scene, cell: CellIndex): string | null {
  const { grid, job } = scene;
  const at = grid.at(cell);
  if (grid.status[at] === Status.pending) return job.state === "running" ? "not computed yet" : "not computed";
  if (grid.status[at] === Status.leftOut) return "left out: it was not asked for";
  if (!Number.isNaN(grid.effect[at])) return null;
  return hasGap(scene) ? "the metric has no value here" : "no gap in this metric";
}

/** Why a cell has its number without a run of its own; null for one that was run or has none. */
export function whySo(scene: Scene, cell: CellIndex): string | null {
  const { spec, grid, job } = scene;
  const at = grid.at(cell);
  if (isEstimate(grid.status[at])) {
    if (grid.status[at] === Status.passing && job.state === "running")
      return "estimated by attribution patching; the exact value will replace it";
    return "estimate: by attribution patching, not by a run";
  }
  if (grid.status[at] !== Status.known) return null;
  const position = positionOf(spec, cell);
  const differs = differingPositions(spec, scene.pair);
  if (position !== null && position < differs[0]) return "not run: both runs agree up to here, so it is exactly 0";
  return Math.abs(grid.effect[at]) > 1e-6
    ? "not run: the answer depends on nothing else here, so it is certain"
    : "not run: what is put in is the same, or is read by nothing after it, so it is exactly 0";
}

function share(spec: GridSpec, effect: number): string {
  const percent = formatPercent(Math.abs(effect));
  const { host, donor } = roles(spec);
  const there = sideOf(spec, donor);
  if (effect > 1.02) return `past ${there}, ${percent} of the way to it.`;
  if (effect >= 0.995) return `all the way to ${there}.`;
  if (effect >= 0.05) return `${percent} of the way to ${there}.`;
  return `${percent} of the gap in the other direction, even further from ${there} than ${sideOf(spec, host)} is.`;
}

/** The mean's 95% confidence interval: "+0.21 to +0.63". */
export function intervalOf({ grid }: Scene, cell: CellIndex): string | null {
  const uncertainty = grid.uncertainty(cell);
  if (!uncertainty) return null;
  const effect = grid.effect[grid.at(cell)];
  return `${formatEffect(effect - uncertainty.interval)} to ${formatEffect(effect + uncertainty.interval)}`;
}

function sentence(text: string): string {
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

/** What a pinned cell means, in plain words. */
export function explain(scene: Scene, cell: CellIndex): string {
  const { spec, grid } = scene;
  const deed = substitute(spec.story.deed, { what: whatIn(scene, cell) });
  const reason = whyNot(scene, cell);
  if (reason?.startsWith("no gap")) return noGap(scene);
  if (reason) return `${deed}: ${reason}.`;
  const effect = grid.effect[grid.at(cell)];
  const why = whySo(scene, cell);
  const known = grid.status[grid.at(cell)] === Status.known;
  if (known && Math.abs(effect) <= 1e-6) return `${deed} changes nothing. It was ${why}.`;
  const { note } = placeOf(scene, cell);
  const remarks = [known ? `It was ${why}` : why, note].filter((remark) => remark !== null && remark !== "");
  const end = remarks.map((remark) => ` ${sentence(remark as string)}`).join("");
  const little = Math.abs(effect) < 0.05;
  if (grid.pairs.length > 1) {
    const interval = intervalOf(scene, cell);
    const sure = interval ? ` 95% confidence interval of the mean: ${interval}.` : "";
    const mean = meanOf(spec);
    if (little) return `${deed} hardly moves the answer on the ${mean}.${sure}${end}`;
    return `${deed} moves the answer, on the ${mean}, ${share(spec, effect)}${sure}${end}`;
  }
  const { term } = spec.metrics[scene.metric];
  const [from] = hostAndDonor(spec, scene.metric, grid.pairs[0]);
  const [before, after] = [from, grid.value(cell)].map((value) => metricValue(scene, value));
  if (!little) return `${deed} moves the ${term.label} from ${before} to ${after}: ${share(spec, effect)}${end}`;
  const stays =
    before === after
      ? `leaves the ${term.label} at ${after}`
      : `hardly moves the ${term.label}, from ${before} to ${after}`;
  return `${deed} ${stays}. On its own, this activation carries next to nothing of the difference.${end}`;
}

/** A cell as a screen reader says it. */
export function spoken(scene: Scene, cell: CellIndex): string {
  const { grid, spec } = scene;
  const place = nameOf(scene, cell);
  const reason = whyNot(scene, cell);
  if (reason) return `${place}: ${reason}`;
  const { label } = spec.metrics[scene.metric].term;
  const parts = [
    `${place}: effect ${formatEffect(grid.effect[grid.at(cell)])}`,
    `${label} ${withUnit(scene, grid.value(cell))}`,
  ];
  const why = whySo(scene, cell);
  if (why) parts.push(why);
  const interval = intervalOf(scene, cell);
  if (interval) parts.push(`95% confidence interval ${interval}`);
  const top = topOf(scene, cell);
  if (top.length)
    parts.push(`says ${top.map(({ label: l, prob }) => `${isolated(l)} ${formatProbability(prob)}`).join(", ")}`);
  const { note } = placeOf(scene, cell);
  if (note) parts.push(note);
  return parts.join(", ");
}

/** What the model predicts in a cell; none for a mean of pairs, whose predictions have no mean. */
export function topOf(scene: Scene, cell: CellIndex): WirePrediction[] {
  const { pairs } = scene.grid;
  return pairs.length === 1 ? scene.data.top(pairs[0], cell) : [];
}
