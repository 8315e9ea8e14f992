import { type Bytes, decode, numbers } from "../../core/array";
import type { Cell, GridArrays, GridSpec, RowsMessage, WirePrediction } from "../../core/protocol";

/** A cell by its indices into `spec.sites` and `spec.layers`; the protocol's `Cell` names them instead. */
export interface CellIndex {
  site: number;
  layer: number;
  pos: number;
}

export const Status = { pending: 0, computed: 1, known: 2, leftOut: 3 } as const;
export const STATUS_NAMES = ["pending", "computed", "known", "left_out"];

export function sameCell(a: CellIndex | null, b: CellIndex | null): boolean {
  return a === b || (!!a && !!b && a.site === b.site && a.layer === b.layer && a.pos === b.pos);
}

/** Null for a cell that this grid does not have: the state may come from anywhere. */
export function findCell(spec: GridSpec, cell: Cell | null): CellIndex | null {
  if (!cell) return null;
  const site = spec.sites.findIndex(({ name }) => name === cell.site);
  const layer = spec.layers.indexOf(cell.layer);
  const inside = Number.isInteger(cell.pos) && cell.pos >= 0 && cell.pos < positions(spec);
  return site >= 0 && layer >= 0 && inside ? { site, layer, pos: cell.pos } : null;
}

export function nameCell(spec: GridSpec, { site, layer, pos }: CellIndex): Cell {
  return { site: spec.sites[site].name, layer: spec.layers[layer], pos };
}

export function positions(spec: GridSpec): number {
  return spec.pairs[0].clean.labels.length;
}

/** A metric's value in the clean and in the corrupt run of a pair. What is no finite number came as null. */
export function baselines(spec: GridSpec, metric: number, pair: number): [clean: number, corrupt: number] {
  const [clean, corrupt] = spec.metrics[metric].baselines[pair] as (number | null)[];
  return [clean ?? Number.NaN, corrupt ?? Number.NaN];
}

/** The baselines of a pair in the run that is patched and in the run that is copied from. */
export function hostAndDonor(spec: GridSpec, metric: number, pair: number): [host: number, donor: number] {
  const [clean, corrupt] = baselines(spec, metric, pair);
  return spec.direction === "denoising" ? [corrupt, clean] : [clean, corrupt];
}

/** All that is known of every cell. Rows that stream in are written into the arrays in place. */
export class GridData {
  readonly sites: number;
  readonly layers: number;
  readonly positions: number;
  readonly pairs: number;
  #values: Float32Array;
  #status: Uint8Array;
  #topIds: Int32Array;
  #topProbs: Float32Array;
  #vocab: Record<string, string>;

  constructor(
    readonly spec: GridSpec,
    arrays: GridArrays,
  ) {
    this.sites = spec.sites.length;
    this.layers = spec.layers.length;
    this.positions = positions(spec);
    this.pairs = spec.pairs.length;
    this.#values = decode(arrays.values, "float32");
    this.#status = decode(arrays.status, "uint8");
    this.#topIds = decode(arrays.top_ids, "int32");
    this.#topProbs = decode(arrays.top_probs, "float32");
    this.#vocab = { ...arrays.vocab };
    const expected = this.pairs * this.sites * this.layers * this.positions;
    if (this.#status.length !== expected) {
      throw new Error(`the grid has ${expected} cells, but the status of ${this.#status.length} came.`);
    }
  }

  #at(pair: number, { site, layer, pos }: CellIndex): number {
    return ((pair * this.sites + site) * this.layers + layer) * this.positions + pos;
  }

  status(pair: number, cell: CellIndex): number {
    return this.#status[this.#at(pair, cell)];
  }

  value(metric: number, pair: number, cell: CellIndex): number {
    return this.#values[metric * this.#status.length + this.#at(pair, cell)];
  }

  /** The share of the gap between host and donor that the patch closes; NaN where there is no gap or no value. */
  effect(metric: number, pair: number, cell: CellIndex): number {
    const [host, donor] = hostAndDonor(this.spec, metric, pair);
    return donor === host ? Number.NaN : (this.value(metric, pair, cell) - host) / (donor - host);
  }

  top(pair: number, cell: CellIndex): WirePrediction[] {
    const k = this.spec.top_k;
    const start = this.#at(pair, cell) * k;
    const found: WirePrediction[] = [];
    for (let at = start; at < start + k; at++) {
      const id = this.#topIds[at];
      if (id >= 0) found.push({ label: this.#vocab[id] ?? `token ${id}`, prob: this.#topProbs[at] });
    }
    return found;
  }

  /** How many cells of all pairs hold a value. */
  countDone(): number {
    let done = 0;
    for (const status of this.#status) if (status !== Status.pending) done++;
    return done;
  }

  get size(): number {
    return this.#status.length;
  }

  /** Takes in the rows of a message. Its arrays have the row before the pair, those of the grid the pair first. */
  apply(message: RowsMessage, buffers: Bytes[]): void {
    const values = numbers("float32", buffers[0]);
    const status = numbers("uint8", buffers[1]);
    const ids = numbers("int32", buffers[2]);
    const probs = numbers("float32", buffers[3]);
    const { positions: length, pairs } = this;
    const k = this.spec.top_k;
    const rows = message.rows.length;
    Object.assign(this.#vocab, message.vocab);
    message.rows.forEach(([site, layer], row) => {
      if (!(site < this.sites && layer < this.layers)) return;
      for (let pair = 0; pair < pairs; pair++) {
        const to = this.#at(pair, { site, layer, pos: 0 });
        const from = (row * pairs + pair) * length;
        this.#status.set(status.subarray(from, from + length), to);
        this.#topIds.set(ids.subarray(from * k, (from + length) * k), to * k);
        this.#topProbs.set(probs.subarray(from * k, (from + length) * k), to * k);
        for (let metric = 0; metric < this.spec.metrics.length; metric++) {
          const start = metric * rows * pairs * length + from;
          this.#values.set(values.subarray(start, start + length), metric * this.#status.length + to);
        }
      }
    });
  }
}
