import { csvLine, shortestFloat32 } from "../../core/csv";
import { STATUS_NAMES } from "./data";
import type { Scene } from "./scene";

const COLUMNS = ["prompt", "site", "layer", "pos", "token", "token_corrupt", "metric", "value", "effect", "status"];

/** Every cell of every pair and metric, with the columns and the order of Python's `result.to_frame()`. */
export function gridToCsv({ spec, data }: Pick<Scene, "spec" | "data">): string[] {
  const parts = [csvLine(COLUMNS)];
  spec.metrics.forEach(({ term }, metric) => {
    spec.pairs.forEach(({ clean, corrupt }, pair) => {
      spec.sites.forEach(({ name }, site) => {
        let lines = "";
        spec.layers.forEach((number, layer) => {
          for (let pos = 0; pos < data.positions; pos++) {
            const cell = { site, layer, pos };
            lines += csvLine([
              pair,
              name,
              number,
              pos,
              clean.labels[pos],
              corrupt.labels[pos],
              term.name,
              shortestFloat32(data.value(metric, pair, cell)),
              data.effect(metric, pair, cell),
              STATUS_NAMES[data.status(pair, cell)],
            ]);
          }
        });
        parts.push(lines);
      });
    });
  });
  return parts;
}
