import { prepare } from "../../core/canvas";
import { fill, h, setAttributes } from "../../core/dom";
import { strongest } from "../../core/pooling";
import type { Viewport } from "../../core/viewport";
import { type CellIndex, sameCell } from "./data";
import type { Layout } from "./layout";
import { paintCells, paintLayers } from "./paint";
import type { Scene } from "./scene";
import type { TokenAxis } from "./token_axis";
import { spoken } from "./words";

/** Where the reader is: at a cell, by pointer or by keyboard. */
export interface Cursor {
  cell: CellIndex;
  by: "pointer" | "keyboard";
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
  #layout: Layout | null = null;

  constructor(
    readonly site: number,
    id: string,
    name: { name: string; label: string; meaning: string },
    private readonly view: Viewport,
  ) {
    this.#virtual = h("div", { role: "gridcell", id: `${id}-cell-${site}` });
    this.#row = h("div", { role: "row", class: "iw-hidden" }, this.#virtual);
    this.#cells.dataset.site = name.name;
    this.plot = h(
      "div",
      {
        class: "iw-plot",
        role: "grid",
        tabindex: 0,
        "data-site": name.name,
        "aria-label": `${name.label}, ${name.meaning}: effect by layer and token`,
        "aria-activedescendant": this.#virtual.id,
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
        h("div", { class: "iw-site" }, name.label),
        h("div", { class: "iw-meaning" }, name.meaning),
      ),
      this.plot,
    );
  }

