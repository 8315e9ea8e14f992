import { decode } from "../../core/array";
import type { WireScores, WireScoreTerm } from "../../protocol/attention_heads";

/** A score of one head. */
export interface Score {
  value: number;
  /** 95% confidence interval; NaN where there is none. */
  low: number;
  high: number;
}

interface Arrays {
  values: Float32Array;
  low: Float32Array;
  high: Float32Array;
  baseline: number | null;
}

/** What heads do, in numbers, by the number of the layer and of the head among those that are shown. */
export class Scores {
  readonly terms: readonly WireScoreTerm[];
  readonly missing: Readonly<Record<string, string>>;
  readonly #arrays = new Map<string, Arrays>();
  readonly #badges = new Map<number, readonly WireScoreTerm[]>();

  constructor(
    wire: WireScores | null,
    terms: readonly WireScoreTerm[],
    private readonly heads: number,
  ) {
    this.missing = wire?.missing ?? {};
    for (const [name, { values, low, high, baseline }] of Object.entries(wire?.scores ?? {})) {
      const arrays = {
        values: decode(values, "float32"),
        low: decode(low, "float32"),
        high: decode(high, "float32"),
        baseline,
      };
      this.#arrays.set(name, arrays);
    }
    this.terms = terms.filter(({ name }) => this.#arrays.has(name));
  }

  get any(): boolean {
    return this.terms.length > 0;
  }

  of(name: string, layer: number, head: number): Score {
    const at = layer * this.heads + head;
    const found = this.#arrays.get(name);
    return found
      ? { value: found.values[at], low: found.low[at], high: found.high[at] }
      : { value: Number.NaN, low: Number.NaN, high: Number.NaN };
  }

  baseline(name: string): number | null {
    return this.#arrays.get(name)?.baseline ?? null;
  }

  /** What a head is called: its score is high, and surely above what a head that does nothing of the kind has. */
  badges(layer: number, head: number): readonly WireScoreTerm[] {
    const at = layer * this.heads + head;
    let found = this.#badges.get(at);
    if (!found) {
      found = this.terms.filter((term) => {
        const { value, low } = this.of(term.name, layer, head);
        const baseline = this.baseline(term.name);
        return value >= term.named && !(baseline !== null && low <= baseline);
      });
      this.#badges.set(at, found);
    }
    return found;
  }
}
