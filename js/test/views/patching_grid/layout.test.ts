import { expect, test } from "vitest";
import { layoutPanels } from "../../../src/views/patching_grid/layout";

const lay = (width: number, sites: number, layers = 12, positions = 15) =>
  layoutPanels(width, { sites, layers, positions }, 0, 1);

test("three sites stand side by side where they fit and in a column where they do not", () => {
  expect([380, 560, 720, 1260, 1960].map((width) => lay(width, 3).columns)).toEqual([1, 1, 3, 3, 3]);
});

test("rows of panels are even", () => {
  expect([lay(900, 4).columns, lay(1000, 5).columns]).toEqual([2, 3]);
});

test("panels never reach beyond the width, down to a pixel a cell and less", () => {
  for (let width = 260; width < 2200; width += 37) {
    for (const positions of [1, 4, 15, 60, 300, 2000]) {
      for (const sites of [1, 2, 3, 5]) {
        const { columns, gutter, edge, extent } = lay(width, sites, 12, positions);
        expect(columns * (gutter + extent.width + edge), `${sites} x ${positions} in ${width}`).toBeLessThanOrEqual(
          width + 1,
        );
        expect(extent.width).toBeGreaterThan(0);
      }
    }
  }
});

test("many layers stay within a screen", () => {
  expect(lay(1000, 1, 80, 2000).extent.height).toBeLessThanOrEqual(480);
  expect(lay(1000, 1, 400, 20).extent.height).toBeLessThanOrEqual(480);
});
