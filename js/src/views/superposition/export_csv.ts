import { csvLine, shortestFloat32 } from "../../core/csv";
import type { Toys } from "./data";

/** Every feature of every model, with the columns and the order of Python's `result.to_frame()`. */
export function toysToCsv(toys: Toys): string[] {
  const { spec } = toys;
  const columns = ["probability", "model", "best", "feature", "importance", "norm", "dimensionality", "interference"];
  const parts = [csvLine([...columns, "bias", "loss", "lost"])];
  for (let level = 0; level < toys.levels; level++) {
    for (let model = 0; model < spec.n_models; model++) {
      const best = model === toys.best(level) ? "True" : "False";
      const whole = [toys.loss(level, model), toys.lost(level, model)].map(shortestFloat32);
      let lines = "";
      for (let feature = 0; feature < toys.features; feature++) {
        const { norm, dimensionality, interference, bias } = toys.facts(level, feature, model);
        const own = [norm, dimensionality, interference, bias].map(shortestFloat32);
        lines += csvLine([spec.probabilities[level], model, best, feature, spec.importance[feature], ...own, ...whole]);
      }
      parts.push(lines);
    }
  }
  return parts;
}
