import type { AttributionArrays, AttributionSpec, AttributionState, WireComponent } from "../src/protocol/attribution";
import { wire } from "./fixture";

export const LABELS = ["␣When", "␣Mary", "␣met", "␣John", "␣to", "␣Tom", "␣saw", "␣Ann"];
/** The second prompt begins at token 5. */
const STARTS = [0, 5];

const part = (
  name: string,
  kind: WireComponent["kind"],
  site: string,
  layer: number | null = null,
  head: number | null = null,
): WireComponent => ({ name, kind, site, layer, head });

/** Two layers of two heads. */
export const COMPONENTS = [
  part("embedding", "embedding", "embed"),
  ...[0, 1].flatMap((layer) => [
    part(`head ${layer}.0`, "head", "z", layer, 0),
    part(`head ${layer}.1`, "head", "z", layer, 1),
    part(`MLP ${layer}`, "mlp", "mlp_out", layer),
    part(`MLP ${layer} bias`, "bias", "mlp_bias", layer),
  ]),
  part("last biases", "bias", "bias"),
];

/** (prompt, target, component). */
export const CONTRIBUTIONS = [
  [[0.1, 0.2, -0.3, 0.4, 0, 2, -1, 0.5, 0.05, 0.02]],
  [[0.3, 0.2, 0.1, 0.4, 0, 3, -1, 0.7, 0.05, 0.02]],
];

export function spec(overrides: Partial<AttributionSpec> = {}): AttributionSpec {
  return {
    text: { name: "prompts", labels: LABELS, starts: STARTS },
    ids: wire("int32", [8], [5, 6, 7, 8, 9, 15, 16, 17]),
    components: COMPONENTS,
    n_layers: 2,
    n_heads: 2,
    targets: wire("int32", [2, 1], [4, 2]),
    opens: true,
    has_sources: true,
    has_neurons: true,
    code: { z: "print($layer, $head, $ids, $pos, w$answer - w$wrong_answer)\n" },
    provenance: ["demo model"],
    ...overrides,
  };
}

export function arrays(contributions = CONTRIBUTIONS, overrides: Partial<AttributionArrays> = {}): AttributionArrays {
  const shape = [contributions.length, contributions[0].length];
  const totals = contributions.flat().map((values) => values.reduce((sum, value) => sum + value, 0));
  return {
    contributions: wire("float32", [...shape, COMPONENTS.length], contributions.flat(2)),
    logits: wire("float32", shape, totals),
    unexplained: wire(
      "float32",
      shape,
      totals.map(() => -2e-6),
    ),
    scales: wire(
      "float32",
      shape,
      totals.map((_, at) => 2.5 + at),
    ),
    answers: ["␣Mary", "␣Tom"],
    wrong_answers: ["␣John", "␣Ann"],
    answer_ids: [11, 12],
    wrong_answer_ids: [21, null],
    ...overrides,
  };
}

/** Head 1.0 takes three quarters of its contribution from the second token, and a quarter from the target. */
export const SOURCES = {
  contributions: wire("float32", [2, 1, 5], [0, 1.5, 0, 0, 0.5, 0, 2.25, 0.75, Number.NaN, Number.NaN]),
  weights: wire("float32", [2, 1, 5], [0, 0.75, 0, 0, 0.25, 0, 0.75, 0.25, Number.NaN, Number.NaN]),
};

export const NEURONS = {
  count: 40,
  neurons: wire("int32", [3], [7, 30, 2]),
  contributions: wire("float32", [2, 1, 3], [0.2, 0.3, -0.2, 0.5, 0.3, -0.2]),
  activations: wire("float32", [2, 1, 3], [1, 2, 3, 1, 2, 3]),
};

export function state(overrides: Partial<AttributionState> = {}): AttributionState {
  return {
    spec: spec(),
    arrays: arrays(),
    sources: {},
    neuron_parts: {},
    job: { state: "done", done: 2, total: 2, seconds: 1, eta: null, error: null, note: null },
    selected: null,
    prompt: null,
    target: 0,
    color_limit: null,
    theme: "light",
    ...overrides,
  };
}
