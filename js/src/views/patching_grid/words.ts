import { formatEffect, formatNumber, formatPercent, formatProbability } from "../../core/format";
import { bare, isolated } from "../../core/labels";
import type { GridSpec, WirePrediction } from "../../core/protocol";
import { type CellIndex, hostAndDonor, Status } from "./data";
import type { Scene } from "./scene";

export type Accent = "clean" | "corrupt";

/** A stretch of a sentence; those that name a token of one side take its accent. */
export interface Phrase {
  text: string;
  accent?: Accent;
}

/** Host is the run that is patched, donor the one that is copied from. */
export function roles(spec: GridSpec): { host: Accent; donor: Accent } {
  return spec.direction === "denoising" ? { host: "corrupt", donor: "clean" } : { host: "clean", donor: "corrupt" };
}

export function titleOf(spec: GridSpec, pair: number | null): Phrase[] {
  const shown = pair === null ? spec.pairs : [spec.pairs[pair]];
  const answers = new Set(shown.map(({ answer, wrong_answer }) => `${answer}\n${wrong_answer}`));
  const start = spec.direction === "denoising" ? "Where is what makes the model " : "Where is what the model needs to ";
  if (answers.size > 1) return [{ text: `${start}prefer the answer?` }];
  const { answer, wrong_answer } = shown[0];
  return [
    { text: `${start}say ` },
    { text: bare(answer), accent: "clean" },
    { text: " rather than " },
    { text: bare(wrong_answer), accent: "corrupt" },
    { text: "?" },
  ];
}

export function whichPairs(spec: GridSpec, pair: number | null): string {
  if (spec.pairs.length === 1) return "";
  return pair === null ? `mean of ${spec.pairs.length} pairs` : `pair ${pair + 1} of ${spec.pairs.length}`;
}

export function subtitleOf(spec: GridSpec): string {
  return spec.direction === "denoising"
    ? "Each cell is one run of the corrupt prompt with one activation copied from the clean run. 1 = as if the whole prompt were clean, 0 = no change."
    : "Each cell is one run of the clean prompt with one activation copied from the corrupt run. 1 = as bad as if the whole prompt were corrupt, 0 = no change.";
}

export function directionOf(spec: GridSpec): string {
  const { host, donor } = roles(spec);
  return `${spec.direction}: ${donor} → ${host}`;
}

/** What the two ends of the scale mean, from −1 to +1. */
export function legendWords(spec: GridSpec): [negative: string, positive: string] {
  return spec.direction === "denoising"
    ? ["pushes back", "restores the clean answer"]
    : ["strengthens the answer", "breaks the answer"];
}

/** The labels at a position: of the donor's side when pairs agree on it, else all of them. */
export function labelsAt(spec: GridSpec, pair: number | null, pos: number, side: Accent): string[] {
  const shown = pair === null ? spec.pairs : [spec.pairs[pair]];
  return [...new Set(shown.map((one) => one[side].labels[pos]))];
}

/** A position on an axis. Where pairs hold different tokens its label is only an example, and says so with "…". */
export function axisLabel(spec: GridSpec, pair: number | null, pos: number): { text: string; accent: Accent | null } {
  const { donor } = roles(spec);
  const labels = labelsAt(spec, pair, pos, donor);
  const differs = (pair === null ? spec.pairs : [spec.pairs[pair]]).some((one) => one.differs.includes(pos));
  return { text: labels.length > 1 ? `${labels[0]}…` : labels[0], accent: differs ? donor : null };
}

export function differingPositions(spec: GridSpec, pair: number | null): number[] {
  const shown = pair === null ? spec.pairs : [spec.pairs[pair]];
  return [...new Set(shown.flatMap(({ differs }) => differs))].sort((a, b) => a - b);
}

