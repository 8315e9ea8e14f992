import { expect, test } from "vitest";
import { fitText, niceStep, thinLabels } from "../../src/core/axes";

test("labels never touch, and those that must be there are, in their order", () => {
  for (let count = 1; count < 400; count += 7) {
    for (const gap of [0.3, 1, 2.5, 7, 31]) {
      const first = [Math.floor(count / 2), count - 1];
      const chosen = thinLabels(count, gap, { first });
      for (let i = 1; i < chosen.length; i++)
        expect(chosen[i] - chosen[i - 1]).toBeGreaterThanOrEqual(Math.max(1, gap));
      expect(chosen).toContain(first[0]);
      expect(chosen.every((tick) => tick >= 0 && tick < count)).toBe(true);
    }
  }
});

test("all labels stand when there is room, round steps when there is not", () => {
  expect(thinLabels(5, 0.5)).toEqual([0, 1, 2, 3, 4]);
  expect(thinLabels(12, 2.2, { last: true })).toEqual([0, 3, 6, 11]);
  expect(thinLabels(2000, 180, { from: 500, to: 1100 })).toEqual([600, 800, 1000]);
  expect([1, 4, 6, 11, 31, 70].map(niceStep)).toEqual([1, 5, 10, 20, 50, 100]);
});

test("a cut label ends with an ellipsis, fits, and never splits a character", () => {
  const measure = (text: string) => Array.from(text).length;
  expect(fitText("␣Mary", 5, measure)).toBe("␣Mary");
  expect(fitText("<|endoftext|>", 6, measure)).toBe("<|end…");
  expect(fitText("😀😀😀😀", 3, measure)).toBe("😀😀…");
});
