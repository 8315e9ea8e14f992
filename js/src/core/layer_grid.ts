import { prepare } from "./canvas";
import { cellBox, cellUnder, drawScroll, EDGE, type GridCell, outline } from "./cell_frame";
import { type Cells, paintCells } from "./cells";
import { axisFonts, ColumnAxis, type ColumnNames, textMeasure } from "./column_axis";
import { changeDetector, fill, h, setAttributes } from "./dom";
import { moveBy } from "./keyboard";
import css from "./layer_grid.css";
import { listen } from "./pointer";
import { RowAxis } from "./row_axis";
import type { Palette } from "./theme";
import { Viewport } from "./viewport";

export type { GridCell } from "./cell_frame";

/** The looks of grids, for the style sheet of a view that has one. */
export const layerGridCss = css;

/** What a grid shows. Row 0 is at the bottom, and a cell's number is `row * columns + column`. */
export interface LayerGridContent {
  rows: readonly string[];
  columns: ColumnNames;
  /** How each cell looks. The grid paints again when this is another object, so a view keeps it while nothing changed. */
  cells: Cells;
  selected: GridCell | null;
  /** The name of the whole, for those who listen: "lens by layer and token". */
  label: string;
  /** A cell as a screen reader says it. */
  describe(cell: GridCell): string;
}

/** How much room a grid has, in CSS pixels, and how it uses it. */
export interface LayerGridRoom {
  width: number;
  /** Rows get lower where all of them together would be higher than this. */
  mostHeight: number;
  palette: Palette;
}

/** How large cells are. */
export interface CellSizes {
  /** Cells are no wider than this, so that few columns do not spread over a wide page. */
  widest: number;
  /** How high a row is where there is room. */
  row: number;
  /** Few rows get higher, up to half as high again, until all together are so high. */
  least?: number;
  /** Zoomed in so that cells are at least as wide from the start, at the end of the columns; 0 shows all columns. */
  readable: number;
}

/** What a reader does with a grid. */
export interface LayerGridHandlers {
  /** Points at a cell with the pointer or the keyboard, or at none. */
  point(cell: GridCell | null): void;
  /** Chooses a cell, or lets go of it. */
  select(cell: GridCell | null): void;
  /** Called when another part of the grid is seen, after this one is drawn; others may share the view. */
  moved?(): void;
  /** Takes a key that the grid does not know; returns whether it did. */
  key?(key: string, cell: GridCell): boolean;
}

const READABLE_ROW = 12;
const LEAST_TOTAL = 150;
const STRETCH = 1.5;
/** Cells smaller than this cannot be hit on purpose, so a pointer finds the one that is shown around it. */
const HARD_TO_HIT = 3;

/**
 * Layers, or whatever else is stacked, by tokens, or whatever else stands side by side: cells with a colour each, and with
 * text where there is room. Dragging, pinching and the keys + − 0 move and zoom; arrows move a cursor from cell to cell.
 */
export class LayerGrid {
  readonly element: HTMLElement;
  readonly #canvas = h("canvas", { class: "iw-cells", "aria-hidden": "true" });
  readonly #overlay = h("canvas", { class: "iw-overlay", "aria-hidden": "true" });
  readonly #virtual: HTMLElement;
  readonly #row: HTMLElement;
  readonly #newAxes = changeDetector();
  readonly #newColumns = changeDetector();
  readonly #newCells = changeDetector();
  readonly #newSelection = changeDetector();
  #content: LayerGridContent | null = null;
  #palette: Palette | null = null;
  #rows: RowAxis | null = null;
  #columns: ColumnAxis | null = null;
  #font = "";
  #gutter = 0;
  #foot = 0;
  #cursor: { cell: GridCell; by: "pointer" | "keyboard" } | null = null;
  #ghost: GridCell | null = null;