  /** The upper left corner of the cells inside the plot. */
  get #origin(): { x: number; y: number } {
    const layout = this.#layout;
    return layout ? { x: layout.gutter, y: layout.edge } : { x: 0, y: 0 };
  }

  /** The first panel of a row has the layer numbers. */
  get #numbered(): boolean {
    return this.#layout !== null && this.site % this.#layout.columns === 0;
  }

  draw(scene: Scene, layout: Layout, axis: TokenAxis, font: string): void {
    this.#layout = layout;
    const { view } = this;
    const { x, y } = this.#origin;
    const { width, height } = view.extent;
    const size = { width: x + width + layout.edge, height: y + height + layout.labels };
    setAttributes(this.plot, { "aria-rowcount": view.extent.rows, "aria-colcount": view.extent.columns });
    this.element.style.setProperty("--_gutter", `${x}px`);
    this.plot.style.width = `${size.width}px`;
    this.plot.style.height = `${size.height}px`;
    this.plot.style.cursor = view.zoom > 1 ? "grab" : "";
    this.element.style.maxWidth = `${Math.floor(scene.width / layout.columns)}px`;
    const context = prepare(this.#cells, size.width, size.height);
    Object.assign(this.#cells.dataset, {
      // The left edge of position 0 and the lower edge of layer 0, which may lie outside when zoomed in.
      x0: String(x - view.left * view.cellWidth),
      y0: String(y + height + view.bottom * view.cellHeight),
      cellW: String(view.cellWidth),
      cellH: String(view.cellHeight),
    });
    if (!context) return;
    const scale = devicePixelRatio || 1;
    paintCells(
      context,
      { grid: scene.grid, site: this.site, limit: scene.limit, palette: scene.palette, view, scale },
      x,
      y,
    );
    if (this.#numbered) paintLayers(context, { view, palette: scene.palette }, scene.spec.layers, x, y, font);
    axis.paint(context, view, scene.palette, x, y + height);
  }

  /** Draws what changes as the reader moves: the selected cell, the cell at the cursor, and its layer and token. */
  drawOverlay(scene: Scene, cursor: Cursor | null, axis: TokenAxis, surface: string): void {
    const layout = this.#layout;
    if (!layout) return;
    const { view } = this;
    const { x, y } = this.#origin;
    const { width, height } = view.extent;
    const context = prepare(this.#overlay, x + width + layout.edge, y + height + layout.labels);
    if (!context) return;
    const { palette, selected } = scene;
    if (view.zoom > 1) this.#drawScroll(context, scene);
    context.save();
    context.beginPath();
    context.rect(x - layout.edge, y - layout.edge, width + 2 * layout.edge, height + 2 * layout.edge);
    context.clip();
    if (selected?.site === this.site) this.#outline(context, selected, 2, palette.fg, surface);
    if (cursor && !(selected && sameCell(cursor.cell, selected))) {
      const here = cursor.cell.site === this.site;
      const strong = here && cursor.by === "keyboard";
      this.#outline(
        context,
        cursor.cell,
        strong ? 2 : 1,
        strong ? palette.corrupt : here ? palette.fg : palette.muted,
        surface,
      );
    }
    context.restore();
    const marked = selected?.site === this.site ? [selected] : [];
    if (cursor) marked.push(cursor.cell);
    for (const cell of marked) {
      if (cell.pos + 0.5 >= view.left && cell.pos + 0.5 <= view.left + view.columnsSeen) {
        axis.paintOne(context, view, palette, surface, x, y + height, cell.pos);
      }
      if (cell.site === this.site || this.#numbered) this.#markLayer(context, scene, surface, cell.layer);
    }
  }

  /** Tells a screen reader which cell is current. */
  speak(scene: Scene, cell: CellIndex | null): void {
    const { layers, positions } = scene.data;
    setAttributes(this.#row, { "aria-rowindex": cell ? layers - cell.layer : 1 });
    setAttributes(this.#virtual, {
      "aria-colindex": cell ? Math.min(positions, cell.pos + 1) : 1,
      "aria-selected": String(!!cell && sameCell(cell, scene.selected)),
    });
    fill(this.#virtual, cell ? spoken(scene, cell) : "no cell yet, use the arrow keys");
  }

  /** The cell at a point of the plot; null outside the cells. */
  cellAt(scene: Scene, px: number, py: number): CellIndex | null {
    const { x, y } = this.#origin;
    const { view } = this;
    const [dx, dy] = [px - x, y + view.extent.height - py];
    if (dx < 0 || dy < 0 || dx >= view.extent.width || dy >= view.extent.height) return null;
    const pos = Math.min(view.extent.columns - 1, Math.floor(view.left + dx / view.cellWidth));
    const layer = Math.min(view.extent.rows - 1, Math.floor(view.bottom + dy / view.cellHeight));
    const reach = view.cellWidth < HARD_TO_HIT ? Math.ceil(2 / view.cellWidth) : 0;
    const reachUp = view.cellHeight < HARD_TO_HIT ? Math.ceil(2 / view.cellHeight) : 0;
    if (reach + reachUp > 0) {
      const { layers, positions } = scene.data;
      const at = strongest(
        scene.grid.effect,
        this.site * layers * positions,
        positions,
        [Math.max(0, layer - reachUp), Math.min(layers, layer + reachUp + 1)],
        [Math.max(0, pos - reach), Math.min(positions, pos + reach + 1)],
      );
      if (at >= 0 && Math.abs(scene.grid.effect[at]) > 0.02) return scene.grid.cellAt(at);
    }
    return { site: this.site, layer, pos };
  }

  /** The box of a cell inside the plot. */
  boxOf({ layer, pos }: CellIndex): { x: number; y: number; width: number; height: number } {
    const { x, y } = this.#origin;
    const { view } = this;
    return {
      x: x + (pos - view.left) * view.cellWidth,
      y: y + view.extent.height - (layer + 1 - view.bottom) * view.cellHeight,
      width: view.cellWidth,
      height: view.cellHeight,
    };
  }

  clientBoxOf(cell: CellIndex): DOMRect {
    const plot = this.plot.getBoundingClientRect();
    const box = this.boxOf(cell);
    return new DOMRect(plot.left + box.x, plot.top + box.y, box.width, box.height);
  }

  #outline(context: CanvasRenderingContext2D, cell: CellIndex, weight: number, color: string, surface: string): void {
    const box = this.boxOf(cell);
    const [width, height] = [Math.max(4, box.width), Math.max(4, box.height)];
    const [x, y] = [box.x + (box.width - width) / 2, box.y + (box.height - height) / 2];
    context.strokeStyle = surface;
    context.lineWidth = weight + 2;
    context.beginPath();
    context.roundRect(x - 0.5, y, width, height, 2);
    context.stroke();
    context.strokeStyle = color;
    context.lineWidth = weight;
    context.stroke();
  }

  #markLayer(context: CanvasRenderingContext2D, { palette, spec }: Scene, surface: string, layer: number): void {
    const box = this.boxOf({ site: this.site, layer, pos: 0 });
    const { x, y } = this.#origin;
    const middle = box.y + box.height / 2;
    if (middle < y || middle > y + this.view.extent.height) return;
    context.font = getComputedStyle(this.plot).font;
    const text = String(spec.layers[layer]);
    const width = context.measureText(text).width;
    context.fillStyle = surface;
    context.fillRect(x - 10 - width, middle - 7, width + 8, 14);
    context.fillStyle = palette.fg;
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillText(text, x - 7, middle + 0.5);
  }

  #drawScroll(context: CanvasRenderingContext2D, { palette }: Scene): void {
    const { x, y } = this.#origin;
    const { view } = this;
    const { width, height, columns, rows } = view.extent;
    context.fillStyle = palette.line;
    context.fillRect(x, y + height + 1, width, 2);
    if (view.rowsSeen < rows) context.fillRect(x + width + 1, y, 2, height);
    context.fillStyle = palette.muted;
    context.fillRect(x + (view.left / columns) * width, y + height + 1, (view.columnsSeen / columns) * width, 2);
    if (view.rowsSeen < rows) {
      const tall = (view.rowsSeen / rows) * height;
      context.fillRect(x + width + 1, y + height - (view.bottom / rows) * height - tall, 2, tall);
    }
  }
}
