/** A square piece of a pattern, (query, key), row by row. */
export interface Tile {
  values: Float32Array;
  /** Numbers along the axes of queries and of keys. */
  rows: number;
  columns: number;
}

/**
 * Where a pattern's numbers come from: a pyramid of tiles, of which some may have to be sent for. At level n a number is the
 * largest, by size, of 2ⁿ by 2ⁿ, so that a bright point stays to be seen from far away.
 */
export interface PatternSource {
  /** Numbers along an axis at level 0. */
  readonly across: number;
  /** Tokens along an axis that share such a number; 1 where each has its own. */
  readonly block: number;
  readonly levels: number;
  /** Numbers along a tile. */
  readonly size: number;
  /** A tile; null where it is not here. Asking for it may send for it. */
  tile(level: number, row: number, column: number): Tile | null;
  /** The whole, coarse, to be seen until tiles are here; null where there is none. */
  readonly coarse: Tile | null;
}

/** Halves a tile: of each four numbers the largest by size, and no number if one of them is none. */
export function halved({ values, rows, columns }: Tile): Tile {
  const [tall, wide] = [Math.ceil(rows / 2), Math.ceil(columns / 2)];
  const pooled = new Float32Array(tall * wide);
  for (let row = 0; row < tall; row++) {
    for (let column = 0; column < wide; column++) {
      let best = 0;
      for (let y = 2 * row; y < Math.min(rows, 2 * row + 2); y++) {
        for (let x = 2 * column; x < Math.min(columns, 2 * column + 2); x++) {
          const value = values[y * columns + x];
          if (Number.isNaN(value) || Math.abs(value) > Math.abs(best)) best = value;
          if (Number.isNaN(best)) [y, x] = [rows, columns];
        }
      }
      pooled[row * wide + column] = best;
    }
  }
  return { values: pooled, rows: tall, columns: wide };
}

/** A pattern that is here as a whole: one tile a level, made when it is first looked at. */
export class WholePattern implements PatternSource {
  readonly coarse = null;
  readonly levels: number;
  readonly size: number;
  readonly #tiles: Tile[];

  constructor(
    values: Float32Array,
    readonly across: number,
    readonly block = 1,
  ) {
    this.size = across;
    this.levels = 1 + Math.max(0, Math.ceil(Math.log2(across / 32)));
    this.#tiles = [{ values, rows: across, columns: across }];
  }

  tile(level: number): Tile {
    while (this.#tiles.length <= level) this.#tiles.push(halved(this.#tiles[this.#tiles.length - 1]));
    return this.#tiles[level];
  }
}
