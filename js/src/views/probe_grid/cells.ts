import type { CellLook, Cells } from "../../core/cells";
import { aboveChance, type Scene } from "./scene";
import { formatShare } from "./words";

/** How the cells of the grid look. */
export function cellsOf(scene: Scene): Cells {
  const { spec, data, kind, measure, palette } = scene;
  const columns = spec.columns.length;
  const value = (at: number) =>
    data.figures(measure, kind, { row: Math.floor(at / columns), column: at % columns }).value;
  return {
    pick([fromRow, toRow], [fromColumn, toColumn]) {
      let best = fromRow * columns + fromColumn;
      for (let row = fromRow; row < toRow; row++) {
        for (let column = fromColumn; column < toColumn; column++) {
          const at = row * columns + column;
          if (!(value(at) <= value(best)) && !Number.isNaN(value(at))) best = at;
        }
      }
      return best;
    },
    look(at): CellLook {
      const cell = { row: Math.floor(at / columns), column: at % columns };
      if (spec.columns[cell.column].untested) return { fill: null, mark: "dot", beyond: false };
      if (!data.isComputed(cell)) return { fill: null, mark: "paper", beyond: false };
      const own = value(at);
      if (Number.isNaN(own)) return { fill: null, mark: "cross", beyond: false };
      const fill = palette.scale.index(aboveChance(scene, own), 1);
      return { fill, mark: null, beyond: false, text: formatShare(own) };
    },
    parted: (row) =>
      spec.rows[row].layer !== spec.rows[row - 1]?.layer && new Set(spec.rows.map((r) => r.site)).size > 1,
  };
}
