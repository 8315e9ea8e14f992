import type { Model } from "../src/core/model";
import type { GridArrays, GridSpec, GridState, WireArray, WirePair } from "../src/core/protocol";

/** A buffer that starts at an odd offset, as buffers inside a larger message do. */
export function unaligned(bytes: ArrayBuffer, offset = 3): DataView<ArrayBuffer> {
  const whole = new Uint8Array(bytes.byteLength + offset + 5).fill(0xab);
  whole.set(new Uint8Array(bytes), offset);
  return new DataView(whole.buffer, offset, bytes.byteLength);
}

const dtypes = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array };

export function wire(dtype: keyof typeof dtypes, shape: number[], values: ArrayLike<number>): WireArray {
  return { dtype, shape, data: unaligned(dtypes[dtype].from(values).buffer as ArrayBuffer) };
}

export function pair(clean: string[], corrupt: string[], answer = "␣Mary", wrong = "␣John"): WirePair {
  return {
    clean: { labels: clean, top: [{ label: answer, prob: 0.71 }] },
    corrupt: { labels: corrupt, top: [{ label: wrong, prob: 0.69 }] },
    clean_ids: clean.map((_, i) => i),
    corrupt_ids: corrupt.map((_, i) => i + 100),
    answer,
    wrong_answer: wrong,
    answer_id: 7,
    wrong_answer_id: 8,
    answer_source: "given",
    differs: clean.flatMap((label, i) => (label === corrupt[i] ? [] : [i])),
  };
}

const LABELS = ["The", "␣cat", "␣sat", "␣on"];
const CORRUPT = ["The", "␣dog", "␣sat", "␣on"];

/** Two sites, three layers (of which the middle one is layer 4), four tokens: a transposed axis cannot go unnoticed. */
export function spec(overrides: Partial<GridSpec> = {}): GridSpec {
  const term = (name: string, label = name, unit = "") => ({ name, label, meaning: `what ${label} is`, unit });
  return {
    direction: "denoising",
    sites: [term("resid_pre"), term("mlp_out")],
    layers: [0, 4, 8],
    pairs: [pair(LABELS, CORRUPT)],
    metrics: [
      { term: term("logit_diff", "logit difference", "logits"), baselines: [[3, -1]] },
      { term: term("rank"), baselines: [[0, 0]] },
    ],
    top_k: 2,
    code_sites: { resid_pre: "h[$layer][$pos] $clean_ids $corrupt_ids\nprint($metric)" },
    code_metrics: { logit_diff: "logits[$answer] - logits[$wrong_answer]" },
    provenance: ["demo model"],
    ...overrides,
  };
}

/** Every value says where it is: 1000 pair + 100 site + 10 layer + pos. */
export function arrays(
  of: GridSpec,
  value = (p: number, s: number, l: number, t: number) => 1000 * p + 100 * s + 10 * l + t,
): GridArrays {
  const shape = [of.pairs.length, of.sites.length, of.layers.length, of.pairs[0].clean.labels.length];
  const size = shape.reduce((a, b) => a * b, 1);
  const values: number[] = [];
  for (const _ of of.metrics)
    for (let p = 0; p < shape[0]; p++)
      for (let s = 0; s < shape[1]; s++)
        for (let l = 0; l < shape[2]; l++) for (let t = 0; t < shape[3]; t++) values.push(value(p, s, l, t));
  return {
    values: wire("float32", [of.metrics.length, ...shape], values),
    status: wire("uint8", shape, new Array(size).fill(1)),
    top_ids: wire(
      "int32",
      [...shape, of.top_k],
      Array.from({ length: size * of.top_k }, (_, i) => i % 2),
    ),
    top_probs: wire("float32", [...shape, of.top_k], new Array(size * of.top_k).fill(0.5)),
    vocab: { 0: "␣Mary", 1: "␣John" },
  };
}

export function state(overrides: Partial<GridState> = {}, of = spec()): GridState {
  return {
    spec: of,
    arrays: arrays(of),
    job: { state: "done", done: 24, total: 24, seconds: 1, eta: null, error: null },
    selected: null,
    metric: "logit_diff",
    pair: null,
    color_limit: 1,
    theme: "light",
    ...overrides,
  };
}

type Listener = (...args: unknown[]) => void;

/** A model that records what a view does with it. */
export class FakeModel implements Model<GridState> {
  readonly sent: unknown[] = [];
  readonly listeners = new Map<string, Set<Listener>>();
  saved = 0;

  constructor(readonly state: GridState) {}

  get<Name extends keyof GridState & string>(name: Name): GridState[Name] {
    return this.state[name];
  }
  set<Name extends keyof GridState & string>(name: Name, value: GridState[Name]): void {
    this.state[name] = value;
    this.emit(`change:${name}`);
  }
  save_changes(): void {
    this.saved++;
  }
  send(content: unknown): void {
    this.sent.push(content);
  }
  on(event: string, callback: Listener): void {
    this.listeners.set(event, (this.listeners.get(event) ?? new Set()).add(callback));
  }
  off(event: string, callback: Listener): void {
    this.listeners.get(event)?.delete(callback);
  }
  emit(event: string, ...args: unknown[]): void {
    for (const listener of [...(this.listeners.get(event) ?? [])]) listener(...args);
  }
  get listening(): number {
    return [...this.listeners.values()].reduce((sum, set) => sum + set.size, 0);
  }
}
