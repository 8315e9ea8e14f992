import { expect, test } from "vitest";
import { niceLimit } from "../../src/core/scales";
import { Viewport } from "../../src/core/viewport";

function long(): Viewport {
  const view = new Viewport();
  view.resize({ columns: 2000, rows: 80, width: 800, height: 400 });
  return view;
}

test("zooming keeps the cell under the pointer, and zooming out shows all again", () => {
  const view = long();
  const before = view.left + 300 / view.cellWidth;
  view.zoomBy(8, 300, 100);
  expect(view.left + 300 / view.cellWidth).toBeCloseTo(before);
  expect(view.cellHeight).toBe(5); // cells are still narrower than tall
  view.zoomBy(1 / 20);
  expect([view.zoom, view.left, view.bottom]).toEqual([1, 0, 0]);
});

test("no gesture leaves the grid", () => {
  const view = long();
  let turn = 1;
  for (let step = 0; step < 300; step++) {
    turn = (turn * 48271) % 2147483647;
    if (step % 3) view.panBy((turn % 4000) - 2000, (turn % 1000) - 500);
    else view.zoomBy(0.3 + (turn % 30) / 10, turn % 800, turn % 400);
    expect(view.left).toBeGreaterThanOrEqual(0);
    expect(view.left + view.columnsSeen).toBeLessThanOrEqual(2000 + 1e-6);
    expect(view.bottom + view.rowsSeen).toBeLessThanOrEqual(80 + 1e-6);
  }
});

test("a cell is brought into sight by the shortest way, and panning a whole grid moves nothing", () => {
  const view = long();
  expect(view.panBy(50, 50)).toBe(false);
  view.zoomBy(1000);
  view.reveal(1500, 70);
  expect(view.left + view.columnsSeen).toBeGreaterThanOrEqual(1501 - 1e-6);
  expect(view.bottom + view.rowsSeen).toBeCloseTo(71);
  const { left } = view;
  view.reveal(1500, 70);
  expect(view.left).toBe(left);
});

test("a fitted scale ends at two digits, not below its data", () => {
  expect([1.344, 0.042, 1, 0, Number.NaN, 9.99].map(niceLimit)).toEqual([1.4, 0.042, 1, 1, 1, 10]);
});

test("zooming on a cell never loses it, and tall grids of wide cells grow in height", () => {
  const view = new Viewport();
  view.resize({ columns: 15, rows: 144, width: 690, height: 720 });
  for (let step = 0; step < 12; step++) {
    view.zoomOn(1.5, 14, 131);
    expect(view.left + view.columnsSeen).toBeGreaterThanOrEqual(15 - 1e-9);
    expect([view.bottom <= 131, view.bottom + view.rowsSeen >= 132]).toEqual([true, true]);
  }
  expect(view.cellHeight).toBe(30);
  expect(view.cellWidth).toBe(64);
  view.zoomBy(1e-9);
  expect([view.rowsSeen, view.columnsSeen]).toEqual([144, 15]);
});