export function placeOf(scene: Scene, { site, layer, pos }: CellIndex): string {
  const { text } = axisLabel(scene.spec, scene.pair, pos);
  return `${scene.spec.sites[site].label}, layer ${scene.spec.layers[layer]}, ${isolated(text)} at position ${pos}`;
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

export function noGap(scene: Scene): string {
  const { label } = scene.spec.metrics[scene.metric].term;
  return `There is no gap in this metric: ${label} is the same in the clean and in the corrupt run, so no effect is defined.`;
}

/** Why a cell has no number; null for one that has. */
export function whyNot(scene: Scene, cell: CellIndex): string | null {
  const { grid, job } = scene;
  const at = grid.at(cell);
  if (grid.status[at] === Status.pending) return job.state === "running" ? "not computed yet" : "not computed";
  if (grid.status[at] === Status.leftOut) return "left out: this position was not asked for";
  if (!Number.isNaN(grid.effect[at])) return null;
  return hasGap(scene) ? "the metric has no value here" : "no gap in this metric";
}

/** Why a cell has its number without a run; null for one that was run or has none. */
export function whyKnown(scene: Scene, cell: CellIndex): string | null {
  const { spec, grid } = scene;
  const at = grid.at(cell);
  if (grid.status[at] !== Status.known) return null;
  if (cell.pos < Math.min(...differingPositions(spec, scene.pair))) {
    return "not run: both prompts agree up to here, so it is exactly 0";
  }
  return Math.abs(grid.effect[at]) > 1e-6
    ? "not run: what is copied is all that the answer depends on, so it is certain"
    : "not run: what is copied is the same, or is read by nothing after it, so it is exactly 0";
}

function share(effect: number, host: Accent, donor: Accent): string {
  const percent = formatPercent(Math.abs(effect));
  if (effect > 1.02) return `past the ${donor} run, ${percent} of the way to it.`;
  if (effect >= 0.995) return `all the way to the ${donor} run.`;
  if (effect >= 0.05) return `${percent} of the way to the ${donor} run.`;
  if (effect > -0.05) return "next to nothing. On its own, this activation carries hardly any of the difference.";
  return `${percent} of the gap in the other direction, even further from the ${donor} run than the ${host} run is.`;
}

/** What a pinned cell means, in plain words. */
export function explain(scene: Scene, cell: CellIndex): string {
  const { spec, grid } = scene;
  const { host, donor } = roles(spec);
  const site = spec.sites[cell.site].label;
  const layer = spec.layers[cell.layer];
  const { text } = axisLabel(spec, scene.pair, cell.pos);
  const what = `${site} at ${isolated(text)} (position ${cell.pos}) from the ${donor} run into layer ${layer}`;
  const reason = whyNot(scene, cell);
  if (reason?.startsWith("no gap")) return noGap(scene);
  if (reason) return `Copying ${what}: ${reason}.`;
  const effect = grid.effect[grid.at(cell)];
  const known = whyKnown(scene, cell);
  if (known && Math.abs(effect) <= 1e-6) return `Copying ${what} changes nothing. It was ${known}.`;
  const end = known ? ` It was ${known}.` : "";
  if (grid.pairs.length > 1) {
    const effects = grid.effects(cell);
    const range = `${formatEffect(Math.min(...effects))} to ${formatEffect(Math.max(...effects))}`;
    return `Copying ${what} moves the answer, on the mean of ${effects.length} pairs, ${share(effect, host, donor)} Single pairs: ${range}.${end}`;
  }
  const { term } = spec.metrics[scene.metric];
  const [from] = hostAndDonor(spec, scene.metric, grid.pairs[0]);
  const to = grid.value(cell);
  return `Copying ${what} moves the ${term.label} from ${metricValue(scene, from)} to ${metricValue(scene, to)}: ${share(effect, host, donor)}${end}`;
}

/** A cell as a screen reader says it. */
export function spoken(scene: Scene, cell: CellIndex): string {
  const { grid, spec } = scene;
  const place = placeOf(scene, cell);
  const reason = whyNot(scene, cell);
  if (reason) return `${place}: ${reason}`;
  const { label } = spec.metrics[scene.metric].term;
  const known = whyKnown(scene, cell);
  const parts = [
    `${place}: effect ${formatEffect(grid.effect[grid.at(cell)])}`,
    `${label} ${withUnit(scene, grid.value(cell))}`,
  ];
  if (known) parts.push(known);
  const spread = grid.spread(cell);
  if (!Number.isNaN(spread)) parts.push(`spread between pairs ${formatNumber(spread)}`);
  const top = topOf(scene, cell);
  if (top.length)
    parts.push(`says ${top.map(({ label: l, prob }) => `${isolated(l)} ${formatProbability(prob)}`).join(", ")}`);
  return parts.join(", ");
}

/** The model's predictions after a patch; none for a mean of pairs, whose predictions have no mean. */
export function topOf(scene: Scene, cell: CellIndex): WirePrediction[] {
  const { pairs } = scene.grid;
  return pairs.length === 1 ? scene.data.top(pairs[0], cell) : [];
}
