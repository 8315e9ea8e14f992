import { beforeEach, expect, test, vi } from "vitest";
import { type GridCell, LayerGrid, type LayerGridContent } from "../../src/core/layer_grid";
import { palettes } from "../../src/core/theme";

const ROWS = ["embed", "0", "1"];
const TOKENS = ["a", "b", "c", "d", "e"];

function content(selected: GridCell | null = null): LayerGridContent {
  return {
    rows: ROWS,
    columns: { labels: TOKENS.map((text) => ({ text, accent: null })), numbers: false, title: "", first: [] },
    cells: { pick: (rows, columns) => rows[0] * TOKENS.length + columns[0], look: () => null },
    selected,
    label: "made up",
    describe: ({ row, column }) => `${ROWS[row]} at ${TOKENS[column]}`,
  };
}

function made(selected: GridCell | null = null) {
  const handlers = { point: vi.fn(), select: vi.fn(), key: vi.fn(() => false) };
  const grid = new LayerGrid("grid", handlers, new AbortController().signal);
  document.body.append(grid.element);
  grid.update(content(selected), { width: 400, mostHeight: 460, palette: palettes.light });
  const press = (key: string, more = {}) =>
    grid.element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, ...more }));
  const said = () => grid.element.querySelector("[role=gridcell]")?.textContent;
  return { grid, handlers, press, said };
}

beforeEach(() => document.body.replaceChildren());

test("the keyboard starts at the selected cell, moves by cells, chooses and lets go", () => {
  const { grid, handlers, press, said } = made({ row: 1, column: 2 });
  expect(said()).toBe("0 at c");
  press("ArrowUp");
  press("ArrowRight");
  expect(handlers.point).toHaveBeenLastCalledWith({ row: 2, column: 3 });
  expect(said()).toBe("1 at d");
  expect(grid.element.querySelector("[role=row]")?.getAttribute("aria-rowindex")).toBe("1");
  press("Enter");
  expect(handlers.select).toHaveBeenLastCalledWith({ row: 2, column: 3 });
  press("Escape");
  expect(handlers.select).toHaveBeenLastCalledWith(null);
  expect(handlers.point).toHaveBeenLastCalledWith(null);
});

test("without a selected cell the keyboard starts at the last column of the top row", () => {
  const { handlers, press } = made();
  press("ArrowDown");
  expect(handlers.point).toHaveBeenLastCalledWith({ row: 1, column: 4 });
});

test("keys that it does not know are offered to its owner with the cell", () => {
  const { handlers, press } = made({ row: 0, column: 0 });
  press("p");
  expect(handlers.key).toHaveBeenCalledWith("p", { row: 0, column: 0 });
  press("p", { ctrlKey: true });
  expect(handlers.key).toHaveBeenCalledTimes(1);
});

test("a place of another grid that this one has not is no cell here", () => {
  const { grid, said } = made({ row: 9, column: 9 });
  grid.ghost({ row: 40, column: 1 });
  expect(said()).toBe("no cell yet, use the arrow keys");
});

test("rows are lower where all would be too high, and columns narrower where they have no room", () => {
  const { grid } = made();
  const view = grid.view;
  expect(view.extent).toMatchObject({ rows: 3, columns: 5, width: 230 });
  grid.update(content(), { width: 160, mostHeight: 30, palette: palettes.light });
  expect([view.cellWidth, view.cellHeight]).toEqual([22, 10]);
});
