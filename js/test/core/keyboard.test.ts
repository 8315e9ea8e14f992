import { expect, test } from "vitest";
import { moveBy, moveOption } from "../../src/core/keyboard";

const bounds = { rows: 12, columns: 15 };

test("up is towards later layers, since layer 0 is at the bottom", () => {
  expect(moveBy("ArrowUp", false, { row: 3, column: 10 }, bounds)).toEqual({ row: 4, column: 10 });
  expect(moveBy("ArrowLeft", false, { row: 3, column: 10 }, bounds)).toEqual({ row: 3, column: 9 });
});

test("Home and End reach the ends of a layer, with Control the corners", () => {
  expect(moveBy("End", false, { row: 3, column: 2 }, bounds)).toEqual({ row: 3, column: 14 });
  expect(moveBy("Home", true, { row: 3, column: 2 }, bounds)).toEqual({ row: 11, column: 0 });
  expect(moveBy("End", true, { row: 3, column: 2 }, bounds)).toEqual({ row: 0, column: 14 });
});

test("no walk leaves the grid, and other keys do not move", () => {
  const keys = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "PageUp", "PageDown", "Home", "End"];
  let place = { row: 0, column: 0 };
  for (let step = 0; step < 500; step++) {
    place = moveBy(keys[(step * 7 + (step >> 3)) % keys.length], step % 11 === 0, place, bounds) ?? place;
    expect(place.row >= 0 && place.row < 12 && place.column >= 0 && place.column < 15).toBe(true);
  }
  expect(moveBy("a", false, place, bounds)).toBeNull();
});

test("options of a group go round", () => {
  expect(moveOption("ArrowRight", 3, 4)).toBe(0);
  expect(moveOption("ArrowLeft", 0, 4)).toBe(3);
  expect(moveOption("Tab", 0, 4)).toBeNull();
});
