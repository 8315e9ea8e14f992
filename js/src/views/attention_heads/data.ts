import { type Bytes, decode, numbers } from "../../core/array";
import { halved, type PatternSource, type Tile, WholePattern } from "../../core/pattern_source";
import { niceLimit } from "../../core/scales";
import type {
  AttentionArrays,
  AttentionSide,
  AttentionSpec,
  LinesRequest,
  TileRequest,
  WireClose,
  WireKept,
} from "../../protocol/attention_heads";

/** A head by the model's numbers, and how it is looked at. */
export interface Kind {
  side: AttentionSide;
  weighted: boolean;
}
export interface At extends Kind {
  layer: number;
  head: number;
}

/** Where a token looks and who looks at it, one number a token. */
export interface Lines {
  to: Float32Array;
  from: Float32Array;
  /** Their spreads over several prompts. */
  toSpread: Float32Array | null;
  fromSpread: Float32Array | null;
  /** Tokens that share a number. */
  block: number;
}

type Asked = Omit<TileRequest, "kind" | "id"> | Omit<LinesRequest, "kind" | "id">;
/** Asks Python for arrays; null where nobody answers. */
export type Ask = ((asked: Asked) => Promise<{ value: string; buffers: Bytes[] }>) | null;

interface Whole {
  pattern: Float32Array;
  weighted: Float32Array | null;
  norms: Float32Array | null;
  spread: Float32Array | null;
  weightedSpread: Float32Array | null;
}

interface Pictures {
  codes: Uint8Array;
  peaks: Float32Array;
  size: number;
}

interface Layer {
  sides: Whole[];
  pictures: Map<string, Pictures>;
}

const MOST_TILES = 96;
const SMALLEST = 8;

/** Patterns of heads: what Python sent, and what it is asked for when it is looked at. */
export class HeadData {
  readonly #layers: (Layer | null)[];
  readonly #sources = new Map<string, PatternSource>();
  readonly #pictures = new Map<string, Tile[]>();
  readonly #limits = new Map<string, number>();
  readonly #tiles = new Map<string, Tile>();
  readonly #lines = new Map<string, Lines>();
  readonly #asked = new Set<string>();
  #next: (() => void) | null = null;
  #busy = false;
  /** Lines that the last request refused, and why. */
  refused: string | null = null;
  leading: readonly number[] | null = null;

