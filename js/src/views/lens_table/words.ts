import { formatEffect, formatNumber, formatPercent, formatProbability } from "../../core/format";
import { bare, isolated } from "../../core/labels";
import type { LensQuantity, LensRow, LensSpec } from "../../protocol/lens_table";
import type { LensData } from "./data";
import type { Cell, Scene } from "./scene";

export const QUANTITIES: Record<LensQuantity, { text: string; title: string }> = {
  prob: { text: "probability", title: "probability of the token" },
  logprob: { text: "log probability", title: "natural logarithm of the token's probability" },
  logit: { text: "logit", title: "the token's logit, before the softmax" },
  rank: { text: "rank", title: "how many tokens are likelier: 0 is the top prediction" },
  entropy: { text: "entropy", title: "entropy of the prediction in nats: 0 is certain" },
  kl: { text: "KL from the end", title: "KL divergence from the model's own prediction at this token, in nats" },
};

/** The quantities there are of a followed token, or of what is said as a whole. */
export function quantitiesOf(answer: number | null): LensQuantity[] {
  return answer === null ? ["prob", "entropy", "kl"] : ["prob", "logprob", "logit", "rank"];
}

export function titleOf(spec: LensSpec): string {
  if (spec.prompts.length > 1) return "After which layer does the model say different things of the two prompts?";
  return "What would the model say after each layer?";
}

export function meaningOf({ spec, data }: Pick<Scene, "spec" | "data">): string {
  const lens = spec.lens.startsWith("tuned")
    ? "Each stream goes through the lens's translator, then the model's own last norm and unembedding"
    : "Each stream goes straight to the model's own last norm and unembedding";
  const cells = data.prompts > 1 ? "A cell of a prompt" : "A cell";
  return `${lens}. ${cells} has the likeliest next token there; the top row is what the model says.`;
}

/** A row beside the plot: "embed", "3", "3 attn". */
export function rowLabel({ site, layer }: LensRow): string {
  if (site === "resid_pre" && layer === 0) return "embed";
  return site === "resid_mid" ? `${layer} attn` : String(site === "resid_pre" ? layer - 1 : layer);
}

/** A row in a sentence: "after layer 3". */
export function rowName({ site, layer }: LensRow): string {
  if (site === "resid_pre" && layer === 0) return "at the embedding";
  if (site === "resid_mid") return `after attention of layer ${layer}`;
  return `after layer ${site === "resid_pre" ? layer - 1 : layer}`;
}

/** "clean" or "corrupt" where there are two prompts. */
export function sideOf({ spec }: Pick<Scene, "spec">, prompt: number): string {
  return spec.prompts.length > 1 ? spec.prompts[prompt].name : "";
}

/** The value that colour shows in a cell of a prompt. */
export function quantityAt(data: LensData, metric: LensQuantity, answer: number | null, at: number): number {
  if (metric === "entropy") return data.entropy(at);
  if (metric === "kl") return data.kl(at);
  if (answer === null) return data.topProb(at);
  if (metric === "prob") return Math.exp(data.logprob(at, answer));
  return data[metric](at, answer);
}

export function formatQuantity(metric: LensQuantity, value: number): string {
  if (Number.isNaN(value)) return "not read";
  if (metric === "prob") return formatProbability(value);
  if (metric === "rank") return value.toLocaleString("en-US");
  return formatNumber(value);
}

/** What colour is of: "probability of ␣Mary". */
export function colourOf({ data, metric, answer }: Pick<Scene, "data" | "metric" | "answer">): string {
  const { text } = QUANTITIES[metric];
  if (metric === "entropy" || metric === "kl") return `${text} in nats`;
  return `${text} of ${answer === null ? "the likeliest token" : isolated(data.answers[answer])}`;
}

/** A cell as a screen reader says it. */
export function spoken(scene: Scene, { prompt, row, pos }: Cell): string {
  const { data, spec, metric, answer } = scene;
  const at = data.at(prompt, row, pos);
  const side = sideOf(scene, prompt);
  const label = isolated(spec.prompts[prompt].labels[pos]);
  const where = `${side ? `${side}: ` : ""}${rowName(spec.rows[row])} at ${label}, position ${pos}`;
  const [best] = data.top(at);
  if (!best) return `${where}, not read${scene.job.state === "running" ? " yet" : ""}`;
  const hit = data.hits(prompt, row, pos) ? ", which follows in the prompt" : "";
  const says = `${isolated(best.label)} ${formatPercent(best.prob)}${hit}`;
  const own = metric === "prob" && answer === null;
  const shown = own ? "" : `; ${colourOf(scene)} ${formatQuantity(metric, quantityAt(data, metric, answer, at))}`;
  return `${where}: ${says}${shown}`;
}

/** What a line through the layers is called. */
export function lineName(scene: Pick<Scene, "spec" | "data">, prompt: number, pos: number, answer: number): string {
  const side = sideOf(scene, prompt);
  const { labels } = scene.spec.prompts[prompt];
  return `${bare(scene.data.answers[answer])} after ${bare(labels[pos])} (${pos})${side ? `, ${side}` : ""}`;
}

/** A number that fits a narrow cell: cut to "0.00…" it would say something else. */
export function inCell(value: number, signed: boolean): string {
  if (Math.abs(value) >= 0.1) return formatNumber(value, { plus: signed });
  return signed ? formatEffect(value) : value.toFixed(2);
}
