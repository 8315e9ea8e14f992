import { prepare } from "../../core/canvas";
import { cellBox, cellUnder, drawScroll, EDGE, outline } from "../../core/cell_frame";
import type { ColumnAxis } from "../../core/column_axis";
import { fill, h, setAttributes } from "../../core/dom";
import { strongest } from "../../core/pooling";
import type { RowAxis } from "../../core/row_axis";
import type { Viewport } from "../../core/viewport";
import type { GridSpec } from "../../protocol/patching_grid";
import { type CellIndex, sameCell, sizeOf } from "./data";
import type { PanelBox } from "./layout";
import { paintCells } from "./paint";
import type { Ghost } from "./places";
import type { Scene } from "./scene";
import { axisNames, meaningOf, spoken } from "./words";

/** Where the reader is: at a cell, by pointer or by keyboard. */
export interface Cursor {
  cell: CellIndex;
  by: "pointer" | "keyboard";
}

/** Where and how a panel is drawn. */
export interface Frame {
  box: PanelBox;
  view: Viewport;
  rows: RowAxis;
  columns: ColumnAxis;
  /** Room below the cells for the labels of columns. */
  labels: number;
}

// Cells smaller than this cannot be hit on purpose, so a pointer finds the strongest one around it.
const HARD_TO_HIT = 3;

/** One site: its name, its cells, its axes, and what a screen reader finds in their place. */
export class Panel {
  readonly element: HTMLElement;
  readonly plot: HTMLElement;
  #cells = h("canvas", { class: "iw-cells", "aria-hidden": "true" });
  #overlay = h("canvas", { class: "iw-overlay", "aria-hidden": "true" });
  #row: HTMLElement;
  #virtual: HTMLElement;
  #frame: Frame | null = null;

  constructor(
    readonly number: number,
    id: string,
    spec: GridSpec,
  ) {
    const { term } = spec.panels[number];
    const meaning = meaningOf(spec, number);
    const { rows, columns } = axisNames(spec, number);
    const axes = columns ? `${rows} and ${columns}` : rows;
    this.#virtual = h("div", { role: "gridcell", id: `${id}-cell-${number}` });
    this.#row = h("div", { role: "row", class: "iw-hidden" }, this.#virtual);
    this.#cells.dataset.site = term.name;
    const size = sizeOf(spec, number);
    this.plot = h(
      "div",
      {
        class: "iw-plot",
        role: "grid",
        tabindex: 0,
        "data-site": term.name,
        "aria-label": `${[term.label, meaning].filter(Boolean).join(", ")}: effect by ${axes}`,
        "aria-activedescendant": this.#virtual.id,
        "aria-rowcount": size.rows,
        "aria-colcount": size.columns,
      },
      this.#cells,
      this.#overlay,
      this.#row,
    );
    this.element = h(
      "div",
      { class: "iw-panel" },
      h(
        "div",
        { class: "iw-panel-head" },
        h("div", { class: "iw-site" }, term.label),
        h("div", { class: "iw-meaning" }, meaning),
      ),
      this.plot,
    );
  }

  get view(): Viewport | null {
    return this.#frame?.view ?? null;
  }

  /** Draws the cells and the axes, which stay as they are while the reader moves. */
  draw(scene: Scene, frame: Frame): void {
    this.#frame = frame;
    const { view, box, rows, columns, labels } = frame;
    const [x, y] = [box.gutter, EDGE];
    const { width, height } = view.extent;
    const size = { width: x + width + EDGE, height: y + height + labels };
    this.element.style.setProperty("--_gutter", `${x}px`);
    this.element.style.width = `${box.width}px`;
    this.plot.style.width = `${size.width}px`;
    this.plot.style.height = `${size.height}px`;
    this.plot.style.cursor = view.zoom > 1 ? "grab" : "";
    const context = prepare(this.#cells, size.width, size.height);
    Object.assign(this.#cells.dataset, {
      // The left edge of the first column and the lower edge of the first row, which may lie outside when zoomed in.
      x0: String(x - view.left * view.cellWidth),
      y0: String(y + height + view.bottom * view.cellHeight),
      cellW: String(view.cellWidth),
      cellH: String(view.cellHeight),
    });
    if (!context) return;
    const { grid, limit, palette } = scene;
    paintCells(context, { grid, panel: this.number, limit, palette, view, scale: devicePixelRatio || 1 }, x, y);
    if (box.numbered) rows.paint(context, view, palette, x, y);
    columns.paint(context, view, palette, x, y + height);
  }

