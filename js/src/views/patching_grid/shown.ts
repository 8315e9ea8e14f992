import { type CellIndex, type GridData, Status } from "./data";

/** The effects of one metric, for one pair or as the mean of all, with the axes (site, layer, pos). */
export class ShownGrid {
  readonly effect: Float32Array;
  readonly status: Uint8Array;
  /** The pairs that are averaged. */
  readonly pairs: readonly number[];

  constructor(
    readonly data: GridData,
    readonly metric: number,
    /** Null for the mean of all pairs. */
    readonly pair: number | null,
  ) {
    this.pairs = pair === null ? data.spec.pairs.map((_, number) => number) : [pair];
    const size = data.sites * data.layers * data.positions;
    this.effect = new Float32Array(size);
    this.status = new Uint8Array(size);
    for (let site = 0; site < data.sites; site++) {
      for (let layer = 0; layer < data.layers; layer++) this.refreshRow(site, layer);
    }
  }

  at({ site, layer, pos }: CellIndex): number {
    return (site * this.data.layers + layer) * this.data.positions + pos;
  }

  cellAt(index: number): CellIndex {
    const { layers, positions } = this.data;
    return {
      site: Math.floor(index / (layers * positions)),
      layer: Math.floor(index / positions) % layers,
      pos: index % positions,
    };
  }

  refreshRow(site: number, layer: number): void {
    for (let pos = 0; pos < this.data.positions; pos++) {
      const cell = { site, layer, pos };
      const at = this.at(cell);
      this.effect[at] = this.#meanEffect(cell);
      this.status[at] = this.#statusOf(cell);
    }
  }

  // Runs for every cell whenever the metric changes, so it makes no arrays.
  #meanEffect(cell: CellIndex): number {
    if (this.pair !== null) return this.data.effect(this.metric, this.pair, cell);
    let sum = 0;
    let count = 0;
    for (let pair = 0; pair < this.data.pairs; pair++) {
      const effect = this.data.effect(this.metric, pair, cell);
      if (Number.isNaN(effect)) continue;
      sum += effect;
      count++;
    }
    return count ? sum / count : Number.NaN;
  }

  /** Effects of the pairs computed so far. */
  effects(cell: CellIndex): number[] {
    return this.pairs
      .map((pair) => this.data.effect(this.metric, pair, cell))
      .filter((effect) => !Number.isNaN(effect));
  }

  /** Sample standard deviation of the effect between pairs; NaN for fewer than two. */
  spread(cell: CellIndex): number {
    const effects = this.effects(cell);
    const centre = mean(effects);
    const squares = effects.reduce((sum, effect) => sum + (effect - centre) ** 2, 0);
    return effects.length < 2 ? Number.NaN : Math.sqrt(squares / (effects.length - 1));
  }

  /** The metric's own value, as mean over pairs. */
  value(cell: CellIndex): number {
    const values = this.pairs.map((pair) => this.data.value(this.metric, pair, cell));
    return mean(values.filter((value) => !Number.isNaN(value)));
  }

  // A cell that one pair lacks is still to come, unless another pair has measured it. Positions are left out of all.
  #statusOf(cell: CellIndex): number {
    let rest: number = this.data.status(this.pairs[0], cell);
    for (const pair of this.pairs) {
      const status = this.data.status(pair, cell);
      if (status === Status.computed) return Status.computed;
      if (status === Status.pending) rest = Status.pending;
    }
    return rest;
  }

  /** The cell with the largest effect in either direction; null if nothing is computed. */
  strongest(site: number | null = null): CellIndex | null {
    const stride = this.effect.length / this.data.sites;
    let best = -1;
    let size = 0;
    const [from, to] = site === null ? [0, this.effect.length] : [site * stride, (site + 1) * stride];
    for (let at = from; at < to; at++) {
      const magnitude = Math.abs(this.effect[at]);
      if (this.status[at] !== Status.pending && magnitude > size) {
        size = magnitude;
        best = at;
      }
    }
    return best < 0 ? null : this.cellAt(best);
  }

  /** What the legend tells: the largest effect, how many lie beyond the scale, and which kinds of cells there are. */
  survey(limit: number): Survey {
    const survey: Survey = { largest: 0, beyond: 0, extreme: 0, pending: 0, known: 0, undefined: 0 };
    for (let at = 0; at < this.effect.length; at++) {
      if (this.status[at] === Status.pending) survey.pending++;
      else if (this.status[at] === Status.known) survey.known++;
      const effect = this.effect[at];
      if (Number.isNaN(effect)) {
        if (this.status[at] !== Status.pending && this.status[at] !== Status.leftOut) survey.undefined++;
        continue;
      }
      const magnitude = Math.abs(effect);
      if (magnitude > survey.largest) {
        survey.largest = magnitude;
        survey.extreme = effect;
      }
      if (isBeyond(effect, limit)) survey.beyond++;
    }
    return survey;
  }
}

export interface Survey {
  largest: number;
  beyond: number;
  /** The effect with the largest magnitude, with its sign. */
  extreme: number;
  pending: number;
  known: number;
  /** Cells that are computed but have no effect. */
  undefined: number;
}

/** Whether an effect lies beyond the colour scale by more than an eye could tell. */
export function isBeyond(effect: number, limit: number): boolean {
  return Math.abs(effect) > limit * 1.02;
}

function mean(values: number[]): number {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : Number.NaN;
}
