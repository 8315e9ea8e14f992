import { decode } from "../../core/array";
import type { SuperpositionArrays, SuperpositionSpec, WireShape } from "../../protocol/superposition";

/** Length from which a direction counts as kept, as in Python. */
export const KEPT = 0.5;

/** What is known of one feature in one model. */
export interface Facts {
  norm: number;
  dimensionality: number;
  interference: number;
  bias: number;
}

/** The models of every sparsity, decoded; what is about one sparsity is about the best of its models. */
export class Toys {
  readonly features: number;
  readonly levels: number;
  readonly #weights: Float32Array;
  readonly #facts: Record<keyof Facts, Float32Array>;
  readonly #losses: Float32Array;
  readonly #lost: Float32Array;
  readonly #grams = new Map<number, Float32Array>();

  constructor(
    readonly spec: SuperpositionSpec,
    private readonly arrays: SuperpositionArrays,
  ) {
    this.features = spec.importance.length;
    this.levels = spec.probabilities.length;
    this.#weights = decode(arrays.weights, "float32");
    this.#facts = {
      norm: decode(arrays.norms, "float32"),
      dimensionality: decode(arrays.dimensionality, "float32"),
      interference: decode(arrays.interference, "float32"),
      bias: decode(arrays.biases, "float32"),
    };
    this.#losses = decode(arrays.losses, "float32");
    this.#lost = decode(arrays.lost, "float32");
    const sizes = [
      [this.#weights, this.levels * spec.n_hidden * this.features],
      ...Object.values(this.#facts).map((array) => [array, this.levels * spec.n_models * this.features] as const),
      [this.#lost, this.levels * spec.n_models],
    ] as const;
    if (sizes.some(([array, size]) => array.length !== size)) throw new Error("its arrays do not fit its description.");
  }

  get trained(): number {
    return this.arrays.trained;
  }

  best(level: number): number {
    return this.arrays.best[level];
  }

  /** How one feature fares; by default in the best model. */
  facts(level: number, feature: number, model = this.best(level)): Facts {
    const at = (level * this.spec.n_models + model) * this.features + feature;
    const { norm, dimensionality, interference, bias } = this.#facts;
    return { norm: norm[at], dimensionality: dimensionality[at], interference: interference[at], bias: bias[at] };
  }

  lost(level: number, model = this.best(level)): number {
    return this.#lost[level * this.spec.n_models + model];
  }

  loss(level: number, model = this.best(level)): number {
    return this.#losses[level * this.spec.n_models + model];
  }

  /** Component of a feature's direction. */
  weight(level: number, hidden: number, feature: number): number {
    return this.#weights[(level * this.spec.n_hidden + hidden) * this.features + feature];
  }

  /** Where a feature's direction ends in the plane. */
  tip(level: number, feature: number): [x: number, y: number] {
    return [this.weight(level, 0, feature), this.spec.n_hidden > 1 ? this.weight(level, 1, feature) : 0];
  }

  /** WᵀW, (feature, feature). */
  gram(level: number): Float32Array {
    const known = this.#grams.get(level);
    if (known) return known;
    const n = this.features;
    const gram = new Float32Array(n * n);
    for (let hidden = 0; hidden < this.spec.n_hidden; hidden++) {
      for (let row = 0; row < n; row++) {
        const own = this.weight(level, hidden, row);
        for (let column = 0; column < n; column++) gram[row * n + column] += own * this.weight(level, hidden, column);
      }
    }
    this.#grams.set(level, gram);
    return gram;
  }

  /** What another feature, when fully on, adds to the read-out of a feature. */
  reads(level: number, feature: number, other: number): number {
    return this.gram(level)[feature * this.features + other];
  }

  /** How far another feature's direction lies along a feature's own: Ŵ_i · W_j. */
  along(level: number, feature: number, other: number): number {
    const { norm } = this.facts(level, feature);
    return norm > 0 ? this.reads(level, feature, other) / norm : 0;
  }

  kept(level: number): number {
    let count = 0;
    for (let feature = 0; feature < this.features; feature++) {
      if (this.facts(level, feature).norm >= KEPT) count++;
    }
    return count;
  }

  shapeOf(level: number, feature: number): WireShape | null {
    return this.arrays.shapes[level].find(({ features }) => features.includes(feature)) ?? null;
  }

  shapes(level: number): readonly WireShape[] {
    return this.arrays.shapes[level];
  }

  geometry(level: number): string {
    return this.arrays.geometry[level];
  }

  /** The longest direction of all pictures, which share one scale. */
  get longest(): number {
    let longest = 1.2;
    for (let level = 0; level < this.levels; level++) {
      for (let feature = 0; feature < this.features; feature++) {
        longest = Math.max(longest, this.facts(level, feature).norm);
      }
    }
    return longest;
  }
}
