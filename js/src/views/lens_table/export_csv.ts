import { csvLine, shortestFloat32 } from "../../core/csv";
import type { Scene } from "./scene";

/** Every cell and every token that is followed, a line each, with the columns of Python's `result.to_frame()`. */
export function lensToCsv({ data, spec }: Pick<Scene, "data" | "spec">): string[] {
  const head = ["prompt", "site", "layer", "position", "token", "answer", "prob", "logprob", "logit", "rank"];
  const parts = [csvLine([...head, "entropy", "kl", "top", "top_prob"])];
  const number = shortestFloat32;
  for (let prompt = 0; prompt < data.prompts; prompt++)
    spec.rows.forEach(({ site, layer }, row) => {
      let lines = "";
      for (let pos = 0; pos < data.length; pos++) {
        const at = data.at(prompt, row, pos);
        if (!data.isRead(at)) continue;
        data.answers.forEach((label, answer) => {
          const logprob = data.logprob(at, answer);
          const place = [prompt, site, layer, pos, spec.prompts[prompt].labels[pos], label];
          const values = [Math.exp(logprob), logprob, data.logit(at, answer), data.rank(at, answer)];
          const whole = [data.entropy(at), data.kl(at)].map(number);
          lines += csvLine([
            ...place,
            ...values.map((value) => number(Math.fround(value))),
            ...whole,
            data.topLabel(at),
            number(data.topProb(at)),
          ]);
        });
      }
      parts.push(lines);
    });
  return parts;
}
