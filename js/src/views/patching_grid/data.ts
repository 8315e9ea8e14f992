import { type Bytes, decode, numbers } from "../../core/array";
import type { WirePrediction } from "../../protocol/common";
import type { Cell, GridArrays, GridSpec, RowsMessage, WireLine } from "../../protocol/patching_grid";

/** A cell by its indices into `spec.panels` and the panel's rows and columns; the protocol's `Cell` names them. */
export interface CellIndex {
  panel: number;
  row: number;
  column: number;
}

/** What is known of a cell; `passing` is an estimate that an exact value will replace. */
export const Status = { pending: 0, computed: 1, known: 2, leftOut: 3, estimated: 4, passing: 5 } as const;
export const STATUS_NAMES = ["pending", "computed", "known", "left_out", "estimated", "estimated"];

/** Whether the rows of a panel are heads, of which a layer has many. */
export function isByHead(lines: readonly WireLine[]): boolean {
  return (lines[0]?.head ?? null) !== null;
}

export function isEstimate(status: number): boolean {
  return status >= Status.estimated;
}

export function sameCell(a: CellIndex | null, b: CellIndex | null): boolean {
  return a === b || (!!a && !!b && a.panel === b.panel && a.row === b.row && a.column === b.column);
}

/** How many rows and columns a panel has; the arrays are as long as the longest panel. */
export interface Size {
  rows: number;
  columns: number;
}

export function sizeOf(spec: GridSpec, panel: number): Size {
  const { lines, columns, labels } = spec.panels[panel];
  const width = { pos: spec.pairs[0].clean.labels.length, layer: 1 }[columns as string] ?? labels.length;
  return { rows: lines.length, columns: width };
}

/** Null for a cell that this grid does not have: the state may come from anywhere. */
export function findCell(spec: GridSpec, cell: Cell | null): CellIndex | null {
  if (!cell) return null;
  for (const panel of spec.panels.keys()) {
    if (spec.panels[panel].term.name !== cell.site) continue;
    const { lines, columns, labels } = spec.panels[panel];
    const row = lines.findIndex(
      ({ layer, head, latent }) =>
        layer === cell.layer && (head === null || head === cell.head) && (latent === null || latent === cell.latent),
    );
    const named = columns === "layer" ? 0 : cell[columns];
    const column = columns === "pos" || columns === "layer" ? Number(named) : labels.indexOf(String(named));
    const inside = Number.isInteger(column) && column >= 0 && column < sizeOf(spec, panel).columns;
    if (row >= 0 && inside) return { panel, row, column };
  }
  return null;
}

export function nameCell(spec: GridSpec, { panel, row, column }: CellIndex): Cell {
  const { term, lines, columns, labels } = spec.panels[panel];
  const { layer, head, latent } = lines[row];
  const cell: Cell = { site: term.name, layer };
  if (head !== null) cell.head = head;
  if (latent !== null) cell.latent = latent;
  if (columns === "pos") cell.pos = column;
  else if (columns === "role") cell.role = labels[column];
  else if (columns !== "layer") cell[columns] = Number(labels[column]);
  return cell;
}

/** The token position that a cell stands for; null where columns are something else. */
export function positionOf(spec: GridSpec, cell: CellIndex | null): number | null {
  return cell && spec.panels[cell.panel].columns === "pos" ? cell.column : null;
}

/** A metric's value on both sides of a pair. What is no finite number came as null. */
export function baselines(spec: GridSpec, metric: number, pair: number): [first: number, second: number] {
  const [first, second] = spec.metrics[metric].baselines[pair] as (number | null)[];
  return [first ?? Number.NaN, second ?? Number.NaN];
}

/** The baselines of a pair that are an effect of 0 and of 1. */
export function hostAndDonor(spec: GridSpec, metric: number, pair: number): [host: number, donor: number] {
  const ends = baselines(spec, metric, pair);
  return spec.story.host === 1 ? [ends[1], ends[0]] : ends;
}

/** All that is known of every cell. Rows that stream in are written into the arrays in place. */
export class GridData {
  readonly pairs: number;
  readonly panels: readonly Size[];
  /** Rows and columns of the arrays. */
  readonly rows: number;
  readonly columns: number;
  /** Host and donor baseline of every (metric, pair). */
  readonly ends: [host: number, donor: number][][];
  #values: Float32Array;
  #status: Uint8Array;
  #estimates: Float32Array | null;
  #topIds: Int32Array;
  #topProbs: Float32Array;
  #vocab: Record<string, string>;

