import type { FeatureState } from "../../protocol/features";
import type { FeatureData } from "./data";

export type Sort = FeatureState["sort"];

/** A latent with the number that it is ranked by. */
export interface Ranked {
  latent: number;
  score: number;
}

/** A latent's statistic over the texts, as Python's `FeatureResult.ranked` has it. */
export function score(data: FeatureData, latent: number, sort: Sort, read: readonly number[]): number {
  const texts = read.map((_, text) => data.statistics(latent, text));
  const tokens = Math.max(
    1,
    read.reduce((sum, count) => sum + count, 0),
  );
  switch (sort) {
    case "max":
      return texts.reduce((most, { maximum }) => (Math.abs(maximum) > Math.abs(most) ? maximum : most), 0);
    case "mean":
      return texts.reduce((sum, { total }) => sum + total, 0) / tokens;
    case "density":
      return texts.reduce((sum, { fires }) => sum + fires, 0) / tokens;
    case "difference":
      return texts[0].total / Math.max(1, read[0]) - (texts[1]?.total ?? 0) / Math.max(1, read[1] ?? 1);
  }
}

/** All latents that fire, the leading ones first. */
export function ranked(data: FeatureData, sort: Sort): Ranked[] {
  const read = data.spec.texts.map((_, text) => data.read(text));
  return Array.from(data.firing, (latent) => ({ latent, score: score(data, latent, sort, read) })).sort(
    (a, b) => Math.abs(b.score) - Math.abs(a.score) || a.latent - b.latent,
  );
}

/** The latent to begin with: the one that leads, unless it fires on a single token of each document, as one for their start does. */
export function leading(data: FeatureData, order: readonly Ranked[]): number | null {
  const first = order.slice(0, 24).find(({ latent }) => data.fires(latent) > data.documents) ?? order[0];
  return first?.latent ?? null;
}

/**
 * The latents that a search finds: by number, or by what people named them or wrote. A number that does not fire here is
 * found too, so that it can be looked at.
 */
export function search(
  order: readonly Ranked[],
  wanted: string,
  texts: { names: Record<string, string>; notes: Record<string, string> },
  count: number,
): Ranked[] {
  const text = wanted.trim().toLowerCase();
  if (!text) return [...order];
  const has = (latent: number) =>
    [texts.names[latent], texts.notes[latent]].some((written) => written?.toLowerCase().includes(text));
  const digits = /^#?(\d+)$/.exec(text)?.[1];
  if (digits === undefined) {
    const here = new Set(order.map(({ latent }) => latent));
    const silent = [...Object.keys(texts.names), ...Object.keys(texts.notes)].map(Number);
    const others = [...new Set(silent)].filter((latent) => !here.has(latent) && has(latent));
    return [...order.filter(({ latent }) => has(latent)), ...others.map((latent) => ({ latent, score: 0 }))];
  }
  const number = Number(digits);
  const exact = order.find(({ latent }) => latent === number) ?? { latent: number, score: 0 };
  const others = order.filter(({ latent }) => latent !== number && (String(latent).startsWith(digits) || has(latent)));
  return number < count ? [exact, ...others] : others;
}
