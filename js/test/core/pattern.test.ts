import { expect, test } from "vitest";
import { levelFor } from "../../src/core/pattern_paint";
import { halved, WholePattern } from "../../src/core/pattern_source";
import { SquareView } from "../../src/core/square_view";

test("halving keeps the largest by size, its sign, and what is no number", () => {
  const tile = { values: Float32Array.of(0, 1, 3, -2, -4, 1, Number.NaN, 5, 6), rows: 3, columns: 3 };
  const { values, rows, columns } = halved(tile);
  expect([rows, columns]).toEqual([2, 2]);
  expect([...values]).toEqual([-4, 3, Number.NaN, 6]);
});

test("one bright cell of 100 is in every level", () => {
  const values = new Float32Array(100 * 100);
  values[37 * 100 + 81] = 0.9;
  const source = new WholePattern(values, 100);
  for (let level = 0; level < source.levels; level++) {
    const { values: pooled, columns, rows } = source.tile(level);
    expect(rows).toBe(Math.ceil(100 / 2 ** level));
    const at = pooled.findIndex((value) => value > 0);
    expect([Math.floor(at / columns), at % columns]).toEqual([37 >> level, 81 >> level]);
    expect(pooled[at]).toBeCloseTo(0.9);
  }
});

test("the level drawn has no number smaller than a pixel", () => {
  const source = new WholePattern(new Float32Array(256 * 256), 256);
  expect([2, 1, 0.5, 0.3, 0.25, 0.001].map((cell) => levelFor(source, cell))).toEqual([0, 0, 1, 2, 2, 3]);
});

test("zooming keeps the cell under the pointer, and no gesture leaves the square", () => {
  const view = new SquareView();
  view.resize(2000, 500);
  const before = view.left + 300 / view.cell;
  view.zoomBy(8, 300, 100);
  expect(view.left + 300 / view.cell).toBeCloseTo(before);
  let turn = 1;
  for (let step = 0; step < 200; step++) {
    turn = (turn * 48271) % 2147483647;
    if (step % 3) view.panBy((turn % 4000) - 2000, (turn % 1000) - 500);
    else view.zoomBy(0.3 + (turn % 30) / 10, turn % 500, turn % 400);
    for (const first of [view.left, view.top]) {
      expect(first).toBeGreaterThanOrEqual(0);
      expect(first + view.seen).toBeLessThanOrEqual(2000 + 1e-6);
    }
  }
  view.zoomBy(1000);
  expect(view.cell).toBeCloseTo(48);
  view.reveal(1500, 70);
  expect(view.top + view.seen).toBeGreaterThanOrEqual(1501 - 1e-6);
  expect(view.left).toBeLessThanOrEqual(70);
});

test("another prompt is seen from its start", () => {
  const view = new SquareView();
  view.resize(2000, 500);
  view.zoomBy(10);
  view.resize(14, 500);
  expect([view.zoom, view.left, view.top]).toEqual([1, 0, 0]);
});