  constructor(
    readonly spec: GridSpec,
    arrays: GridArrays,
  ) {
    this.pairs = spec.pairs.length;
    this.panels = spec.panels.map((_, panel) => sizeOf(spec, panel));
    this.#values = decode(arrays.values, "float32");
    this.#status = decode(arrays.status, "uint8");
    this.#estimates = arrays.estimates && decode(arrays.estimates, "float32");
    this.#topIds = decode(arrays.top_ids, "int32");
    this.#topProbs = decode(arrays.top_probs, "float32");
    this.#vocab = { ...arrays.vocab };
    this.ends = spec.metrics.map((_, metric) => spec.pairs.map((__, pair) => hostAndDonor(spec, metric, pair)));
    const [pairs, panels, rows, columns] = arrays.status.shape;
    this.rows = rows;
    this.columns = columns;
    const fits = this.panels.every((size) => size.rows <= rows && size.columns <= columns);
    if (pairs !== this.pairs || panels !== this.panels.length || !fits) {
      const wanted = `${this.pairs} pairs of ${this.panels.map((size) => `${size.rows} x ${size.columns}`).join(", ")}`;
      throw new Error(`the grid has ${wanted} cells, but an array of ${arrays.status.shape.join(" x ")} came.`);
    }
  }

  has({ panel, row, column }: CellIndex): boolean {
    return row < (this.panels[panel]?.rows ?? 0) && column < this.panels[panel].columns;
  }

  /** Where a cell is in an array of one pair. */
  at({ panel, row, column }: CellIndex): number {
    return (panel * this.rows + row) * this.columns + column;
  }

  cellAt(index: number): CellIndex {
    const line = Math.floor(index / this.columns);
    return { panel: Math.floor(line / this.rows), row: line % this.rows, column: index % this.columns };
  }

  /** Number of places in an array of one pair. */
  get size(): number {
    return this.panels.length * this.rows * this.columns;
  }

  statusAt(pair: number, at: number): number {
    return this.#status[pair * this.size + at];
  }

  valueAt(metric: number, pair: number, at: number): number {
    return this.#values[(metric * this.pairs + pair) * this.size + at];
  }

  /** The share of the gap between host and donor that the cell closes; NaN where there is no gap or no value. */
  effectAt(metric: number, pair: number, at: number): number {
    const [host, donor] = this.ends[metric][pair];
    return donor === host ? Number.NaN : (this.valueAt(metric, pair, at) - host) / (donor - host);
  }

  get hasEstimates(): boolean {
    return this.#estimates !== null || this.#status.some(isEstimate);
  }

  /** What a cell was estimated to be, in the metric's unit; NaN where it was not. */
  estimateAt(metric: number, pair: number, at: number): number {
    if (this.spec.metrics[metric].term.name !== this.spec.asked) return Number.NaN;
    if (isEstimate(this.statusAt(pair, at))) return this.valueAt(metric, pair, at);
    return this.#estimates?.[pair * this.size + at] ?? Number.NaN;
  }

  top(pair: number, cell: CellIndex): WirePrediction[] {
    const k = this.spec.top_k;
    const start = (pair * this.size + this.at(cell)) * k;
    const found: WirePrediction[] = [];
    for (let at = start; at < start + k; at++) {
      const id = this.#topIds[at];
      if (id >= 0) found.push({ label: this.#vocab[id] ?? `token ${id}`, prob: this.#topProbs[at] });
    }
    return found;
  }

  /** Notes what was estimated of the cells of a row before other values take their place. */
  #keepEstimates(pair: number, from: number, length: number): void {
    const metric = this.spec.metrics.findIndex(({ term }) => term.name === this.spec.asked);
    for (let at = from; at < from + length; at++) {
      if (!isEstimate(this.#status[at])) continue;
      this.#estimates ??= new Float32Array(this.pairs * this.size).fill(Number.NaN);
      this.#estimates[at] = this.valueAt(metric, pair, at - pair * this.size);
    }
  }

  /** Takes in the rows of a message. Its arrays have the row before the pair, those of the grid the pair first. */
  apply(message: RowsMessage, buffers: Bytes[]): void {
    const values = numbers("float32", buffers[0]);
    const status = numbers("uint8", buffers[1]);
    const ids = numbers("int32", buffers[2]);
    const probs = numbers("float32", buffers[3]);
    const { columns: length, pairs, size } = this;
    const k = this.spec.top_k;
    const rows = message.rows.length;
    Object.assign(this.#vocab, message.vocab);
    message.rows.forEach(([panel, row], number) => {
      if (!this.has({ panel, row, column: 0 })) return;
      for (let pair = 0; pair < pairs; pair++) {
        const to = pair * size + this.at({ panel, row, column: 0 });
        const from = (number * pairs + pair) * length;
        this.#keepEstimates(pair, to, length);
        this.#status.set(status.subarray(from, from + length), to);
        this.#topIds.set(ids.subarray(from * k, (from + length) * k), to * k);
        this.#topProbs.set(probs.subarray(from * k, (from + length) * k), to * k);
        for (let metric = 0; metric < this.spec.metrics.length; metric++) {
          const start = metric * rows * pairs * length + from;
          this.#values.set(values.subarray(start, start + length), metric * pairs * size + to);
        }
      }
    });
  }
}
