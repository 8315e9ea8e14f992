import { formatNumber } from "../../core/format";
import { isolated } from "../../core/labels";
import type { CircuitName, CircuitSpec } from "../../protocol/head_circuits";
import type { Head } from "./data";
import type { Scene } from "./scene";

export const UNITS: Record<CircuitName, string> = { qk: "score before softmax", ov: "logits" };

export function nameOf({ layer, head }: Head): string {
  return `head ${layer}.${head}`;
}

/** What the maps are, and what they leave out. */
export function meaningOf({ positions, offset }: CircuitSpec): string {
  const away = offset === 1 ? "1 token" : `${offset} tokens`;
  const where = {
    rotary: `Positions are rotary: scores are those of a token ${away} before the one that attends.`,
    added: "What positions add to embeddings is in the chart by offset alone.",
    none: "Positions play no part in them.",
  }[positions];
  return `By weights alone: every token is its embedding, as if that were all of the stream, with the norm before attention as it is and the last one at size 1. ${where}`;
}

/** A head's copying score in words. */
export function copyingOf(score: number): string {
  if (Number.isNaN(score)) return "copying not known";
  return `copying ${formatNumber(score, { plus: true })}`;
}

/** A cell as a screen reader says it. */
export function spokenCell({ spec, data, shown }: Scene, circuit: CircuitName, row: number, column: number): string {
  const [one, other] = [row, column].map((token) => isolated(spec.labels[token]));
  const value = data.value(circuit, shown, row, column);
  const said = Number.isNaN(value) ? "not known" : `${formatNumber(value, { plus: true })} ${UNITS[circuit]}`;
  return circuit === "qk" ? `${other} attends to ${one}: ${said}` : `attending to ${one} promotes ${other}: ${said}`;
}

export function spokenHead({ data }: Pick<Scene, "data">, head: Head): string {
  return `${nameOf(head)}, ${data.isRead(head) ? copyingOf(data.copying(head)) : "not read"}`;
}
