import { expect, test } from "vitest";
import { type Layout, layoutPanels, type Shape } from "../../../src/views/patching_grid/layout";

const tokens = (columns = 15, rows = 12): Shape => ({
  rows,
  columns,
  heads: false,
  lines: `${rows} layers`,
  slanted: true,
  labels: 22,
});
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

const columns = (count: number, rows = 12): Shape => ({
  rows,
  columns: count,
  heads: false,
  lines: `${rows} layers`,
  slanted: false,
  labels: 22,
});

test("heads and one column beside them have cells of one size on one line", () => {
  for (const width of [380, 720, 1300]) {
    const { lines, panels } = layoutPanels(width, [columns(12), columns(1)], 1);
    expect(lines, String(width)).toEqual([[0, 1]]);
    const [heads, one] = panels.map(({ extent }) => extent);
    expect([one.width, one.height]).toEqual([heads.width / 12, heads.height]);
    expect(panels[1].numbered).toBe(false);
  }
});

test("a panel beside one with as many rows of another kind has labels of its own", () => {
  const strip = (head: string): Shape => ({ ...tokens(15, 1), heads: true, lines: head });
  const { lines, panels } = layoutPanels(1300, [strip("3.3"), strip("0.1"), strip("0.1")], 1);
  expect(lines).toEqual([[0, 1, 2]]);
  expect(panels.map(({ numbered }) => numbered)).toEqual([true, true, false]);
});

test("fewer key-value heads than query heads keep the size of their cells", () => {
  const { panels } = layoutPanels(1340, [columns(32, 32), columns(32, 32), columns(8, 32), columns(8, 32)], 1);
  expect(new Set(panels.map(({ extent }) => extent.width / extent.columns)).size).toBe(1);
});

test("panels of any sizes stay within the width, in order, each once", () => {
  const sets = [
    [columns(12), columns(1), columns(1)],
    [tokens(), columns(12), columns(14000), columns(1)],
    [columns(64), columns(64), columns(8), columns(8), tokens(300)],
    [{ ...tokens(15, 144), heads: true }, columns(3072)],
  ];
  for (let width = 250; width < 2200; width += 53) {
    for (const shapes of sets) {
      const { lines, panels } = layoutPanels(width, shapes, 2);
      expect(lines.flat()).toEqual([...shapes.keys()]);
      for (const line of lines) {
        expect(
          line.reduce((sum, panel) => sum + panels[panel].width, 0),
          `${width}`,
        ).toBeLessThanOrEqual(width + 1);
        expect(panels[line[0]].numbered).toBe(true);
      }
      for (const { extent } of panels) expect(Math.min(extent.width, extent.height)).toBeGreaterThan(0);
    }
  }
});
