import type { FeatureArrays, FeatureSpec, FeatureState, WireCard } from "../src/protocol/features";
import { wire } from "./fixture";

export const LABELS = ["␣When", "␣Mary", "␣met", "␣John", ",", "␣Mary", "␣left", "↵"];

/** Latent 3 fires on names, 5 on the comma, 40 once and more strongly than any; 6 of 64 tokens have latent 7. */
export const FIRES: Record<number, number>[] = [
  { 40: 9 },
  { 3: 1.5, 7: 0.25 },
  {},
  { 3: 2.5 },
  { 5: 1 },
  { 3: 0.5, 7: 0.75 },
  { 7: 0.5 },
  {},
];

export function spec(overrides: Partial<FeatureSpec> = {}): FeatureSpec {
  return {
    texts: [{ name: "text", labels: LABELS, starts: [0] }],
    dictionary: {
      name: "demo dictionary",
      kind: "sae",
      reads: "resid_post of layer 1",
      writes: "resid_post of layer 1",
      n_latents: 64,
      normalised: "",
      signed: false,
    },
    threshold: 0,
    kept: null,
    answers: true,
    turns: true,
    code: "print($latent)\n",
    provenance: ["demo model"],
    ...overrides,
  };
}

/** Arrays by their definition; `hidden` leaves out entries that the statistics still count. */
export function arrays(
  of: FeatureSpec,
  fires: Record<number, number>[] = FIRES,
  { hidden = [], computed = fires.map(() => 1) }: { hidden?: [number, number][]; computed?: number[] } = {},
): FeatureArrays {
  const here = fires.map((latents, token) =>
    Object.entries(latents)
      .map(([latent, value]) => [Number(latent), value] as const)
      .filter(([latent]) => !hidden.some(([t, l]) => t === token && l === latent)),
  );
  const starts = [0];
  for (const entries of here) starts.push(starts[starts.length - 1] + entries.length);
  const firing = [...new Set(fires.flatMap((latents) => Object.keys(latents).map(Number)))].sort((a, b) => a - b);
  const ends = [0];
  for (const { labels } of of.texts) ends.push(ends[ends.length - 1] + labels.length);
  const statistic = (make: (values: number[]) => number) =>
    of.texts.flatMap((_, text) =>
      firing.map((latent) => make(fires.slice(ends[text], ends[text + 1]).flatMap((latents) => latents[latent] ?? []))),
    );
  const shape = [of.texts.length, firing.length];
  const flat = here.flat();
  return {
    starts: wire("int32", [starts.length], starts),
    latents: wire(
      "int32",
      [flat.length],
      flat.map(([latent]) => latent),
    ),
    activations: wire(
      "float32",
      [flat.length],
      flat.map(([, value]) => value),
    ),
    computed: wire("uint8", [computed.length], computed),
    firing: wire("int32", [firing.length], firing),
    maximum: wire(
      "float32",
      shape,
      statistic((values) => values.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0)),
    ),
    total: wire(
      "float32",
      shape,
      statistic((values) => values.reduce((sum, value) => sum + value, 0)),
    ),
    fires: wire(
      "int32",
      shape,
      statistic((values) => values.length),
    ),
    per_token: hidden.length ? 1 : null,
    fit: null,
  };
}

export const card: WireCard = {
  promotes: [{ label: "␣said", logit: 2 }],
  suppresses: [{ label: "␣the", logit: -1 }],
  nearest: [{ latent: 5, cosine: 0.5 }],
  written_by: [{ component: "head 1.2", weight: 0.8, latent: null }],
  written_at: { document: 0, position: 2 },
  feeds: [{ component: "latent 7", weight: 0.1, latent: 7 }],
  examples: [{ labels: ["␣dear", "␣Mary", "!"], values: [0, 4, 0.5], peak: 1 }],
  histogram: { edges: [0, 1, 2], counts: [5, 1] },
  density: 0.02,
  corpus: "a corpus",
};

export function state(overrides: Partial<FeatureState> = {}, of = spec()): FeatureState {
  return {
    spec: of,
    arrays: arrays(of),
    dial: null,
    cards: { 3: card },
    job: { state: "done", done: 8, total: 8, seconds: 1, eta: null, error: null, note: null },
    selected: null,
    pinned: [],
    sort: "max",
    color_limit: null,
    names: {},
    notes: {},
    theme: "light",
    ...overrides,
  };
}
