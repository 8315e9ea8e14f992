import { csvLine, shortestFloat32 } from "../../core/csv";
import type { At, HeadData, Kind } from "./data";
import type { Scene } from "./scene";

/** What is here, a line each, with the columns of Python's `result.to_frame()`: all heads, or of long prompts one. */
export function attentionToCsv({ spec, data, shown, kind }: Scene): string[] {
  const { weighted } = spec;
  const parts = [
    csvLine([
      ...["side", "layer", "head", "query", "key", "query_token", "key_token", "pattern"],
      ...(weighted ? ["weighted"] : []),
    ]),
  ];
  if (!spec.whole) {
    if (shown) parts.push(headLines(data, { ...kind, weighted: false, ...shown }, kind, weighted));
    return parts;
  }
  spec.sides.forEach((_, number) => {
    const side = number === 1 ? "corrupt" : "clean";
    for (const layer of spec.layers)
      for (const head of spec.heads)
        parts.push(headLines(data, { side, layer, head, weighted: false }, { side, weighted: true }, weighted));
  });
  return parts;
}

function headLines(data: HeadData, at: At, { side }: Kind, weighted: boolean): string {
  const source = data.source(at);
  const other = weighted ? data.source({ ...at, weighted: true }) : null;
  if (!source) return "";
  const labels = data.labels(side);
  const number = side === "corrupt" ? 1 : 0;
  let lines = "";
  const { size, across, block } = source;
  const tiles = Math.ceil(across / size);
  for (let row = 0; row < tiles; row++) {
    for (let column = 0; column < tiles; column++) {
      const tile = source.tile(0, row, column);
      const second = other?.tile(0, row, column);
      if (!tile) continue;
      tile.values.forEach((value, n) => {
        if (value === 0) return;
        const query = (row * size + Math.floor(n / tile.columns)) * block;
        const key = (column * size + (n % tile.columns)) * block;
        const where = [number, at.layer, at.head, query, key, labels[query], labels[key], shortestFloat32(value)];
        lines += csvLine(weighted ? [...where, second ? shortestFloat32(second.values[n]) : Number.NaN] : where);
      });
    }
  }
  return lines;
}
