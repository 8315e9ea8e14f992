import { expect, test } from "vitest";
import { type Layout, layoutPanels, type Shape } from "../../../src/views/patching_grid/layout";

const tokens = (columns = 15, rows = 12): Shape => ({ rows, columns, heads: false, slanted: true, labels: 22 });
const lay = (width: number, count: number, rows = 12, columns = 15) =>
  layoutPanels(
    width,
    Array.from({ length: count }, () => tokens(columns, rows)),
    1,
  );
const perLine = (layout: Layout) => layout.lines.map((line) => line.length);

test("three sites stand side by side where they fit and in a column where they do not", () => {
  expect([380, 560, 720, 1260, 1960].map((width) => perLine(lay(width, 3))[0])).toEqual([1, 1, 3, 3, 3]);
});

test("rows of panels are even", () => {
  expect([perLine(lay(900, 4)), perLine(lay(1000, 5))]).toEqual([
    [2, 2],
    [3, 2],
  ]);
});

test("panels never reach beyond the width, down to a pixel a cell and less", () => {
  for (let width = 260; width < 2200; width += 37) {
    for (const positions of [1, 4, 15, 60, 300, 2000]) {
      for (const sites of [1, 2, 3, 5]) {
        const { lines, panels } = lay(width, sites, 12, positions);
        for (const line of lines) {
          const used = line.reduce((sum, panel) => sum + panels[panel].width, 0);
          expect(used, `${sites} x ${positions} in ${width}`).toBeLessThanOrEqual(width + 1);
        }
        for (const { extent } of panels) expect(extent.width).toBeGreaterThan(0);
      }
    }
  }
});

test("many layers stay within a screen", () => {
  expect(lay(1000, 1, 80, 2000).panels[0].extent.height).toBeLessThanOrEqual(480);
  expect(lay(1000, 1, 400, 20).panels[0].extent.height).toBeLessThanOrEqual(480);
});
