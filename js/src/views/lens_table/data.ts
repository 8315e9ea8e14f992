import { type Bytes, floats, numbers, wholes } from "../../core/array";
import type { LensArrays, LensCellsMessage, LensSpec } from "../../protocol/lens_table";

/** A token with its probability. */
export interface Said {
  token: number;
  label: string;
  prob: number;
}

type Arrays = Record<(typeof ARRAYS)[number], Float32Array>;

const ARRAYS = ["logprobs", "ranks", "entropy", "kl", "log_sums", "apart", "top_probs"] as const;

/** The numbers of a lens. Cells are (prompt, row, position); row 0 is the embedding. */
export class LensData {
  readonly prompts: number;
  readonly rows: number;
  readonly length: number;
  readonly answers: readonly string[];
  readonly k: number;
  readonly #floats: Arrays;
  readonly #top: Int32Array;
  readonly #labels: string[];
  readonly #ids: number[];

  constructor(
    readonly spec: LensSpec,
    arrays: LensArrays,
  ) {
    [this.prompts, this.rows, this.length] = arrays.entropy.shape;
    if (this.prompts !== spec.prompts.length || this.rows !== spec.rows.length)
      throw new Error(`numbers for ${this.prompts} prompts and ${this.rows} rows came, others were announced.`);
    this.answers = arrays.answers;
    this.k = arrays.top.shape[3];
    this.#floats = Object.fromEntries(ARRAYS.map((name) => [name, floats(arrays[name])])) as Arrays;
    if (arrays.ranks.dtype === "float16") this.#floats.ranks = this.#floats.ranks.map((rank) => rank * 8);
    this.#top = wholes(arrays.top);
    this.#labels = [...arrays.vocab];
    this.#ids = Array.from(wholes(arrays.vocab_ids));
  }

  /** Takes in cells that were read since. */
  apply(message: LensCellsMessage, buffers: Bytes[]): void {
    this.#labels.push(...message.vocab);
    this.#ids.push(...message.vocab_ids);
    const cells = numbers("int32", buffers[0]);
    const { prompts, rows, length, k } = this;
    const each = { logprobs: this.answers.length, ranks: this.answers.length, top_probs: k };
    const plane = rows * length;
    const put = (to: Float32Array | Int32Array, from: Float32Array | Int32Array, size: number) => {
      const sides = to.length / (plane * size);
      for (let side = 0; side < sides; side++)
        cells.forEach((cell, n) => {
          const start = (side * cells.length + n) * size;
          to.set(from.subarray(start, start + size), (side * plane + cell) * size);
        });
    };
    const order = ["logprobs", "ranks", "entropy", "kl", "log_sums", "apart"] as const;
    order.forEach((name, n) => {
      put(this.#floats[name], numbers("float32", buffers[n + 1]), name in each ? each[name as keyof typeof each] : 1);
    });
    const sent = prompts * cells.length;
    const most = numbers("int32", buffers[7]).length / Math.max(1, sent);
    const [top, probs] = [numbers("int32", buffers[7]), numbers("float32", buffers[8])];
    for (let prompt = 0; prompt < prompts; prompt++)
      cells.forEach((cell, n) => {
        const [from, to] = [(prompt * cells.length + n) * most, (prompt * plane + cell) * k];
        this.#top.set(top.subarray(from, from + k), to);
        this.#floats.top_probs.set(probs.subarray(from, from + k), to);
      });
  }

  at(prompt: number, row: number, pos: number): number {
    return (prompt * this.rows + row) * this.length + pos;
  }

  isRead(at: number): boolean {
    return !Number.isNaN(this.#floats.entropy[at]);
  }

  get complete(): boolean {
    return !this.#floats.entropy.some(Number.isNaN);
  }

  entropy(at: number): number {
    return this.#floats.entropy[at];
  }

  kl(at: number): number {
    return this.#floats.kl[at];
  }

  /** How far what is said of the corrupt prompt is from the clean one, in nats. */
  apart(row: number, pos: number): number {
    return this.#floats.apart[row * this.length + pos];
  }

  logprob(at: number, answer: number): number {
    return this.#floats.logprobs[at * this.answers.length + answer];
  }

  logit(at: number, answer: number): number {
    return this.logprob(at, answer) + this.#floats.log_sums[at];
  }

  rank(at: number, answer: number): number {
    return this.#floats.ranks[at * this.answers.length + answer];
  }

  topProb(at: number): number {
    return this.#floats.top_probs[at * this.k];
  }

  topLabel(at: number): string {
    return this.#labels[this.#top[at * this.k]] ?? "";
  }

  /** The likeliest tokens of a cell, as many as are here. */
  top(at: number): Said[] {
    if (!this.isRead(at)) return [];
    return Array.from({ length: this.k }, (_, n) => {
      const number = this.#top[at * this.k + n];
      return { token: this.#ids[number], label: this.#labels[number], prob: this.#floats.top_probs[at * this.k + n] };
    });
  }

  /** The token that follows in the prompt; null at its end. */
  next(prompt: number, pos: number): { token: number; label: string } | null {
    if (pos + 1 >= this.length) return null;
    return { token: this.spec.ids[prompt][pos + 1], label: this.spec.prompts[prompt].labels[pos + 1] };
  }

  /** Whether the likeliest token of a cell is the one that follows in the prompt. */
  hits(prompt: number, row: number, pos: number): boolean {
    const at = this.at(prompt, row, pos);
    return this.isRead(at) && this.#ids[this.#top[at * this.k]] === this.next(prompt, pos)?.token;
  }
}