  /** Draws what changes as the reader moves: the selected cell, the one at the cursor or the ghost, its row and column. */
  drawOverlay(scene: Scene, cursor: Cursor | null, ghost: Ghost | null, surface: string): void {
    const frame = this.#frame;
    if (!frame) return;
    const { view, box, rows, columns, labels } = frame;
    const [x, y] = [box.gutter, EDGE];
    const { width, height } = view.extent;
    const context = prepare(this.#overlay, x + width + EDGE, y + height + labels);
    if (!context) return;
    const { palette } = scene;
    const selected = this.#own(scene.selected);
    const here = this.#own(cursor?.cell ?? null);
    const beside = cursor && !here ? this.#beside(scene, cursor.cell) : null;
    if (view.zoom > 1) drawScroll(context, view, palette, x, y);
    context.save();
    context.beginPath();
    context.rect(x - EDGE, y - EDGE, width + 2 * EDGE, height + 2 * EDGE);
    context.clip();
    if (selected) this.#outline(context, selected, 2, palette.fg, surface);
    if (cursor && here && !sameCell(here, selected)) {
      const strong = cursor.by === "keyboard";
      this.#outline(context, here, strong ? 2 : 1, strong ? palette.corrupt : palette.fg, surface);
    }
    if (beside && beside.column >= 0) this.#outline(context, beside, 1, palette.muted, surface);
    if (ghost && ghost.row >= 0 && ghost.column >= 0) this.#outline(context, ghost, 2, palette.muted, surface);
    context.restore();
    for (const cell of [selected, here, beside]) {
      if (!cell) continue;
      if (cell.column >= 0) columns.paintOne(context, view, palette, surface, x, y + height, cell.column);
      if (box.numbered || cell !== beside) rows.paintOne(context, view, palette, surface, x, y, cell.row);
    }
    if (ghost && ghost.column >= 0) columns.paintOne(context, view, palette, surface, x, y + height, ghost.column);
    if (ghost && ghost.row >= 0) rows.paintOne(context, view, palette, surface, x, y, ghost.row);
  }

  #own(cell: CellIndex | null): CellIndex | null {
    return cell?.panel === this.number ? cell : null;
  }

  /** The cell here that is at the same place as one of another panel; its column is −1 where only rows agree. */
  #beside({ spec, data }: Scene, { panel, row, column }: CellIndex): CellIndex | null {
    const [own, other] = [data.panels[this.number], data.panels[panel]];
    const { layer, head, latent } = spec.panels[panel].lines[row];
    const same = spec.panels[this.number].lines.findIndex(
      (line) => line.layer === layer && line.head === head && line.latent === latent,
    );
    if (same < 0) return null;
    const alike = own.columns === other.columns && spec.panels[this.number].columns === spec.panels[panel].columns;
    return { panel: this.number, row: same, column: alike ? column : -1 };
  }

  /** Tells a screen reader which cell is current. */
  speak(scene: Scene, cell: CellIndex | null): void {
    const { rows } = scene.data.panels[this.number];
    setAttributes(this.#row, { "aria-rowindex": cell ? rows - cell.row : 1 });
    setAttributes(this.#virtual, {
      "aria-colindex": cell ? cell.column + 1 : 1,
      "aria-selected": String(!!cell && sameCell(cell, scene.selected)),
    });
    fill(this.#virtual, cell ? spoken(scene, cell) : "no cell yet, use the arrow keys");
  }

  /** The cell at a point of the plot; null outside the cells. */
  cellAt({ grid }: Scene, px: number, py: number): CellIndex | null {
    if (!this.#frame) return null;
    const { view, box } = this.#frame;
    const { extent } = view;
    const under = cellUnder(view, px - box.gutter, py - EDGE);
    if (!under) return null;
    const { row, column } = under;
    const reach = view.cellWidth < HARD_TO_HIT ? Math.ceil(2 / view.cellWidth) : 0;
    const reachUp = view.cellHeight < HARD_TO_HIT ? Math.ceil(2 / view.cellHeight) : 0;
    if (reach + reachUp > 0) {
      const at = strongest(
        grid.effect,
        grid.at({ panel: this.number, row: 0, column: 0 }),
        grid.data.columns,
        [Math.max(0, row - reachUp), Math.min(extent.rows, row + reachUp + 1)],
        [Math.max(0, column - reach), Math.min(extent.columns, column + reach + 1)],
      );
      if (at >= 0 && Math.abs(grid.effect[at]) > 0.02) return grid.cellAt(at);
    }
    return { panel: this.number, row, column };
  }

  /** Where a cell is on screen, and where all cells are. */
  onScreen(cell: CellIndex): { cell: DOMRect; all: DOMRect } {
    const { left, top } = this.plot.getBoundingClientRect();
    if (!this.#frame) return { cell: new DOMRect(left, top), all: new DOMRect(left, top) };
    const box = cellBox(this.#frame.view, cell, this.#frame.box.gutter, EDGE);
    const { width, height } = this.#frame.view.extent;
    return {
      cell: new DOMRect(left + box.x, top + box.y, box.width, box.height),
      all: new DOMRect(left + this.#frame.box.gutter, top + EDGE, width, height),
    };
  }

  #outline(context: CanvasRenderingContext2D, cell: Ghost, weight: number, color: string, surface: string): void {
    if (!this.#frame) return;
    const { view, box } = this.#frame;
    outline(context, cellBox(view, cell, box.gutter, EDGE), { weight, color, surface });
  }
}