  constructor(
    readonly spec: AttentionSpec,
    arrays: AttentionArrays,
    private readonly close: WireClose | null,
    kept: readonly WireKept[],
    private readonly ask: Ask,
    private readonly arrived: () => void,
  ) {
    const optional = (wire: Parameters<typeof decode>[0] | null) => wire && decode(wire, "float32");
    this.leading = arrays.leading;
    this.#layers = arrays.layers.map(
      (layer) =>
        layer && {
          sides: layer.sides.map((maps) => ({
            pattern: decode(maps.pattern, "float32"),
            weighted: optional(maps.weighted),
            norms: optional(maps.norms),
            spread: optional(maps.spread),
            weightedSpread: optional(maps.weighted_spread),
          })),
          pictures: new Map(
            Object.entries(layer.pictures).map(([key, { codes, peaks }]) => [
              key,
              { codes: decode(codes, "uint8"), peaks: decode(peaks, "float32"), size: codes.shape[1] },
            ]),
          ),
        },
    );
    for (const { key, arrays } of kept) {
      const values = arrays.map((array) => decode(array, "float32"));
      if (key.startsWith("tile")) {
        const [rows, columns] = arrays[0].shape;
        this.#tiles.set(key, { values: values[0], rows, columns });
      } else this.#lines.set(key, linesOf(values, Number(key.split("/")[5])));
    }
  }

  get layersRead(): number {
    return this.#layers.filter(Boolean).length;
  }

  /** Whether a layer, by its number among those that are shown, has been read. */
  isRead(layer: number): boolean {
    return this.#layers[layer] !== null && this.#layers[layer] !== undefined;
  }

  labels(side: AttentionSide): readonly string[] {
    return this.spec.sides[side === "corrupt" ? 1 : 0].labels;
  }

  /** How many tokens share a number of a head. */
  block({ layer, head }: Pick<At, "layer" | "head">): number {
    const { close } = this;
    return close?.layer === layer && close.heads.includes(head) ? close.block : this.spec.block;
  }

  /** A head's small picture with no more numbers along it than pixels; null where it is not read. */
  picture(at: At, pixels: number): Tile | null {
    const key = keyOf(at);
    let levels = this.#pictures.get(key);
    if (!levels) {
      const first = this.#firstPicture(at);
      if (!first) return null;
      levels = [first];
      this.#pictures.set(key, levels);
    }
    let level = 0;
    while (levels[level].rows > Math.max(SMALLEST, pixels)) {
      level++;
      if (level === levels.length) levels.push(halved(levels[level - 1]));
    }
    return levels[level];
  }

  /** Where a head's numbers come from; null where it is not read. */
  source(at: At): PatternSource | null {
    const layer = this.#layer(at);
    if (!layer) return null;
    const block = this.block(at);
    const key = `${keyOf(at)}/${block}`;
    let source = this.#sources.get(key);
    if (!source) {
      const across = Math.ceil(this.labels(at.side).length / block);
      source = this.spec.whole ? new WholePattern(this.#values(at, layer), across, block) : this.#sentFor(at, block);
      if (this.#sources.size > 64) this.#sources.clear();
      this.#sources.set(key, source);
    }
    return source;
  }

  /** Where a token looks and who looks at it; null while that is not here. Asking for it sends for it. */
  lines(at: At, pos: number): Lines | null {
    const layer = this.#layer(at);
    const count = this.labels(at.side).length;
    if (!layer || pos >= count) return null;
    const block = this.block(at);
    const key = `lines/${keyOf(at)}/${block}/${Math.floor(pos / block)}`;
    const found = this.#lines.get(key);
    if (found) return found;
    if (this.spec.whole) {
      const lines = this.#cut(at, layer, pos);
      this.#lines.set(key, lines);
      return lines;
    }
    if (this.ask) this.#soon(() => this.#fetchLines(key, at, pos, block));
    return null;
  }

  /** Lines out of the small picture, for as long as there are no others. */
  roughLines(at: At, pos: number): Lines | null {
    const picture = this.picture(at, Number.POSITIVE_INFINITY);
    if (!picture) return null;
    const count = this.labels(at.side).length;
    const across = Math.ceil(count / this.spec.block);
    const block = this.spec.block * (this.spec.whole ? 1 : Math.ceil(across / this.spec.small));
    const line = Math.min(picture.rows - 1, Math.floor(pos / block));
    const each = (value: (n: number) => number) => Float32Array.from({ length: picture.columns }, (_, n) => value(n));
    return {
      to: each((n) => picture.values[line * picture.columns + n]),
      from: each((n) => picture.values[n * picture.columns + line]),
      toSpread: null,
      fromSpread: null,
      block,
    };
  }

  /** A number for one cell, or none while it is not here. */
  value(at: At, query: number, key: number): number | null {
    const lines = this.lines(at, query);
    return lines ? (lines.to[Math.floor(key / lines.block)] ?? null) : null;
  }

  /** The largest size of a head's numbers. */
  peak(at: At): number {
    const key = keyOf(at);
    let peak = this.#limits.get(key);
    if (peak === undefined) {
      const picture = this.picture(at, Number.POSITIVE_INFINITY);
      if (!picture) return 0;
      peak = picture.values.reduce((most, value) => Math.max(most, Math.abs(value) || 0), 0);
      this.#limits.set(key, peak);
    }
    return peak;
  }

  /** Whether some of a head's numbers are none. */
  lacks(at: At): boolean {
    return this.picture(at, Number.POSITIVE_INFINITY)?.values.some(Number.isNaN) ?? false;
  }

  /** Where the colours end that all heads share: at 1 for attention, else at the largest number of all. */
  sharedLimit({ side, weighted }: Kind): number {
    if (!weighted && side !== "difference") return 1;
    const { layers, heads } = this.spec;
    let most = 0;
    for (const layer of layers)
      for (const head of heads) most = Math.max(most, this.peak({ side, weighted, layer, head }));
    return niceLimit(most);
  }

  #layer({ layer }: Pick<At, "layer">): Layer | null {
    return this.#layers[this.spec.layers.indexOf(layer)] ?? null;
  }

  #firstPicture(at: At): Tile | null {
    const layer = this.#layer(at);
    if (!layer) return null;
    if (this.spec.whole) {
      const across = Math.ceil(this.labels(at.side).length / this.spec.block);
      return { values: this.#values(at, layer), rows: across, columns: across };
    }
    const found = layer.pictures.get(at.weighted ? `${at.side}/weighted` : at.side);
    if (!found) return null;
    const { codes, peaks, size } = found;
    const head = this.spec.heads.indexOf(at.head);
    const values = Float32Array.from(codes.subarray(head * size * size, (head + 1) * size * size), (code) =>
      code === 0 ? Number.NaN : ((code - 128) / 127) * peaks[head],
    );
    return { values, rows: size, columns: size };
  }

  /** All numbers of a head. */
  #values(at: At, layer: Layer): Float32Array {
    if (at.side !== "difference") return this.#onSide(layer.sides[at.side === "corrupt" ? 1 : 0], at);
    const [clean, corrupt] = layer.sides.map((maps) => this.#onSide(maps, at));
    return corrupt.map((value, n) => value - clean[n]);
  }

  #onSide(maps: Whole, { head, weighted }: At): Float32Array {
    const number = this.spec.heads.indexOf(head);
    const size = maps.pattern.length / this.spec.heads.length;
    const part = (values: Float32Array) => values.subarray(number * size, (number + 1) * size);
    const pattern = part(maps.pattern);
    if (!weighted) return pattern;
    if (maps.weighted) return part(maps.weighted);
    const across = Math.sqrt(size);
    const norms = maps.norms?.subarray(number * across, (number + 1) * across);
    return norms ? pattern.map((value, n) => value * norms[n % across]) : pattern;
  }

  #cut(at: At, layer: Layer, pos: number): Lines {
    const across = Math.ceil(this.labels(at.side).length / this.spec.block);
    const line = Math.floor(pos / this.spec.block);
    const cut = (values: Float32Array) => ({
      to: values.slice(line * across, (line + 1) * across),
      from: Float32Array.from({ length: across }, (_, n) => values[n * across + line]),
    });
    const { to, from } = cut(this.source(at)?.tile(0, 0, 0)?.values ?? new Float32Array(across * across));
    const maps = at.side === "difference" ? null : layer.sides[at.side === "corrupt" ? 1 : 0];
    const spreads = at.weighted ? maps?.weightedSpread : maps?.spread;
    const number = this.spec.heads.indexOf(at.head);
    const spread = spreads && cut(spreads.subarray(number * across * across, (number + 1) * across * across));
    const { block } = this.spec;
    return { to, from, toSpread: spread?.to ?? null, fromSpread: spread?.from ?? null, block };
  }

  #sentFor(at: At, block: number): PatternSource {
    const { tile: size } = this.spec;
    const across = Math.ceil(this.labels(at.side).length / block);
    const levels = 1 + Math.max(0, Math.ceil(Math.log2(across / size)));
    const top = `tile/${keyOf(at)}/${block}/${levels - 1}/0/0`;
    const best = () => this.#tiles.get(top) ?? this.picture(at, Number.POSITIVE_INFINITY);
    return {
      across,
      block,
      size,
      levels,
      get coarse() {
        return best();
      },
      tile: (level, row, column) => {
        const key = `tile/${keyOf(at)}/${block}/${level}/${row}/${column}`;
        const found = this.#tiles.get(key);
        if (!found && this.ask && !this.#asked.has(key)) void this.#fetchTile(key, at, { level, row, column });
        return found ?? null;
      },
    };
  }

  async #fetchTile(key: string, at: At, place: { level: number; row: number; column: number }): Promise<void> {
    if (!this.ask) return;
    this.#asked.add(key);
    try {
      const { value, buffers } = await this.ask({ name: "tile", ...at, ...place });
      const [rows, columns] = value.split(" ").map(Number);
      if (this.#tiles.size >= MOST_TILES) this.#tiles.delete(this.#tiles.keys().next().value as string);
      this.#tiles.set(key, { values: numbers("float32", buffers[0]), rows, columns });
      this.#asked.delete(key);
      this.arrived();
    } catch {
      // What is refused once is not asked for again; the small picture stays in its place.
    }
  }

  async #fetchLines(key: string, at: At, pos: number, block: number): Promise<void> {
    if (!this.ask || this.#asked.has(key)) return;
    this.#asked.add(key);
    try {
      const { buffers } = await this.ask({ name: "lines", ...at, pos });
      if (this.#lines.size > 512) this.#lines.clear();
      this.#lines.set(
        key,
        linesOf(
          buffers.map((buffer) => numbers("float32", buffer)),
          block,
        ),
      );
      this.#asked.delete(key);
      this.refused = null;
    } catch (error) {
      this.refused = error instanceof Error ? error.message : String(error);
    }
    this.arrived();
  }

  /** Runs one request at a time, and of those that wait only the last: a pointer passes over many tokens. */
  #soon(run: () => Promise<void>): void {
    if (this.#busy) {
      this.#next = () => this.#soon(run);
      return;
    }
    this.#busy = true;
    void run().finally(() => {
      this.#busy = false;
      const next = this.#next;
      this.#next = null;
      next?.();
    });
  }
}

function keyOf({ side, layer, head, weighted }: At): string {
  return `${side}/${layer}/${head}/${weighted ? 1 : 0}`;
}

function linesOf([to, from, toSpread, fromSpread]: Float32Array[], block: number): Lines {
  return { to, from, toSpread: toSpread ?? null, fromSpread: fromSpread ?? null, block };
}