  constructor(
    id: string,
    private readonly handlers: LayerGridHandlers,
    private readonly signal: AbortSignal,
    private readonly sizes: CellSizes = { widest: 46, row: 20, readable: 0 },
    /** The part that is seen, which grids of one size may share. */
    readonly view = new Viewport(growthOf(sizes)),
  ) {
    this.#virtual = h("div", { role: "gridcell", id: `${id}-cell` });
    this.#row = h("div", { role: "row", class: "iw-hidden" }, this.#virtual);
    const about = { class: "iw-grid", role: "grid", tabindex: 0, "aria-activedescendant": this.#virtual.id };
    this.element = h("div", about, this.#canvas, this.#overlay, this.#row);
    this.#connect();
  }

  /** Width that it takes of a room: cells are no wider than they may be. */
  update(content: LayerGridContent, room: LayerGridRoom): void {
    this.#content = content;
    this.#palette = room.palette;
    const { rows, columns, label, cells, selected } = content;
    const scale = devicePixelRatio || 1;
    setAttributes(this.element, {
      "aria-label": label,
      "aria-rowcount": rows.length,
      "aria-colcount": columns.labels.length,
    });
    const fonts = axisFonts(this.element);
    if (this.#newAxes(rows, columns, room.width, room.mostHeight, scale, fonts.label)) {
      this.#font = fonts.label;
      this.#rows = new RowAxis(rows, fonts.label);
      this.#columns = new ColumnAxis(columns, fonts, textMeasure(`bold ${fonts.label}`));
      this.#layOut(room, scale);
    }
    if (this.#newSelection(selected?.row, selected?.column) && selected) this.#follow(selected);
    const { left, bottom, zoom } = this.view;
    if (this.#newCells(cells, rows, columns, room.palette, room.width, room.mostHeight, scale, left, bottom, zoom))
      this.#drawCells(content, room.palette, scale);
    this.#drawOverlay();
  }

  /** Shows where somebody else points, or no longer; −1 stands for a row or column that is not said. */
  ghost(cell: GridCell | null): void {
    if (sameCell(this.#ghost, cell)) return;
    this.#ghost = cell;
    this.#drawOverlay();
  }

  /** The cell at the cursor of the pointer or the keyboard. */
  get pointed(): GridCell | null {
    return this.#cursor?.cell ?? null;
  }

  /** Where a cell is on screen, and where all cells are. */
  onScreen(cell: GridCell): { cell: DOMRect; all: DOMRect } {
    const { left, top } = this.element.getBoundingClientRect();
    const { width, height } = this.view.extent;
    return {
      cell: cellBox(this.view, cell, left + this.#gutter, top + EDGE),
      all: new DOMRect(left + this.#gutter, top + EDGE, width, height),
    };
  }

  /** Moves as little as needed for a cell to be seen. */
  reveal(cell: GridCell): void {
    this.view.reveal(cell.column, cell.row);
    this.#moved();
  }

  /** Zooms about the chosen cell, or the middle; "reset" shows all. */
  zoom(factor: number | "reset"): void {
    const at = this.#cursor?.by === "keyboard" ? this.#cursor.cell : (this.#content?.selected ?? null);
    if (factor === "reset") this.view.reset();
    else if (at) this.view.zoomOn(factor, at.column, at.row);
    else this.view.zoomBy(factor);
    this.#moved();
  }

  /** Draws what is there on another context, from (x, y) on; returns how high that is. */
  paintInto(
    context: CanvasRenderingContext2D,
    { x, y, width, mostHeight, scale, palette }: LayerGridRoom & { x: number; y: number; scale: number },
  ): number {
    const content = this.#content;
    if (!content) return 0;
    const font = this.#font;
    const rows = new RowAxis(content.rows, font);
    const columns = new ColumnAxis(content.columns, { label: font, title: font }, textMeasure(`bold ${font}`));
    const view = new Viewport(growthOf(this.sizes));
    const gutter = gutterOf(content.rows);
    const extent = extentOf(content, width - gutter - EDGE, mostHeight, this.sizes, scale);
    view.resize(extent);
    const seen = this.view.columnsSeen < extent.columns ? this.view.cellWidth / (extent.width / extent.columns) : 1;
    if (seen > 1) {
      view.zoomBy(seen);
      view.left = this.view.left;
      view.resize(extent);
    }
    const corner = x + gutter;
    paintCells(context, { cells: content.cells, palette, view, scale, font }, corner, y);
    rows.paint(context, view, palette, corner, y);
    columns.paint(context, view, palette, corner, y + extent.height);
    if (content.selected)
      outline(context, cellBox(view, content.selected, corner, y), {
        weight: 2,
        color: palette.fg,
        surface: palette.bg,
      });
    return extent.height + columns.heightFor(extent.width / extent.columns);
  }

  #layOut({ width, mostHeight }: LayerGridRoom, scale: number): void {
    const content = this.#content as LayerGridContent;
    this.#gutter = gutterOf(content.rows);
    const room = Math.max(60, width - this.#gutter - EDGE);
    const extent = extentOf(content, room, mostHeight, this.sizes, scale);
    const { view } = this;
    view.resize(extent);
    const row = extent.height / extent.rows;
    if (this.#newColumns(content.columns.labels.length, content.rows.length)) {
      view.reset();
      const cell = extent.width / extent.columns;
      if (this.sizes.readable > cell && row >= READABLE_ROW) {
        view.zoomBy(this.sizes.readable / cell, 0, 0);
        view.reveal(extent.columns - 1, 0);
      }
    }
    this.#foot = this.#columns?.heightFor(view.cellWidth) ?? 0;
    this.element.style.setProperty("--_gutter", `${this.#gutter}px`);
    this.element.style.width = `${this.#gutter + extent.width + EDGE}px`;
    this.element.style.height = `${EDGE + extent.height + this.#foot}px`;
  }

  #drawCells({ cells }: LayerGridContent, palette: Palette, scale: number): void {
    const { view } = this;
    const [x, y] = [this.#gutter, EDGE];
    const { width, height } = view.extent;
    this.element.style.cursor = view.zoom > 1 ? "grab" : "";
    const context = prepare(this.#canvas, x + width + EDGE, y + height + this.#foot);
    Object.assign(this.#canvas.dataset, {
      // The left edge of the first column and the lower edge of the first row, which may lie outside when zoomed in.
      x0: String(x - view.left * view.cellWidth),
      y0: String(y + height + view.bottom * view.cellHeight),
      cellW: String(view.cellWidth),
      cellH: String(view.cellHeight),
    });
    if (!context) return;
    context.save();
    context.beginPath();
    context.rect(x, y, width, height);
    context.clip();
    paintCells(context, { cells, palette, view, scale, font: this.#font }, x, y);
    context.restore();
    this.#rows?.paint(context, view, palette, x, y);
    this.#columns?.paint(context, view, palette, x, y + height);
  }

  /** Draws what changes as the reader moves: the selected cell, the cursor's with its row and column, and the ghost. */
  #drawOverlay(): void {
    const [content, palette, rows, columns] = [this.#content, this.#palette, this.#rows, this.#columns];
    if (!content || !palette || !rows || !columns) return;
    const { view } = this;
    const [x, y] = [this.#gutter, EDGE];
    const { width, height } = view.extent;
    this.#speak(content);
    const context = prepare(this.#overlay, x + width + EDGE, y + height + this.#foot);
    if (!context) return;
    const surface = getComputedStyle(this.element.closest(".iw-view") ?? this.element).backgroundColor;
    if (view.zoom > 1) drawScroll(context, view, palette, x, y);
    const [selected, cursor] = [this.#known(content.selected), this.#cursor];
    const ghost = this.#known(this.#ghost);
    const here = cursor && !sameCell(cursor.cell, selected) ? cursor : null;
    context.save();
    context.beginPath();
    context.rect(x - EDGE, y - EDGE, width + 2 * EDGE, height + 2 * EDGE);
    context.clip();
    const box = (cell: GridCell) => cellBox(view, cell, x, y);
    if (ghost) outline(context, box(ghost), { weight: 2, color: palette.muted, surface });
    if (selected) outline(context, box(selected), { weight: 2, color: palette.fg, surface });
    if (here) {
      const strong = here.by === "keyboard";
      const color = strong ? palette.corrupt : palette.fg;
      outline(context, box(here.cell), { weight: strong ? 2 : 1, color, surface });
    }
    context.restore();
    const { rows: most, columns: wide } = view.extent;
    for (const cell of [selected, this.#ghost, cursor?.cell]) {
      if (!cell) continue;
      if (cell.column >= 0 && cell.column < wide)
        columns.paintOne(context, view, palette, surface, x, y + height, cell.column);
      if (cell.row >= 0 && cell.row < most) rows.paintOne(context, view, palette, surface, x, y, cell.row);
    }
  }

  /** A place that is one of this grid, however it was come by. */
  #known(cell: GridCell | null): GridCell | null {
    const { rows, columns } = this.view.extent;
    return cell && cell.row >= 0 && cell.row < rows && cell.column >= 0 && cell.column < columns ? cell : null;
  }

  #speak(content: LayerGridContent): void {
    const cell = this.#cursor?.cell ?? this.#known(content.selected);
    setAttributes(this.#row, { "aria-rowindex": cell ? content.rows.length - cell.row : 1 });
    setAttributes(this.#virtual, {
      "aria-colindex": cell ? cell.column + 1 : 1,
      "aria-selected": String(!!cell && sameCell(cell, content.selected)),
    });
    fill(this.#virtual, cell ? content.describe(cell) : "no cell yet, use the arrow keys");
  }

  #cellAt(x: number, y: number): GridCell | null {
    const { view } = this;
    const cell = cellUnder(view, x - this.#gutter, y - EDGE);
    if (!cell || !this.#content) return null;
    const { rows, columns } = view.extent;
    const [up, across] = [view.cellHeight, view.cellWidth].map((size) =>
      size < HARD_TO_HIT ? Math.ceil(2 / size) : 0,
    );
    if (up + across === 0) return cell;
    const at = this.#content.cells.pick(
      [Math.max(0, cell.row - up), Math.min(rows, cell.row + up + 1)],
      [Math.max(0, cell.column - across), Math.min(columns, cell.column + across + 1)],
    );
    return { row: Math.floor(at / columns), column: at % columns };
  }

  #setCursor(cell: GridCell | null, by: "pointer" | "keyboard" = "pointer"): void {
    if (this.#cursor?.by === by && sameCell(this.#cursor.cell, cell)) return;
    if (!cell && !this.#cursor) return;
    this.#cursor = cell && { cell, by };
    this.#drawOverlay();
    this.handlers.point(cell);
  }

  #moved(): void {
    this.redraw();
    this.handlers.moved?.();
  }

  /** Draws again after a view that it shares has moved. */
  redraw(): void {
    const [content, palette] = [this.#content, this.#palette];
    if (!content || !palette) return;
    this.#drawCells(content, palette, devicePixelRatio || 1);
    this.#drawOverlay();
  }

  #connect(): void {
    const { element, view, signal } = this;
    listen(
      element,
      {
        hover: (x, y) => this.#setCursor(this.#cellAt(x, y)),
        leave: () => {
          if (this.#cursor?.by === "pointer") this.#setCursor(null);
        },
        click: (x, y) => {
          const cell = this.#cellAt(x, y);
          if (cell) this.handlers.select(cell);
        },
        drag: (dx, dy) => {
          const moved = view.panBy(-dx, dy);
          if (moved) this.#moved();
          return moved;
        },
        zoom: (factor, x, y) => {
          view.zoomBy(factor, x - this.#gutter, EDGE + view.extent.height - y);
          this.#moved();
        },
        reset: () => this.zoom("reset"),
      },
      signal,
    );
    element.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    const focus = () => {
      // A pointer that pressed here says where it is by itself.
      if (element.matches(":focus-visible") && this.#content) this.#setCursor(this.#start(), "keyboard");
    };
    element.addEventListener("focus", focus, { signal });
    const blur = () => {
      if (this.#cursor?.by === "keyboard") this.#setCursor(null);
    };
    element.addEventListener("blur", blur, { signal });
  }

  /** Where the keyboard starts: at the cursor, the selected cell, or the last of the top row in sight. */
  #start(): GridCell {
    const { view } = this;
    const seen = Math.min(view.extent.columns - 1, Math.ceil(view.left + view.columnsSeen) - 1);
    const known = this.#cursor?.cell ?? this.#known(this.#content?.selected ?? null);
    return known ?? { row: view.extent.rows - 1, column: seen };
  }

  #onKey(event: KeyboardEvent): void {
    if (!this.#content || event.altKey) return;
    const control = event.ctrlKey || event.metaKey;
    const cell = this.#start();
    const to = moveBy(event.key, control, cell, this.view.extent);
    if (to) {
      this.view.reveal(to.column, to.row);
      this.#cursor = { cell: to, by: "keyboard" };
      this.#moved();
      this.handlers.point(to);
    } else if (event.key === "Enter" || event.key === " ") this.handlers.select(cell);
    else if (event.key === "Escape" && (this.#cursor || this.#content.selected)) {
      this.#setCursor(null);
      this.handlers.select(null);
    } else if (!control && (event.key === "+" || event.key === "=")) this.zoom(1.5);
    else if (!control && event.key === "-") this.zoom(1 / 1.5);
    else if (!control && event.key === "0") this.zoom("reset");
    else if (control || !this.handlers.key?.(event.key, cell)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Brings a cell that was selected elsewhere into sight. */
  #follow(selected: GridCell): void {
    if (!this.#known(selected)) return;
    this.view.reveal(selected.column, selected.row);
    if (this.#cursor?.by === "keyboard") this.#cursor = { cell: selected, by: "keyboard" };
  }
}

export function sameCell(a: GridCell | null | undefined, b: GridCell | null | undefined): boolean {
  return a?.row === b?.row && a?.column === b?.column;
}

function growthOf({ widest, row }: CellSizes): { widest: number; tallest: number } {
  return { widest: Math.max(64, widest), tallest: row };
}

function gutterOf(rows: readonly string[]): number {
  return Math.max(36, RowAxis.room(rows));
}

/** How large all cells are together: whole device pixels each, where they are large enough to be told apart. */
function extentOf(
  { rows, columns }: LayerGridContent,
  width: number,
  mostHeight: number,
  { widest, row, least = LEAST_TOTAL }: CellSizes,
  scale: number,
) {
  const [across, up] = [Math.max(1, columns.labels.length), Math.max(1, rows.length)];
  const whole = (size: number) => (size >= 5 ? Math.floor(size * scale) / scale : size);
  const cell = whole(Math.min(widest, width / across));
  // Few layers get taller rows, so that a shallow model still makes a picture.
  const tall = whole(Math.min(Math.max(row, Math.min(STRETCH * row, least / up)), Math.max(mostHeight, up) / up));
  return { columns: across, rows: up, width: cell * across, height: Math.round(tall * up * scale) / scale };
}
