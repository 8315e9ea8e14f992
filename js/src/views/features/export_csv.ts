import { csvLine, shortestFloat32 } from "../../core/csv";
import type { Scene } from "./scene";

/** Every activation that is here, a line each, with the columns of Python's `result.to_frame()`. */
export function featuresToCsv({ data, spec, names }: Pick<Scene, "data" | "spec" | "names">): string[] {
  const parts = [csvLine(["text", "side", "position", "token", "latent", "name", "activation"])];
  spec.texts.forEach(({ name, labels }, text) => {
    let lines = "";
    labels.forEach((label, at) => {
      const { document, position } = data.place(data.offsets[text] + at);
      const firing = data.at(data.offsets[text] + at).sort((a, b) => a.latent - b.latent);
      for (const { latent, value } of firing)
        lines += csvLine([document, name, position, label, latent, names[latent] ?? "", shortestFloat32(value)]);
    });
    parts.push(lines);
  });
  return parts;
}
