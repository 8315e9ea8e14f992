import { expect, test } from "vitest";
import {
  formatCount,
  formatDuration,
  formatEffect,
  formatLimit,
  formatNumber,
  formatPercent,
  formatProbability,
} from "../../src/core/format";

test.each([
  [0.984, "+0.98"],
  [-0.123, "−0.12"],
  [-0.001, "0.00"],
  [0, "0"],
  [-2.7e-9, "0"],
  [1.344, "+1.34"],
  [Number.NaN, "no value"],
])("the effect %f is %s", (effect, text) => expect(formatEffect(effect)).toBe(text));

test.each([
  [3.552, "3.55"],
  [-3.48, "−3.48"],
  [0, "0.00"],
  [0.0123, "0.012"],
  [0.00042, "4.2e−4"],
  [-12.34, "−12.3"],
  [1234.5, "1235"],
  [Number.POSITIVE_INFINITY, "∞"],
])("the number %f is %s", (value, text) => expect(formatNumber(value)).toBe(text));

test("a plus where it matters", () => expect(formatNumber(3.55, { plus: true })).toBe("+3.55"));

test("small probabilities are small, not nothing", () => {
  expect([0.71, 0.004, 0.0001, 0, 1].map(formatProbability)).toEqual(["0.71", "0.004", "<0.001", "0.000", "1.00"]);
});

test("shares, times, counts and limits in words", () => {
  expect([formatPercent(0.98), formatPercent(-0.12)]).toEqual(["98%", "−12%"]);
  expect([formatPercent(0.996), formatPercent(1), formatPercent(1.001)]).toEqual(["99.6%", "100%", "100%"]);
  expect([0.3, 12, 200, 9000].map(formatDuration)).toEqual(["less than a second", "12 s", "3 min", "2.5 h"]);
  expect([formatCount(1, "cell"), formatCount(1234, "cell")]).toEqual(["1 cell", "1,234 cells"]);
  expect([1, 0.42, 1.1000000001].map(formatLimit)).toEqual(["1", "0.42", "1.1"]);
});
