import type { Model } from "../src/core/model";
import type { WireArray } from "../src/protocol/common";
import type { GridArrays, GridSpec, GridState, WirePair, WirePanel, WireStory } from "../src/protocol/patching_grid";
import { sizeOf } from "../src/views/patching_grid/data";

/** A buffer that starts at an odd offset, as buffers inside a larger message do. */
export function unaligned(bytes: ArrayBuffer, offset = 3): DataView<ArrayBuffer> {
  const whole = new Uint8Array(bytes.byteLength + offset + 5).fill(0xab);
  whole.set(new Uint8Array(bytes), offset);
  return new DataView(whole.buffer, offset, bytes.byteLength);
}

const dtypes = { float32: Float32Array, int32: Int32Array, uint16: Uint16Array, uint8: Uint8Array };

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

export const denoising: WireStory = {
  question: "Where is what makes the model say $answer rather than $wrong_answer?",
  question_of_several: "Where is what makes the model prefer the answer?",
  cell: "Each cell is one run of the corrupt prompt.",
  label: "denoising: clean → corrupt",
  deed: "Copying $what from the clean run",
  negative: "pushes back",
  positive: "restores the clean answer",
  sides: ["clean", "corrupt"],
  host: 1,
  averaging: "shares",
  noun: "pair",
};

export const noising: WireStory = { ...denoising, deed: "Copying $what from the corrupt run", host: 0 };

export const term = (name: string, label = name, unit = "") => ({ name, label, meaning: `what ${label} is`, unit });

export function panel(name: string, overrides: Partial<WirePanel> = {}): WirePanel {
  const lines = [0, 4, 8].map((layer) => ({ layer, head: null, latent: null, name: "" }));
  return { term: term(name), lines, columns: "pos", labels: [], notes: [], ...overrides };
}

/** Two heads in each of two layers. */
export const heads = [0, 1].flatMap((layer) => [0, 1].map((head) => ({ layer, head, latent: null, name: "" })));

/** What a dictionary of latents carries: its error, one latent, and all of them. */
export const latents = ["error", 532, "all"].map((latent) => ({ layer: 1, head: null, latent, name: "" }));

/** Two sites, three layers (of which the middle one is layer 4), four tokens: a transposed axis cannot go unnoticed. */
export function spec(overrides: Partial<GridSpec> = {}): GridSpec {
  return {
    story: denoising,
    direction: "denoising",
    panels: [panel("resid_pre"), panel("mlp_out")],
    pairs: [pair(LABELS, CORRUPT)],
    metrics: [
      { term: term("logit_diff", "logit difference", "logits"), baselines: [[3, -1]] },
      { term: term("rank"), baselines: [[0, 0]] },
    ],
    asked: "logit_diff",
    top_k: 2,
    code_sites: { resid_pre: "h[$layer][$pos] $clean_ids $corrupt_ids\nprint($metric)" },
    code_metrics: { logit_diff: "logits[$answer] - logits[$wrong_answer]" },
    code_fills: {},
    code_mean: {},
    code_refused: {},
    provenance: ["demo model"],
    by_position: false,
    ...overrides,
  };
}

/** Every value says where it is: 1000 pair + 100 panel + 10 row + column. */
export function arrays(
  of: GridSpec,
  value = (p: number, s: number, l: number, t: number) => 1000 * p + 100 * s + 10 * l + t,
): GridArrays {
  const sizes = of.panels.map((_, number) => sizeOf(of, number));
  const rows = Math.max(...sizes.map((size) => size.rows));
  const shape = [of.pairs.length, of.panels.length, rows, Math.max(...sizes.map((size) => size.columns))];
  const size = shape.reduce((a, b) => a * b, 1);
  const values: number[] = [];
  for (const _ of of.metrics)
    for (let p = 0; p < shape[0]; p++)
      for (let s = 0; s < shape[1]; s++)
        for (let l = 0; l < shape[2]; l++) for (let t = 0; t < shape[3]; t++) values.push(value(p, s, l, t));
  return {
    values: wire("float32", [of.metrics.length, ...shape], values),
    status: wire("uint8", shape, new Array(size).fill(1)),
    estimates: null,
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
    strips: null,
    job: { state: "done", done: 24, total: 24, seconds: 1, eta: null, error: null, note: null },
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
export class FakeModel<State extends object = GridState> implements Model<State> {
  readonly sent: unknown[] = [];
  readonly listeners = new Map<string, Set<Listener>>();
  saved = 0;

  constructor(readonly state: State) {}

  get<Name extends keyof State & string>(name: Name): State[Name] {
    return this.state[name];
  }
  set<Name extends keyof State & string>(name: Name, value: State[Name]): void {
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
