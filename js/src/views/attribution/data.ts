import { decode } from "../../core/array";
import { confidence, mean } from "../../core/statistics";
import type {
  AttributionArrays,
  AttributionChoice,
  AttributionSpec,
  WireComponent,
  WireNeurons,
  WireSources,
} from "../../protocol/attribution";

/** Groups of components in which the sum is told. */
export const GROUPS = ["embedding", "attention", "MLPs", "biases"] as const;
export type Group = (typeof GROUPS)[number];

/** A stretch of the sum: what one layer's attention or MLP adds to it, or what stands before and behind all layers. */
export interface Step {
  group: Group;
  layer: number | null;
  from: number;
  to: number;
}

/** A number at one component with what is known of its spread over prompts. */
export interface Spread {
  mean: number;
  /** Half the width of the 95% interval of the mean; NaN for one prompt. */
  half: number;
  each: number[];
}

/** What one neuron adds. */
export interface Neuron {
  neuron: number;
  contribution: number;
  activation: number;
}

export function groupOf({ kind, site }: WireComponent): Group {
  if (kind === "head" || kind === "attention" || site === "attn_bias") return "attention";
  if (kind === "mlp" || site === "mlp_bias") return "MLPs";
  return kind === "bias" ? "biases" : "embedding";
}

/** The contributions that Python sent, in logits. A prompt of null is the mean over all prompts that are computed. */
export class AttributionData {
  readonly prompts: number;
  readonly targets: number;
  readonly components: readonly WireComponent[];
  /** First token of each prompt, and the count of all at the end. */
  readonly offsets: number[];
  /** Prompts that are computed. */
  readonly done: number[];
  readonly #contributions: Float32Array;
  readonly #logits: Float32Array;
  readonly #unexplained: Float32Array;
  readonly #scales: Float32Array;
  readonly #positions: Int32Array;
  readonly #ids: Int32Array;
  readonly #values = new Map<string, Float64Array>();

  constructor(
    readonly spec: AttributionSpec,
    readonly arrays: AttributionArrays,
  ) {
    [this.prompts, this.targets] = arrays.contributions.shape;
    this.components = spec.components;
    this.#contributions = decode(arrays.contributions, "float32");
    this.#logits = decode(arrays.logits, "float32");
    this.#unexplained = decode(arrays.unexplained, "float32");
    this.#scales = decode(arrays.scales, "float32");
    this.#positions = decode(spec.targets, "int32");
    this.#ids = decode(spec.ids, "int32");
    this.offsets = [...spec.text.starts, spec.text.labels.length];
    this.done = Array.from({ length: this.prompts }, (_, prompt) => prompt).filter(
      (prompt) => !Number.isNaN(this.#logits[prompt * this.targets]),
    );
  }

  /** The position of a target in a prompt. */
  position(prompt: number, target: number): number {
    return this.#positions[prompt * this.targets + target];
  }

  /** Token ids of a prompt. */
  ids(prompt: number): number[] {
    return Array.from(this.#ids.subarray(this.offsets[prompt], this.offsets[prompt + 1]));
  }

  /** What every component adds. */
  values(prompt: number | null, target: number): Float64Array {
    const key = `${prompt}/${target}`;
    let values = this.#values.get(key);
    if (!values) {
      values = Float64Array.from(this.components, (_, at) =>
        mean(this.#each(prompt).map((p) => this.#at(p, target, at))),
      );
      this.#values.set(key, values);
    }
    return values;
  }

  spread(target: number, component: number): Spread {
    const each = this.done.map((prompt) => this.#at(prompt, target, component));
    return { mean: mean(each), half: confidence(each), each };
  }

  /** The model's own logit difference. */
  logit(prompt: number | null, target: number): number {
    return mean(this.#each(prompt).map((p) => this.#logits[p * this.targets + target]));
  }

  /** How far the sum misses the model's own difference, at most. */
  residue(prompt: number | null, target: number): number {
    return Math.max(0, ...this.#each(prompt).map((p) => Math.abs(this.#unexplained[p * this.targets + target])));
  }

  /** What the last norm divides by: the least and the most. */
  scales(prompt: number | null, target: number): [number, number] {
    const scales = this.#each(prompt).map((p) => this.#scales[p * this.targets + target]);
    return [Math.min(...scales), Math.max(...scales)];
  }

  /** The sum over each group. */
  sums(prompt: number | null, target: number): Map<Group, number> {
    const sums = new Map<Group, number>();
    this.values(prompt, target).forEach((value, at) => {
      const group = groupOf(this.components[at]);
      sums.set(group, (sums.get(group) ?? 0) + value);
    });
    return sums;
  }

  /** How the sum grows: a step for each layer's attention and MLP in the order of the model. */
  steps(prompt: number | null, target: number): Step[] {
    const steps: Step[] = [];
    let total = 0;
    this.values(prompt, target).forEach((value, at) => {
      const part = this.components[at];
      const group = groupOf(part);
      const last = steps.at(-1);
      const step =
        last && last.group === group && last.layer === part.layer
          ? last
          : { group, layer: part.layer, from: total, to: total };
      if (step !== last) steps.push(step);
      total += value;
      step.to = total;
    });
    return steps;
  }

  /** Which component is at a place; null for none. */
  find(place: AttributionChoice | null): number | null {
    if (!place) return null;
    const at = this.components.findIndex(
      ({ site, layer, head }) =>
        site === place.site && layer === (place.layer ?? null) && head === (place.head ?? null),
    );
    return at < 0 ? null : at;
  }

  #each(prompt: number | null): number[] {
    return prompt === null ? this.done : [prompt];
  }

  #at(prompt: number, target: number, component: number): number {
    return this.#contributions[(prompt * this.targets + target) * this.components.length + component];
  }
}

/** What a head brings from each token. */
export class Sources {
  readonly #contributions: Float32Array;
  readonly #weights: Float32Array;
  readonly #targets: number;
  readonly #longest: number;

  constructor({ contributions, weights }: WireSources) {
    [, this.#targets, this.#longest] = contributions.shape;
    this.#contributions = decode(contributions, "float32");
    this.#weights = decode(weights, "float32");
  }

  contribution(prompt: number, target: number, source: number): number {
    return this.#contributions[(prompt * this.#targets + target) * this.#longest + source];
  }

  weight(prompt: number, target: number, source: number): number {
    return this.#weights[(prompt * this.#targets + target) * this.#longest + source];
  }
}

/** The neurons of an MLP that lead, the strongest first, and what all others add together. */
export function neuronsOf(
  wire: WireNeurons,
  data: AttributionData,
  prompt: number | null,
  target: number,
  most: number,
): Neuron[] {
  const neurons = decode(wire.neurons, "int32");
  const contributions = decode(wire.contributions, "float32");
  const activations = decode(wire.activations, "float32");
  const prompts = prompt === null ? data.done : [prompt];
  const at = (values: Float32Array, entry: number) =>
    mean(prompts.map((p) => values[(p * data.targets + target) * neurons.length + entry]));
  const found = Array.from(neurons, (neuron, entry) => ({
    neuron,
    contribution: at(contributions, entry),
    activation: at(activations, entry),
  }));
  return found.sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution)).slice(0, most);
}
