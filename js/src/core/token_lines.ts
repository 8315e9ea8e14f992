/** Whether a token goes on with the word before it. */
function continues(before: string, label: string): boolean {
  return !/^[␣⍽↵⇥]/u.test(label) && !/[␣⍽↵⇥]$/u.test(before);
}

/**
 * Breaks tokens into lines: after a token that ends a line of the text, before each of `documents`, and else before a word
 * that has no room; words that are wider than a line are broken between tokens. Returns the first token of each line, and
 * the count at the end.
 */
export function breakLines(
  labels: readonly string[],
  widths: ArrayLike<number>,
  room: number,
  documents: ReadonlySet<number> = new Set(),
): Int32Array {
  const starts = [0];
  let used = 0;
  let word = 0; // where the last word of the line starts
  let before = 0; // what the line takes without that word
  for (let at = 0; at < labels.length; at++) {
    const first = starts[starts.length - 1];
    if (at === first || !continues(labels[at - 1], labels[at])) {
      word = at;
      before = used;
    }
    if (used > 0 && used + widths[at] > room) {
      const from = word > first ? word : at;
      starts.push(from);
      used = from === at ? 0 : used - before;
      word = from;
      before = 0;
    }
    used += widths[at];
    if ((labels[at].endsWith("↵") || documents.has(at + 1)) && at + 1 < labels.length) {
      starts.push(at + 1);
      used = 0;
    }
  }
  return Int32Array.from([...starts, labels.length]);
}

/** The line of a token. */
export function lineOf(starts: ArrayLike<number>, token: number): number {
  let [low, high] = [0, starts.length - 2];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= token) low = middle;
    else high = middle - 1;
  }
  return Math.max(0, low);
}
