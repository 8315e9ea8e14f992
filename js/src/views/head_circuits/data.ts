import { decode } from "../../core/array";
import { WholePattern } from "../../core/pattern_source";
import type { CircuitArrays, CircuitName, CircuitSpec } from "../../protocol/head_circuits";

/** A head by the model's numbers. */
export interface Head {
  layer: number;
  head: number;
}

/** An entry of a head's map, by places on the axes: the token that is attended to, and the other one. */
export interface Entry {
  row: number;
  column: number;
  value: number;
}

/** The circuits of all heads. Rows of every map are the token that is attended to. */
export class CircuitData {
  readonly count: number;
  readonly #maps: Record<CircuitName, Float32Array>;
  readonly #copying: Float32Array;
  readonly #eigenvalues: Float32Array;
  readonly #byOffset: Float32Array;
  readonly #width: number;
  readonly #offsets: number;
  readonly #sources = new Map<string, WholePattern>();
  readonly #limits = new Map<string, number>();

  constructor(
    readonly spec: CircuitSpec,
    readonly arrays: CircuitArrays,
  ) {
    this.count = spec.labels.length;
    this.#maps = { qk: decode(arrays.qk, "float32"), ov: decode(arrays.ov, "float32") };
    this.#copying = decode(arrays.copying, "float32");
    this.#eigenvalues = decode(arrays.eigenvalues, "float32");
    this.#byOffset = decode(arrays.by_offset, "float32");
    this.#width = arrays.eigenvalues.shape[2];
    this.#offsets = arrays.by_offset.shape[2];
  }

  /** A head's map, (attended, attending) of QK and (attended, promoted) of OV. */
  source(circuit: CircuitName, head: Head): WholePattern {
    const key = `${circuit} ${head.layer} ${head.head}`;
    let source = this.#sources.get(key);
    if (!source) {
      const { count } = this;
      const size = count * count;
      const at = this.#at(head);
      const own = this.#maps[circuit].subarray(at * size, (at + 1) * size);
      source = new WholePattern(circuit === "ov" ? own : transposed(own, count), count);
      this.#sources.set(key, source);
    }
    return source;
  }

  value(circuit: CircuitName, head: Head, row: number, column: number): number {
    return this.source(circuit, head).tile(0).values[row * this.count + column];
  }

  /** The largest size of a number, of one head or of all. */
  largest(circuit: CircuitName, head: Head | null): number {
    const key = `${circuit} ${head?.layer} ${head?.head}`;
    let limit = this.#limits.get(key);
    if (limit === undefined) {
      const values = head ? this.source(circuit, head).tile(0).values : this.#maps[circuit];
      limit = values.reduce((most, value) => (Number.isNaN(value) ? most : Math.max(most, Math.abs(value))), 0);
      this.#limits.set(key, limit);
    }
    return limit;
  }

  /** From −1 to 1; not a number where it is not known. */
  copying(head: Head): number {
    return this.#copying[this.#at(head)];
  }

  /** Real and imaginary parts, one pair after the other. */
  eigenvalues(head: Head): Float32Array {
    const at = this.#at(head) * this.#width * 2;
    return this.#eigenvalues.subarray(at, at + 2 * this.#width);
  }

  byOffset(head: Head): Float32Array {
    const at = this.#at(head) * this.#offsets;
    return this.#byOffset.subarray(at, at + this.#offsets);
  }

  isRead(head: Head): boolean {
    return !Number.isNaN(this.value("ov", head, 0, 0));
  }

  /** The head that copies most, or the first. */
  get leading(): Head {
    const { layers, heads } = this.spec;
    let best = 0;
    this.#copying.forEach((value, at) => {
      if (value > (Number.isNaN(this.#copying[best]) ? -2 : this.#copying[best])) best = at;
    });
    return { layer: layers[Math.floor(best / heads.length)], head: heads[best % heads.length] };
  }

  /** The entries of a row or of the whole map with the largest numbers, the largest first. */
  top(circuit: CircuitName, head: Head, most: number, row: number | null = null): Entry[] {
    const { values } = this.source(circuit, head).tile(0);
    const { count } = this;
    const first = row === null ? 0 : row * count;
    const entries = Array.from(values.subarray(first, row === null ? values.length : first + count), (value, n) => ({
      row: Math.floor((first + n) / count),
      column: (first + n) % count,
      value,
    }));
    return entries
      .filter(({ value }) => !Number.isNaN(value))
      .sort((a, b) => b.value - a.value)
      .slice(0, most);
  }

  #at({ layer, head }: Head): number {
    return this.spec.layers.indexOf(layer) * this.spec.heads.length + this.spec.heads.indexOf(head);
  }
}

function transposed(values: Float32Array, count: number): Float32Array {
  return Float32Array.from(values, (_, n) => values[(n % count) * count + Math.floor(n / count)]);
}
