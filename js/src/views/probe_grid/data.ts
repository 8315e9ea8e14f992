import { decode } from "../../core/array";
import type { GridCell } from "../../core/cell_frame";
import type { ProbeArrays, ProbeChoice, ProbeSpec, WireExample } from "../../protocol/probe_grid";

/** A measure of a cell with what it is to be seen beside; NaN where there is none. */
export interface Figures {
  value: number;
  low: number;
  high: number;
  control: number;
}

/** An example that a probe read wrong. */
export interface Mistake extends WireExample {
  readAs: number;
  margin: number;
}

/** The numbers of probes, by measure, kind and cell. */
export class ProbeData {
  readonly #values: Float32Array;
  readonly #low: Float32Array;
  readonly #high: Float32Array;
  readonly #control: Float32Array;
  readonly #transfer: Float32Array;
  readonly #transferLow: Float32Array;
  readonly #transferHigh: Float32Array;
  readonly #confusion: Int32Array;
  readonly #mistakes: Int32Array;
  readonly #mistaken: Int32Array;
  readonly #margins: Float32Array;
  readonly #promoted: Int32Array;

  constructor(
    readonly spec: ProbeSpec,
    private readonly arrays: ProbeArrays,
  ) {
    this.#values = decode(arrays.values, "float32");
    this.#low = decode(arrays.low, "float32");
    this.#high = decode(arrays.high, "float32");
    this.#control = decode(arrays.control, "float32");
    this.#transfer = decode(arrays.transfer, "float32");
    this.#transferLow = decode(arrays.transfer_low, "float32");
    this.#transferHigh = decode(arrays.transfer_high, "float32");
    this.#confusion = decode(arrays.confusion, "int32");
    this.#mistakes = decode(arrays.mistakes, "int32");
    this.#mistaken = decode(arrays.mistaken, "int32");
    this.#margins = decode(arrays.margins, "float32");
    this.#promoted = decode(arrays.promoted, "int32");
    const cells = spec.measures.length * spec.kinds.length * spec.rows.length * spec.columns.length;
    if (this.#values.length !== cells) throw new Error(`${this.#values.length} values came for ${cells} cells.`);
  }

  get size(): { rows: number; columns: number } {
    return { rows: this.spec.rows.length, columns: this.spec.columns.length };
  }

  figures(measure: number, kind: number, cell: GridCell): Figures {
    const at = this.#at(measure * this.spec.kinds.length + kind, cell);
    return { value: this.#values[at], low: this.#low[at], high: this.#high[at], control: this.#control[at] };
  }

  isComputed(cell: GridCell): boolean {
    // Accuracy, the first measure, is a number wherever there is something.
    return !Number.isNaN(this.figures(0, 0, cell).value);
  }

  /** What a measure is on another set. */
  transferred(set: number, measure: number, kind: number, cell: GridCell): Figures {
    const { measures, kinds } = this.spec;
    const at = this.#at((set * measures.length + measure) * kinds.length + kind, cell);
    const [value, low, high] = [this.#transfer[at], this.#transferLow[at], this.#transferHigh[at]];
    return { value, low, high, control: Number.NaN };
  }

  /** How often each class was read as each. */
  confusion(kind: number, cell: GridCell): number[][] {
    const count = this.spec.classes.length;
    const from = this.#at(kind, cell) * count * count;
    return Array.from({ length: count }, (_, own) =>
      Array.from(this.#confusion.subarray(from + own * count, from + (own + 1) * count)),
    );
  }

  mistakes(kind: number, cell: GridCell): Mistake[] {
    const most = this.arrays.mistakes.shape[3];
    const from = this.#at(kind, cell) * most;
    const found: Mistake[] = [];
    for (let n = from; n < from + most && this.#mistakes[n] >= 0; n++) {
      const example = this.arrays.examples[this.#mistakes[n]];
      found.push({ ...example, readAs: this.#mistaken[n], margin: this.#margins[n] });
    }
    return found;
  }

  /** For each direction, the tokens that it promotes and those that it suppresses. */
  promoted(kind: number, cell: GridCell): { up: string[]; down: string[] }[] {
    const [, , , directions, , most] = this.arrays.promoted.shape;
    const side = (from: number) =>
      Array.from(this.#promoted.subarray(from, from + most))
        .filter((at) => at >= 0)
        .map((at) => this.arrays.tokens[at]);
    return Array.from({ length: directions }, (_, direction) => {
      const from = (this.#at(kind, cell) * directions + direction) * 2 * most;
      return { up: side(from), down: side(from + most) };
    });
  }

  /** The cell where a measure is largest, the first that is reached; null while there is none. */
  best(measure: number, kind: number): GridCell | null {
    let best: GridCell | null = null;
    let most = Number.NEGATIVE_INFINITY;
    for (let row = 0; row < this.spec.rows.length; row++) {
      for (let column = 0; column < this.spec.columns.length; column++) {
        const { value } = this.figures(measure, kind, { row, column });
        if (value > most + 1e-6) [best, most] = [{ row, column }, value];
      }
    }
    return best;
  }

  /** The cell that a choice means; null where there is no such cell. */
  find(choice: ProbeChoice | null): GridCell | null {
    if (!choice) return null;
    const row = this.spec.rows.findIndex(({ site, layer }) => site === choice.site && layer === choice.layer);
    const column = this.spec.columns.findIndex(({ pos }) => pos === (choice.pos ?? null));
    return row < 0 || column < 0 ? null : { row, column };
  }

  choice({ row, column }: GridCell): ProbeChoice {
    return { ...this.spec.rows[row], pos: this.spec.columns[column].pos };
  }

  #at(before: number, { row, column }: GridCell): number {
    return (before * this.spec.rows.length + row) * this.spec.columns.length + column;
  }
}
