import { type Bytes, decode, numbers } from "../../core/array";
import type { ResidualMapArrays, ResidualMapSpec, WireLayer } from "../../protocol/residual_map";

/** Points of one layer, in the layer's own units. */
export interface Placed {
  x: Float32Array;
  y: Float32Array;
  left: number;
  right: number;
  low: number;
  high: number;
}

const STEPS = 65535;

/** What is known of points: their tokens, and where they lie in the layers that are here. */
export class MapData {
  /** (point): its token, counted through all prompts. */
  readonly token: Int32Array;
  /** (point). */
  readonly prompt: Int32Array;
  readonly starts: Int32Array;
  readonly layers = new Map<number, WireLayer>();
  readonly #text: Uint16Array | Int32Array;
  readonly #labels: Int32Array;
  readonly #coords = new Map<number, Uint16Array>();
  readonly #placed = new Map<string, Placed>();

  constructor(
    readonly spec: ResidualMapSpec,
    arrays: ResidualMapArrays,
  ) {
    const { text } = arrays;
    this.#text = text.dtype === "uint16" ? decode(text, "uint16") : decode(text, "int32");
    this.starts = decode(arrays.starts, "int32");
    this.#labels = decode(arrays.labels, "int32");
    const taken = decode(arrays.taken, "uint8");
    this.token = new Int32Array(spec.n_points);
    this.prompt = new Int32Array(spec.n_points);
    let [point, prompt] = [0, 0];
    for (let token = 0; token < taken.length; token++) {
      while (prompt + 1 < this.starts.length && this.starts[prompt + 1] <= token) prompt++;
      if (!taken[token]) continue;
      this.token[point] = token;
      this.prompt[point++] = prompt;
    }
    if (point !== spec.n_points) throw new Error(`${spec.n_points} points were announced, ${point} came.`);
    for (const layer of arrays.layers) this.add(layer, layer.coords && decode(layer.coords, "uint16"));
  }

  get count(): number {
    return this.spec.n_points;
  }

  /** Takes in a layer that came by itself. */
  receive(layer: WireLayer, buffers: Bytes[]): void {
    this.add(layer, buffers.length > 0 ? numbers("uint16", buffers[0]) : null);
  }

  private add(layer: WireLayer, coords: Uint16Array | null): void {
    this.layers.set(layer.row, layer);
    if (coords) this.#coords.set(layer.row, coords);
    this.#placed.clear();
  }

  has(row: number): boolean {
    return this.#coords.has(row);
  }

  /** Rows of layers whose points are here, in order. */
  get rows(): number[] {
    return [...this.#coords.keys()].sort((a, b) => a - b);
  }

  /** Where points lie along two axes of a layer; null where that is not here. */
  place(row: number, [across, up]: readonly number[], align: boolean): Placed | null {
    const key = `${row}/${across}/${up}/${align}`;
    const known = this.#placed.get(key);
    if (known) return known;
    const coords = this.#coords.get(row);
    const layer = this.layers.get(row);
    if (!coords || !layer) return null;
    const [x, y] = [this.#along(coords, layer, across, align), this.#along(coords, layer, up, align)];
    const [left, right] = extent(x);
    const [low, high] = extent(y);
    const placed = { x, y, left, right, low, high };
    // Two layers are held: the one that is left and the one that comes.
    if (this.#placed.size > 3) this.#placed.delete(this.#placed.keys().next().value as string);
    this.#placed.set(key, placed);
    return placed;
  }

  #along(coords: Uint16Array, { low, high, turn }: WireLayer, axis: number, align: boolean): Float32Array {
    const n = this.count;
    const values = new Float32Array(n);
    for (let from = 0; from < low.length; from++) {
      const weight = align ? turn[from][axis] : Number(from === axis);
      if (weight === 0) continue;
      const step = ((high[from] - low[from]) / STEPS) * weight;
      const base = low[from] * weight;
      const offset = from * n;
      for (let point = 0; point < n; point++) values[point] += base + step * coords[offset + point];
    }
    return values;
  }

  label(point: number): string {
    return this.spec.vocab[this.#text[this.token[point]]];
  }

  /** Number of a point's token in the vocabulary. */
  word(point: number): number {
    return this.#text[this.token[point]];
  }

  position(point: number): number {
    return this.token[point] - this.starts[this.prompt[point]];
  }

  /** Number of what a point's prompt is called; −1 where it has no label. */
  group(point: number): number {
    return this.#labels.length ? this.#labels[this.prompt[point]] : -1;
  }

  groupName(point: number): string | null {
    return this.#labels.length ? this.spec.labels[this.group(point)] : null;
  }

  /** Labels of the tokens around a point's, and which of them it is. */
  around(point: number, before: number, after: number): { labels: string[]; at: number; cut: boolean } {
    const token = this.token[point];
    const prompt = this.prompt[point];
    const start = this.starts[prompt];
    const end = prompt + 1 < this.starts.length ? this.starts[prompt + 1] : this.#text.length;
    const from = Math.max(start, token - before);
    const to = Math.min(end, token + 1 + after);
    const labels = Array.from(this.#text.subarray(from, to), (word) => this.spec.vocab[word]);
    return { labels, at: token - from, cut: from > start };
  }

  /** Labels of the tokens at a position of the prompts, each once. */
  words(position: number): string[] {
    const words = new Set<number>();
    for (let prompt = 0; prompt < this.starts.length; prompt++) {
      const end = prompt + 1 < this.starts.length ? this.starts[prompt + 1] : this.#text.length;
      if (this.starts[prompt] + position < end) words.add(this.#text[this.starts[prompt] + position]);
    }
    return Array.from(words, (word) => this.spec.vocab[word]);
  }

  /** The points at a position of all prompts, or of one. */
  at(position: number, prompt: number | null = null): number[] {
    const prompts = prompt === null ? Array.from(this.starts.keys()) : [prompt];
    return prompts.map((each) => this.find(each, position)).filter((point) => point !== null);
  }

  /** The point of a token of a prompt; null where it is none. */
  find(prompt: number, position: number): number | null {
    const wanted = this.starts[prompt] + position;
    let [low, high] = [0, this.count - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (this.token[middle] === wanted) return this.prompt[middle] === prompt ? middle : null;
      if (this.token[middle] < wanted) low = middle + 1;
      else high = middle - 1;
    }
    return null;
  }
}

function extent(values: Float32Array): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let n = 0; n < values.length; n++) {
    const value = values[n];
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}
