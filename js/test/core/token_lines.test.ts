import { expect, test } from "vitest";
import { breakLines, lineOf } from "../../src/core/token_lines";

/** Lines as words, with a width of one for each character. */
function lines(labels: string[], room: number, documents?: Set<number>): string[] {
  const widths = labels.map((label) => label.length);
  const starts = breakLines(labels, widths, room, documents);
  return Array.from(starts.subarray(0, -1), (from, line) => labels.slice(from, starts[line + 1]).join(""));
}

test("a line ends before a word that has no room, and a word of several tokens stays in one piece", () => {
  expect(lines(["The", "␣un", "believ", "able", "␣cat"], 14)).toEqual(["The", "␣unbelievable", "␣cat"]);
  expect(lines(["The", "␣cat", "␣sat"], 7)).toEqual(["The␣cat", "␣sat"]);
  expect(lines(["The", "␣cat", "␣sat"], 100)).toEqual(["The␣cat␣sat"]);
});

test("a word that is wider than a line is broken between tokens, and a token is never", () => {
  expect(lines(["ab", "cd", "ef", "gh"], 5)).toEqual(["abcd", "efgh"]);
  expect(lines(["␣incomprehensibilities", "␣a"], 5)).toEqual(["␣incomprehensibilities", "␣a"]);
});

test("the text's own lines and its documents end lines", () => {
  expect(lines(["a", "↵", "␣b", "␣c", "d"], 50, new Set([0, 3]))).toEqual(["a↵", "␣b", "␣cd"]);
  expect(lines(["a", "↵"], 50)).toEqual(["a↵"]);
});

test("no token is lost or shown twice, whatever the room", () => {
  const labels = Array.from({ length: 300 }, (_, n) => (n % 3 ? "x".repeat(1 + (n % 7)) : `␣${"y".repeat(n % 5)}`));
  for (let room = 1; room < 60; room += 7) expect(lines(labels, room).join("")).toBe(labels.join(""));
  expect(lines([], 10)).toEqual([""]);
});

test("the line of every token is the one that holds it", () => {
  const starts = Int32Array.from([0, 4, 5, 9]);
  expect(Array.from({ length: 9 }, (_, token) => lineOf(starts, token))).toEqual([0, 0, 0, 0, 1, 2, 2, 2, 2]);
});
