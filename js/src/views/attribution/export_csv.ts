import { csvLine, shortestFloat32 } from "../../core/csv";
import type { Scene } from "./scene";

/** Every contribution, a line each, with the columns of Python's `result.to_frame()`. */
export function attributionToCsv({ data, spec }: Pick<Scene, "data" | "spec">): string[] {
  const head = ["prompt", "position", "component", "kind", "layer", "head", "contribution", "accumulated"];
  const parts = [csvLine(head)];
  for (let prompt = 0; prompt < data.prompts; prompt++) {
    for (let target = 0; target < data.targets; target++) {
      let total = 0;
      let lines = "";
      data.values(prompt, target).forEach((value, at) => {
        const { name, kind, layer, head: number } = spec.components[at];
        total += value;
        const place = [prompt, data.position(prompt, target), name, kind, layer ?? "", number ?? ""];
        lines += csvLine([...place, shortestFloat32(value), total]);
      });
      parts.push(lines);
    }
  }
  return parts;
}
