import { csvLine, shortestFloat32 } from "../../core/csv";
import type { ProbeData } from "./data";

/** Every cell with every measure, as `ProbeResult.to_frame` has them. */
export function probesToCsv(data: ProbeData): string[] {
  const { spec } = data;
  const names = ["kind", "site", "layer", "pos", "token", "measure", "value", "low", "high", "chance", "control"];
  const lines = [csvLine([...names, "selectivity", ...spec.transfers.map((name) => `transfer: ${name}`)])];
  spec.measures.forEach(({ name: measureName }, measure) => {
    spec.kinds.forEach(({ name: kindName }, kind) => {
      spec.rows.forEach(({ site, layer }, row) => {
        spec.columns.forEach(({ pos, label }, column) => {
          const cell = { row, column };
          const { value, low, high, control } = data.figures(measure, kind, cell);
          const moved = spec.transfers.map((_, set) => data.transferred(set, measure, kind, cell).value);
          const numbers = [value, low, high, spec.chance[measure], control, value - control, ...moved];
          const place = [kindName, site, layer, pos ?? "", label, measureName];
          lines.push(csvLine([...place, ...numbers.map((number) => shortestFloat32(Math.fround(number)))]));
        });
      });
    });
  });
  return lines;
}
