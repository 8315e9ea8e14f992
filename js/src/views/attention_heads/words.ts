import { formatNumber } from "../../core/format";
import { isolated } from "../../core/labels";
import type { WireScoreTerm } from "../../protocol/attention_heads";
import { atOf, type Head, type Scene } from "./scene";
import type { Scores } from "./scores";

export function nameOf({ layer, head }: Head): string {
  return `head ${layer}.${head}`;
}

/** What a number of the pattern is. */
export function unitOf({ kind }: Pick<Scene, "kind">): string {
  return kind.weighted ? "attention × |v W_O|" : "attention";
}

/** What is drawn, in a sentence. */
export function meaningOf({ spec, kind }: Pick<Scene, "spec" | "kind">): string {
  const side = spec.sides[kind.side === "corrupt" ? 1 : 0];
  const mean = side.prompts > 1 ? ` Mean over ${side.prompts} prompts; the tokens are those of the first.` : "";
  const weighted = kind.weighted
    ? " Each number is multiplied by |v W_O|, the length of what the head would add for that key."
    : "";
  const what =
    kind.side === "difference"
      ? "Corrupt less clean: warm is where a query looks more in the corrupt prompt, cool where it looks less."
      : "Each row is a query, a token that looks; each column a key, a token that is looked at.";
  const blocks =
    spec.block > 1 ? ` Each number is the largest of a block of ${spec.block} by ${spec.block} tokens.` : "";
  const lengths = spec.sides.map(({ labels }) => labels.length);
  const unequal =
    lengths.length > 1 && lengths[0] !== lengths[1]
      ? ` The prompts have ${lengths.join(" and ")} tokens, so positions cannot be matched and nothing is subtracted.`
      : "";
  return `${what}${weighted}${mean}${blocks}${unequal}`;
}

/** A score with its interval: "0.95 (0.93 to 0.97)". */
export function scoreInWords(scores: Scores, term: WireScoreTerm, layer: number, head: number): string {
  const { value, low, high } = scores.of(term.name, layer, head);
  if (Number.isNaN(value)) return "not yet";
  const interval = Number.isNaN(low) ? "" : ` (${formatNumber(low)} to ${formatNumber(high)})`;
  return `${formatNumber(value)}${interval}`;
}

export function baselineInWords(scores: Scores, { name }: WireScoreTerm): string {
  const baseline = scores.baseline(name);
  return baseline === null ? "" : formatNumber(baseline);
}

/** A cell as a screen reader says it. */
export function spokenCell(scene: Scene, query: number, key: number): string {
  const { data, kind, shown } = scene;
  if (!shown) return "";
  const labels = data.labels(kind.side);
  const value = data.value(atOf(scene, shown), query, key);
  const number = value === null ? "on its way" : formatNumber(value, { plus: kind.side === "difference" });
  return `${isolated(labels[query])}, position ${query}, looks at ${isolated(labels[key])}, position ${key}: ${number}`;
}

/** A head as a screen reader says it. */
export function spokenHead(scene: Scene, { layer, head }: Head): string {
  const { spec, scores, data, score } = scene;
  const [row, column] = [spec.layers.indexOf(layer), spec.heads.indexOf(head)];
  const said = [`layer ${layer} head ${head}`];
  if (!data.isRead(row)) said.push("not read");
  const badges = scores.badges(row, column).map(({ badge }) => badge);
  if (badges.length) said.push(badges.join(", "));
  const term = scores.terms.find(({ name }) => name === score);
  if (term) said.push(`${term.badge} ${scoreInWords(scores, term, row, column)}`);
  return said.join(", ");
}
