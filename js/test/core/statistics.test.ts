import { expect, test } from "vitest";
import { confidence, deviation, mean, studentT } from "../../src/core/statistics";

test.each([
  [1, 12.706],
  [4, 2.776],
  [5, 2.571],
  [9, 2.262],
  [30, 2.042],
  [1000, 1.962],
])("the quantile of t with %i degrees of freedom is that of the tables", (freedom, quantile) => {
  expect(Math.abs(studentT(freedom) - quantile)).toBeLessThan(0.004);
});

test("few numbers have no deviation and no interval", () => {
  for (const values of [[], [3]]) expect([deviation(values), confidence(values)]).toEqual([Number.NaN, Number.NaN]);
  expect(mean([])).toBeNaN();
  expect(confidence([2, 2, 2])).toBe(0);
});
