import { h } from "./dom";

// The marks that Python puts where a token holds white space, control characters or half a character.
const MARK = /[␣↵␍⇥⍽]|⟨[^⟩]*⟩/gu;

export interface LabelPart {
  text: string;
  mark: boolean;
}

/** Splits a token's label into its text and its marks. */
export function labelParts(label: string): LabelPart[] {
  const parts: LabelPart[] = [];
  let end = 0;
  for (const match of label.matchAll(MARK)) {
    if (match.index > end) parts.push({ text: label.slice(end, match.index), mark: false });
    parts.push({ text: match[0], mark: true });
    end = match.index + match[0].length;
  }
  if (end < label.length) parts.push({ text: label.slice(end), mark: false });
  return parts;
}

/** A token as an element that no neighbour can reorder, with its marks set back. */
export function tokenElement(label: string, attributes: Record<string, string> = {}): HTMLElement {
  const parts = labelParts(label).map(({ text, mark }) => (mark ? h("span", { class: "iw-mark" }, text) : text));
  return h("bdi", { ...attributes, class: `iw-token ${attributes.class ?? ""}`.trim() }, ...parts);
}

/** A token in a running prompt: a space is a space, to be read and copied as such, with its mark drawn behind it. */
export function runningToken(label: string, attributes: Record<string, string> = {}): HTMLElement {
  const token = tokenElement(label, attributes);
  for (const mark of token.querySelectorAll(".iw-mark")) {
    if (mark.textContent === "␣") mark.replaceWith(h("span", { class: "iw-space" }, " "));
  }
  return token;
}

/** Tokens of running text from one position to before another, each with attributes of its own. */
export function runningTokens(
  labels: readonly string[],
  attributesOf: (at: number) => Record<string, string>,
  [from, to]: readonly [from: number, to: number] = [0, labels.length],
): HTMLElement[] {
  return labels.slice(from, to).map((label, n) => runningToken(label, attributesOf(from + n)));
}

/** A token as it is named inside a sentence: without the space before it, unless that is all there is. */
export function bare(label: string): string {
  return label.replace(/^␣+|␣+$/gu, "") || label;
}

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

export function hasRightToLeft(text: string): boolean {
  return RIGHT_TO_LEFT.test(text);
}

/** A label that cannot reorder its neighbours, for text that is no element: canvas, `aria-label`, sentences. */
export function isolated(label: string): string {
  return hasRightToLeft(label) ? `\u2068${label}\u2069` : label;
}
