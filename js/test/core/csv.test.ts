import { expect, test } from "vitest";
import { csvLine, shortestFloat32 } from "../../src/core/csv";

test("commas, quotes and line breaks are quoted, all else stays as it is", () => {
  expect(csvLine([",", 'say "a"', "a\nb", "␣=1+1", "<b>"])).toBe('",","say ""a""","a\nb",␣=1+1,<b>\n');
});

test("a cell without a number is empty, as pandas writes it", () => {
  expect(csvLine([Number.NaN, Number.POSITIVE_INFINITY, -0.5])).toBe(",inf,-0.5\n");
});

test("a 32-bit float is written as short as it can be read back", () => {
  expect(shortestFloat32(Math.fround(0.1))).toBe(0.1);
  for (const value of [3.55, -1e-7, 123456.789, 1 / 3]) {
    expect(Math.fround(shortestFloat32(Math.fround(value)))).toBe(Math.fround(value));
  }
});
