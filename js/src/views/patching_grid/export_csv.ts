import { csvLine, shortestFloat32 } from "../../core/csv";
import type { Cell } from "../../protocol/patching_grid";
import { nameCell, STATUS_NAMES } from "./data";
import type { Scene } from "./scene";

type Row = Partial<Record<(typeof COLUMNS)[number], string | number>>;

const COLUMNS = [
  ...([
    "prompt",
    "site",
    "layer",
    "head",
    "latent",
    "name",
    "pos",
    "token",
    "token_corrupt",
    "neuron",
    "role",
  ] as const),
  ...(["metric", "value", "estimate", "effect", "status"] as const),
];

type Grid = Pick<Scene, "spec" | "data">;

/**
 * Every cell of every pair and metric, with the columns and the order of Python's `result.to_frame()`; then those of
 * the strips, whose rows have a position.
 */
export function gridToCsv(scene: Grid & { strips: Grid | null }): string[] {
  const grids = scene.strips ? [scene, scene.strips] : [scene];
  const named = new Set<string>(["prompt", "metric", "value", "effect", "status"]);
  for (const { spec, data } of grids) {
    spec.panels.forEach(({ columns }, panel) => {
      for (const name of Object.keys(nameCell(spec, { panel, row: 0, column: 0 }))) named.add(name);
      if (columns === "pos") named.add("token").add("token_corrupt");
      if (spec.panels[panel].lines.some(({ name }) => name)) named.add("name");
    });
    if (data.hasEstimates) named.add("estimate");
  }
  const columns = COLUMNS.filter((name) => named.has(name));
  return [csvLine(columns), ...grids.flatMap((grid) => cells(grid, columns))];
}

function cells({ spec, data }: Grid, columns: readonly (typeof COLUMNS)[number][]): string[] {
  const parts: string[] = [];
  data.panels.forEach((size, panel) => {
    spec.metrics.forEach(({ term }, metric) => {
      spec.pairs.forEach(({ clean, corrupt }, pair) => {
        let lines = "";
        for (let row = 0; row < size.rows; row++) {
          for (let column = 0; column < size.columns; column++) {
            const at = data.at({ panel, row, column });
            const cell: Cell = nameCell(spec, { panel, row, column });
            const fields: Row = {
              ...cell,
              name: spec.panels[panel].lines[row].name,
              prompt: pair,
              metric: term.name,
              value: shortestFloat32(data.valueAt(metric, pair, at)),
              estimate: shortestFloat32(data.estimateAt(metric, pair, at)),
              effect: data.effectAt(metric, pair, at),
              status: STATUS_NAMES[data.statusAt(pair, at)],
            };
            if (cell.pos !== undefined) {
              fields.token = clean.labels[cell.pos];
              fields.token_corrupt = corrupt.labels[cell.pos];
            }
            lines += csvLine(columns.map((name) => fields[name] ?? ""));
          }
        }
        parts.push(lines);
      });
    });
  });
  return parts;
}
