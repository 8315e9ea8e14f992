import { type Bytes, decode, numbers } from "../../core/array";
import { lineOf } from "../../core/token_lines";
import type { FeatureArrays, FeatureSpec, TokensMessage, WireColumn, WireFit } from "../../protocol/features";

/** All tokens of a latent that are here. */
export interface Column {
  tokens: Int32Array;
  values: Float32Array;
}

/** What a latent does on one text. */
export interface Statistics {
  maximum: number;
  total: number;
  fires: number;
}

export interface Firing {
  latent: number;
  value: number;
}

/** Latents on tokens: what Python sent, whole or in pieces. Tokens of all texts are counted through. */
export class FeatureData {
  readonly count: number;
  /** First token of each text, and the count at the end. */
  readonly offsets: number[];
  readonly perToken: number | null;
  readonly fit: WireFit | null;
  readonly computed: Uint8Array;
  readonly #latents: Int32Array[];
  readonly #values: Float32Array[];
  readonly #statistics = new Map<number, Statistics[]>();
  readonly #columns = new Map<number, Column>();
  readonly #dense = new Map<number, Float32Array>();

  constructor(
    readonly spec: FeatureSpec,
    arrays: FeatureArrays,
  ) {
    this.offsets = [0];
    for (const { labels } of spec.texts) this.offsets.push(this.offsets[this.offsets.length - 1] + labels.length);
    this.count = this.offsets[spec.texts.length];
    this.perToken = arrays.per_token;
    this.fit = arrays.fit;
    this.computed = Uint8Array.from(decode(arrays.computed, "uint8"));
    const starts = decode(arrays.starts, "int32");
    const latents = decode(arrays.latents, "int32");
    const values = decode(arrays.activations, "float32");
    this.#latents = Array.from({ length: this.count }, (_, token) =>
      latents.subarray(starts[token], starts[token + 1]),
    );
    this.#values = Array.from({ length: this.count }, (_, token) => values.subarray(starts[token], starts[token + 1]));
    this.#setStatistics(
      decode(arrays.firing, "int32"),
      decode(arrays.maximum, "float32"),
      decode(arrays.total, "float32"),
      decode(arrays.fires, "int32"),
    );
  }

  /** Adds tokens that were read since. */
  apply(_message: TokensMessage, buffers: Bytes[]): void {
    const tokens = numbers("int32", buffers[0]);
    const counts = numbers("int32", buffers[1]);
    const latents = numbers("int32", buffers[2]);
    const values = numbers("float32", buffers[3]);
    let from = 0;
    tokens.forEach((token, n) => {
      const to = from + counts[n];
      this.#latents[token] = latents.subarray(from, to);
      this.#values[token] = values.subarray(from, to);
      this.computed[token] = 1;
      from = to;
    });
    this.#setStatistics(
      numbers("int32", buffers[4]),
      numbers("float32", buffers[5]),
      numbers("float32", buffers[6]),
      numbers("int32", buffers[7]),
    );
    this.#columns.clear();
    this.#dense.clear();
  }

  /** Takes in all tokens of a latent, as Python tells them when it is asked. */
  complete(latent: number, { tokens, activations }: WireColumn): void {
    this.#columns.set(latent, { tokens: Int32Array.from(tokens), values: Float32Array.from(activations) });
    this.#dense.delete(latent);
  }

  /** Latents that fire somewhere, in no order. */
  get firing(): Iterable<number> {
    return this.#statistics.keys();
  }

  get firingCount(): number {
    return this.#statistics.size;
  }

  statistics(latent: number, text: number): Statistics {
    return this.#statistics.get(latent)?.[text] ?? NOTHING;
  }

  /** The most latents that a token has. */
  get most(): number {
    return this.#latents.reduce((most, { length }) => Math.max(most, length), 0);
  }

  /** How many tokens of a text have been read. */
  read(text: number): number {
    let count = 0;
    for (let token = this.offsets[text]; token < this.offsets[text + 1]; token++) count += this.computed[token];
    return count;
  }

  /** On how many tokens a latent fires, of all texts. */
  fires(latent: number): number {
    return this.spec.texts.reduce((sum, _, text) => sum + this.statistics(latent, text).fires, 0);
  }

  /** The largest size of a latent's activation, over all texts. */
  largest(latent: number): number {
    return this.spec.texts.reduce(
      (most, _, text) => Math.max(most, Math.abs(this.statistics(latent, text).maximum)),
      0,
    );
  }

  /** The text that a token is in. */
  textOf(token: number): number {
    return this.offsets.length > 2 && token >= this.offsets[1] ? 1 : 0;
  }

  /** Where a token is: its text, the document there, counted through all texts, and its position in the document. */
  place(token: number): { text: number; document: number; position: number; label: string } {
    const text = this.textOf(token);
    const { starts, labels } = this.spec.texts[text];
    const at = token - this.offsets[text];
    const document = lineOf([...starts, labels.length], at);
    const before = text === 0 ? 0 : this.spec.texts[0].starts.length;
    return { text, document: document + before, position: at - starts[document], label: labels[at] };
  }

  /** Number of documents of all texts. */
  get documents(): number {
    return this.spec.texts.reduce((sum, { starts }) => sum + starts.length, 0);
  }

  /** The latents of a token that are here, the strongest first. */
  at(token: number): Firing[] {
    const values = this.#values[token];
    return Array.from(this.#latents[token], (latent, n) => ({ latent, value: values[n] }))
      .filter(({ value }) => Math.abs(value) > this.spec.threshold)
      .sort((a, b) => Math.abs(b.value) - Math.abs(a.value) || a.latent - b.latent);
  }

  /** Something that is another one once a token has been read anew. */
  identity(token: number): object {
    return this.#latents[token];
  }

  /** Whether a token has all its latents here. */
  hasAll(token: number): boolean {
    return this.perToken === null || this.#latents[token].length < this.perToken;
  }

  column(latent: number): Column {
    const found = this.#columns.get(latent);
    if (found) return found;
    const tokens: number[] = [];
    const values: number[] = [];
    for (let token = 0; token < this.count; token++) {
      const at = find(this.#latents[token], latent);
      if (at >= 0) {
        tokens.push(token);
        values.push(this.#values[token][at]);
      }
    }
    const column = { tokens: Int32Array.from(tokens), values: Float32Array.from(values) };
    this.#columns.set(latent, column);
    return column;
  }

  /** Whether all tokens on which a latent fires are here: as many as the statistics count. */
  isWhole(latent: number): boolean {
    return this.column(latent).tokens.length >= this.fires(latent);
  }

  /** A latent at every token of a text: 0 where it does not fire, NaN where nothing was read. */
  values(latent: number, text: number): Float32Array {
    let whole = this.#dense.get(latent);
    if (!whole) {
      whole = new Float32Array(this.count);
      for (let token = 0; token < this.count; token++) if (!this.computed[token]) whole[token] = Number.NaN;
      const { tokens, values } = this.column(latent);
      tokens.forEach((token, n) => {
        (whole as Float32Array)[token] = values[n];
      });
      // Long texts would fill memory with columns that were looked at once.
      if (this.#dense.size > 64) this.#dense.clear();
      this.#dense.set(latent, whole);
    }
    return whole.subarray(this.offsets[text], this.offsets[text + 1]);
  }

  value(latent: number, token: number): number {
    const text = this.textOf(token);
    return this.values(latent, text)[token - this.offsets[text]];
  }

  #setStatistics(firing: Int32Array, maximum: Float32Array, total: Float32Array, fires: Int32Array): void {
    firing.forEach((latent, n) => {
      this.#statistics.set(
        latent,
        this.spec.texts.map((_, text) => {
          const at = text * firing.length + n;
          return { maximum: maximum[at], total: total[at], fires: fires[at] };
        }),
      );
    });
  }
}

const NOTHING: Statistics = { maximum: 0, total: 0, fires: 0 };

function find(rising: Int32Array, wanted: number): number {
  let [low, high] = [0, rising.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (rising[middle] === wanted) return middle;
    if (rising[middle] < wanted) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}
