import { confidence, deviation, mean } from "../../core/statistics";
import { type CellIndex, type GridData, isEstimate, Status } from "./data";

/** The effects of one metric, for one pair or over all, with the axes (panel, row, column) of the data. */
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
    this.effect = new Float32Array(data.size).fill(Number.NaN);
    this.status = new Uint8Array(data.size).fill(Status.leftOut);
    data.panels.forEach(({ rows }, panel) => {
      for (let row = 0; row < rows; row++) this.refreshRow(panel, row);
    });
  }

  at(cell: CellIndex): number {
    return this.data.at(cell);
  }

  cellAt(index: number): CellIndex {
    return this.data.cellAt(index);
  }

  refreshRow(panel: number, row: number): void {
    const from = this.data.at({ panel, row, column: 0 });
    for (let at = from; at < from + this.data.panels[panel].columns; at++) {
      this.effect[at] = this.#effectAt(at);
      this.status[at] = this.#statusAt(at);
    }
  }

  // Runs for every cell whenever the metric changes, so it makes no arrays.
  #effectAt(at: number): number {
    const { data, metric, pair } = this;
    if (pair !== null) return data.effectAt(metric, pair, at);
    let count = 0;
    let sum = 0;
    if (data.spec.story.averaging === "shares") {
      for (let one = 0; one < data.pairs; one++) {
        const effect = data.effectAt(metric, one, at);
        if (Number.isNaN(effect)) continue;
        sum += effect;
        count++;
      }
      return count ? sum / count : Number.NaN;
    }
    for (let one = 0; one < data.pairs; one++) {
      const value = data.valueAt(metric, one, at);
      if (Number.isNaN(value)) continue;
      sum += value - data.ends[metric][one][0];
      count++;
    }
    return count ? sum / count / this.#meanGap(at) : Number.NaN;
  }

  /** The mean gap of the pairs computed so far; NaN where it is 0. */
  #meanGap(at: number): number {
    let gap = 0;
    let count = 0;
    for (const pair of this.pairs) {
      if (Number.isNaN(this.data.valueAt(this.metric, pair, at))) continue;
      const [host, donor] = this.data.ends[this.metric][pair];
      gap += donor - host;
      count++;
    }
    return gap === 0 ? Number.NaN : gap / count;
  }

  /** What the shown effect is the mean of, for each pair computed so far. */
  effects(cell: CellIndex): { pair: number; effect: number }[] {
    const { data, metric } = this;
    const at = this.at(cell);
    const shares = data.spec.story.averaging === "shares";
    const gap = shares ? 1 : this.#meanGap(at);
    return this.pairs
      .map((pair) => ({
        pair,
        effect: shares
          ? data.effectAt(metric, pair, at)
          : (data.valueAt(metric, pair, at) - data.ends[metric][pair][0]) / gap,
      }))
      .filter(({ effect }) => !Number.isNaN(effect));
  }

  /** Half the width of the 95% confidence interval of the mean, and the standard deviation; null for a single pair. */
  uncertainty(cell: CellIndex): { interval: number; spread: number; count: number } | null {
    const effects = this.effects(cell).map(({ effect }) => effect);
    if (effects.length < 2) return null;
    return { interval: confidence(effects), spread: deviation(effects), count: effects.length };
  }

  /** The pair that differs most from the mean; null where all agree. */
  odd(cell: CellIndex): { pair: number; effect: number } | null {
    const effects = this.effects(cell);
    const centre = this.effect[this.at(cell)];
    const far = ({ effect }: { effect: number }) => Math.abs(effect - centre);
    const odd = effects.reduce((a, b) => (far(b) > far(a) ? b : a), effects[0]);
    return effects.length > 1 && far(odd) >= 0.005 ? odd : null;
  }

  /** The metric's own value, as mean over pairs. */
  value(cell: CellIndex): number {
    const at = this.at(cell);
    return mean(
      this.pairs.map((pair) => this.data.valueAt(this.metric, pair, at)).filter((value) => !Number.isNaN(value)),
    );
  }

  // A cell that one pair lacks is still to come, unless another pair has measured it; one that takes in estimates is
  // an estimate. What is left out is left out of all.
  #statusAt(at: number): number {
    let status = this.data.statusAt(this.pairs[0], at);
    for (const pair of this.pairs) {
      const own = this.data.statusAt(pair, at);
      if (isEstimate(own)) return own;
      if (own === Status.computed || (own === Status.pending && status !== Status.computed)) status = own;
    }
    return status;
  }

  /** The cell with the largest effect in either direction; null if nothing is computed. */
  strongest(panel: number | null = null): CellIndex | null {
    const stride = this.data.rows * this.data.columns;
    let best = -1;
    let size = 0;
    const [from, to] = panel === null ? [0, this.effect.length] : [panel * stride, (panel + 1) * stride];
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
    const survey: Survey = { largest: 0, beyond: 0, extreme: 0, pending: 0, known: 0, estimated: 0, undefined: 0 };
    for (let at = 0; at < this.effect.length; at++) {
      const status = this.status[at];
      if (status === Status.pending) survey.pending++;
      else if (status === Status.known) survey.known++;
      else if (isEstimate(status)) survey.estimated++;
      const effect = this.effect[at];
      if (Number.isNaN(effect)) {
        if (status !== Status.pending && status !== Status.leftOut) survey.undefined++;
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
  estimated: number;
  /** Cells that are computed but have no effect. */
  undefined: number;
}

/** Whether an effect lies beyond the colour scale by more than an eye could tell. */
export function isBeyond(effect: number, limit: number): boolean {
  return Math.abs(effect) > limit * 1.02;
}
