import { formatNumber, formatPercent } from "../../core/format";
import { isolated } from "../../core/labels";
import type { FeatureSpec, WireSpot } from "../../protocol/features";
import type { FeatureData } from "./data";
import type { Sort } from "./ranking";
import type { Scene } from "./scene";

/** What a latent of the dictionary is called. */
export function noun({ dictionary }: FeatureSpec): string {
  return { neurons: "neuron", directions: "direction", sae: "latent", transcoder: "latent" }[dictionary.kind];
}

export function titleOf(spec: FeatureSpec): string {
  const { kind } = spec.dictionary;
  const what = kind === "neurons" || kind === "directions" ? kind : "features";
  if (spec.texts.length > 1) return `Which ${what} tell the two texts apart?`;
  return `Which ${what} fire on ${spec.texts[0].starts.length > 1 ? "these texts" : "this text"}?`;
}

/** A latent with its name, if it has one: "latent 12 · places". */
export function nameOf({ spec, names }: Pick<Scene, "spec" | "names">, latent: number): string {
  const name = names[latent];
  return name ? `${noun(spec)} ${latent} · ${isolated(name)}` : `${noun(spec)} ${latent}`;
}

/** What tokens a latent without a name promotes: a hint at what it is. */
export function hintOf({ cards }: Pick<Scene, "cards">, latent: number): string[] {
  return (cards[latent]?.promotes ?? []).slice(0, 3).map(({ label }) => label);
}

export function formatScore(score: number, sort: Sort): string {
  if (sort === "density") return formatShare(score);
  return formatNumber(score, { plus: sort === "difference" });
}

/** A share, with a digit more where whole percents would say nothing. */
export function formatShare(share: number): string {
  if (share > 0 && share < 0.0005) return "<0.1%";
  return share < 0.1 && share > 0 ? `${(100 * share).toFixed(1)}%` : formatPercent(share);
}

/** Where a token is: "position 5", "position 5 of text 2", "position 5 of against". */
export function placeOf({ data, spec }: Pick<Scene, "data" | "spec">, token: number): string {
  const { text, document, position } = data.place(token);
  return placeIn(spec, text, document, position);
}

/** The same of a token of a document; documents of both texts are counted through. */
export function spotOf({ spec }: Pick<FeatureData, "spec">, { document, position }: WireSpot): string {
  const first = spec.texts[0].starts.length;
  return placeIn(spec, document < first ? 0 : 1, document, position);
}

function placeIn(spec: FeatureSpec, text: number, document: number, position: number): string {
  const { name, starts } = spec.texts[text];
  if (starts.length > 1) return `position ${position} of ${name}, number ${document}`;
  return spec.texts.length > 1 ? `position ${position} of ${name}` : `position ${position}`;
}

/** A token as a screen reader says it. */
export function spoken(scene: Scene, token: number): string {
  const { data, shown, pinned } = scene;
  const start = `${isolated(data.place(token).label)}, ${placeOf(scene, token)}`;
  if (!data.computed[token]) return `${start}, not read${scene.job.state === "running" ? " yet" : ""}`;
  const latents = [...new Set([...(shown === null ? [] : [shown]), ...pinned])];
  return [
    start,
    ...latents.map((latent) => `${nameOf(scene, latent)} ${formatNumber(data.value(latent, token))}`),
  ].join(", ");
}

/** What is missing of a latent's activations, in words; null where nothing is. */
export function missing({ data, spec, live, job }: Scene, latent: number): string | null {
  if (data.isWhole(latent)) return null;
  const [here, all] = [data.column(latent).tokens.length, data.fires(latent)].map((n) => n.toLocaleString("en-US"));
  const word = noun(spec);
  const start = `${word[0].toUpperCase()}${word.slice(1)} ${latent} fires on ${all} tokens, and ${here} of them are here: `;
  if (!canComplete(data))
    return `${start}where it is among the ${spec.kept} strongest of a token. Asked for with latents=[${latent}], all are kept.`;
  const which = `${start}where it is among the ${data.perToken} strongest of a token.`;
  return live && job.state !== "running" ? `${which} The others are on their way.` : which;
}

/** Whether Python has more tokens of a latent than are here. */
export function canComplete({ spec, perToken }: FeatureData): boolean {
  return perToken !== null && (spec.kept === null || perToken < spec.kept);
}
