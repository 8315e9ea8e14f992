import { prepare } from "../../core/canvas";
import { fill, h, setAttributes } from "../../core/dom";
import { moveBy } from "../../core/keyboard";
import { fontsOf } from "../../core/picture";
import { listen } from "../../core/pointer";
import { Tooltip } from "../../core/tooltip";
import { byRow, type Cell, cellAt, type Layout, layOut } from "./layout";
import { outline, paint, placed } from "./paint";
import type { Actions, Scene } from "./scene";
import { intervalOf, nameOf, shareOf, signed, spoken } from "./words";

/** All components by layer and head, and the line of their sum: a grid for the keyboard, one tab stop. */
export class Plot {
  readonly element: HTMLElement;
  readonly tooltip = new Tooltip();
  readonly #cells = h("canvas", { class: "iw-cells", "aria-hidden": "true" });
  readonly #overlay = h("canvas", { class: "iw-overlay", "aria-hidden": "true" });
  readonly #virtual: HTMLElement;
  readonly #row: HTMLElement;
  #layout: Layout | null = null;
  #rows: Cell[][] = [];
  #scene: Scene | null = null;
  #pointed: Cell | null = null;
  #cursor: { row: number; at: number } | null = null;
  #elsewhere: number | null = null;

  constructor(
    id: string,
    private readonly actions: Actions,
    signal: AbortSignal,
  ) {
    this.#virtual = h("div", { role: "gridcell", id: `${id}-cell` }, "no component yet, use the arrow keys");
    this.#row = h("div", { role: "row", class: "iw-hidden" }, this.#virtual);
    this.element = h(
      "div",
      {
        class: "iw-map",
        role: "grid",
        tabindex: 0,
        "aria-label": "components by layer and head: arrows move, Enter chooses one, Escape lets go",
        "aria-activedescendant": this.#virtual.id,
      },
      this.#cells,
      this.#overlay,
      this.#row,
    );
    const gestures = {
      hover: (x: number, y: number) => this.#hover(x, y),
      leave: () => this.#leave(),
      click: (x: number, y: number) => this.#click(x, y),
      drag: () => false,
      zoom: () => {},
      reset: () => {},
    };
    listen(this.element, gestures, signal);
    this.element.addEventListener("keydown", (event) => this.#key(event), { signal });
    this.element.addEventListener("focus", () => this.#start(), { signal });
    this.element.addEventListener("blur", () => this.#blur(), { signal });
  }

  /** Marks a component that the reader is at elsewhere. */
  mark(component: number | null): void {
    if (this.#elsewhere === component) return;
    this.#elsewhere = component;
    this.#drawOverlay();
  }

  update(scene: Scene, width: number): void {
    this.#scene = scene;
    this.#layout = layOut(scene.spec, width);
    this.#rows = byRow(this.#layout);
    setAttributes(this.element, {
      "aria-rowcount": this.#layout.rows,
      "aria-colcount": Math.max(1, ...this.#rows.map(({ length }) => length)),
    });
    this.element.style.width = `${this.#layout.width}px`;
    this.element.style.height = `${this.#layout.height}px`;
    const { map, rowHeight, cells } = this.#layout;
    const head = cells.find(({ component }) => scene.spec.components[component].head !== null);
    // Where cells lie: the left edge, the lower edge, and their size.
    Object.assign(this.#cells.dataset, {
      x0: String(map.x),
      y0: String(map.y + map.height),
      rowHeight: String(rowHeight),
      cellWidth: String(head?.width ?? 0),
    });
    const context = prepare(this.#cells, this.#layout.width, this.#layout.height);
    if (context) paint(context, scene, this.#layout, fontsOf(this.element));
    this.#drawOverlay();
    this.#speak();
  }

  #hover(x: number, y: number): void {
    if (!this.#layout || !this.#scene) return;
    const cell = cellAt(this.#layout, x, y);
    if (cell !== this.#pointed) {
      this.#pointed = cell;
      this.actions.point(cell?.component ?? null);
      this.#drawOverlay();
    }
    if (cell) this.#explain(cell);
    else this.#explainStep(x, y);
  }

  #leave(): void {
    this.#pointed = null;
    this.actions.point(null);
    this.tooltip.hide();
    this.#drawOverlay();
  }

  #click(x: number, y: number): void {
    const cell = this.#layout && cellAt(this.#layout, x, y);
    if (!cell || !this.#scene) return;
    this.#put(cell);
    this.actions.choose(cell.component === this.#scene.selected ? null : cell.component);
  }

  #put(cell: Cell): void {
    this.#cursor = { row: cell.row, at: this.#rows[cell.row].indexOf(cell) };
    this.#speak();
  }

  get #current(): Cell | null {
    return this.#cursor && (this.#rows[this.#cursor.row]?.[this.#cursor.at] ?? null);
  }

  #start(): void {
    if (!this.#layout || !this.#scene) return;
    if (!this.#current) {
      const cell = this.#layout.cells[this.#scene.selected ?? strongest(this.#scene.values)];
      if (cell) this.#put(cell);
    }
    this.#drawOverlay();
  }

  #blur(): void {
    this.tooltip.hide();
    if (!this.#pointed) this.actions.point(null);
    this.#drawOverlay();
  }

  #key(event: KeyboardEvent): void {
    if (!this.#layout || !this.#scene || event.altKey || event.metaKey) return;
    const current = this.#current;
    if (event.key === "Escape") {
      this.actions.choose(null);
      this.tooltip.hide();
    } else if ((event.key === "Enter" || event.key === " ") && current) {
      this.actions.choose(current.component === this.#scene.selected ? null : current.component);
    } else {
      const to = this.#target(event, current);
      if (!to) return;
      this.#put(to);
      this.actions.point(to.component);
      this.#drawOverlay();
      this.#explain(to);
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** The cell that a key leads to: to the side the next one, up and down the one that is nearest. */
  #target(event: KeyboardEvent, current: Cell | null): Cell | null {
    const rows = this.#rows.length;
    if (!current || !this.#cursor) return this.#rows[0]?.[0] ?? null;
    const { row, at } = this.#cursor;
    const place = moveBy(event.key, event.ctrlKey, { row, column: at }, { rows, columns: this.#rows[row].length });
    if (!place) return null;
    let wanted = place.row;
    // Rows may be empty, as that of a layer without heads is not.
    while (this.#rows[wanted]?.length === 0 && wanted > 0 && wanted < rows - 1) wanted += Math.sign(wanted - row) || 1;
    const cells = this.#rows[wanted];
    if (!cells?.length) return null;
    if (wanted === row) return cells[Math.min(cells.length - 1, place.column)];
    if (event.key === "Home" || event.key === "End") return cells[event.key === "Home" ? 0 : cells.length - 1];
    const middle = current.x + current.width / 2;
    return cells.reduce((best, cell) => (away(cell, middle) < away(best, middle) ? cell : best));
  }

  #speak(): void {
    const [cell, scene] = [this.#current, this.#scene];
    if (!cell || !scene || !this.#cursor) return;
    setAttributes(this.#row, { "aria-rowindex": this.#rows.length - cell.row });
    setAttributes(this.#virtual, {
      "aria-colindex": this.#cursor.at + 1,
      "aria-selected": String(cell.component === scene.selected),
    });
    fill(this.#virtual, spoken(scene, cell.component));
  }

  #explain(cell: Cell): void {
    const scene = this.#scene;
    if (!scene) return;
    const value = scene.values[cell.component];
    const said = Number.isNaN(value) ? "not computed" : `${signed(value)} logits`;
    const rest = [shareOf(scene, cell.component), intervalOf(scene, cell.component)].filter(Boolean);
    this.#tell([h("strong", {}, nameOf(scene, cell.component)), ` ${said}`], rest, cell);
  }

  /** Tells what a layer's attention or MLP adds, at the line of the sum. */
  #explainStep(x: number, y: number): void {
    const [scene, layout] = [this.#scene, this.#layout];
    if (!scene || !layout) return;
    const { sum, rowHeight } = layout;
    const inside = x >= sum.x - 8 && x <= sum.x + sum.width + 8;
    const all = placed(scene.data.steps(scene.prompt, scene.target), layout);
    const found = inside ? all.find((one) => y >= one.y && y < one.y + one.height) : undefined;
    if (!found) {
      this.tooltip.hide();
      return;
    }
    const { step } = found;
    const where = step.layer === null ? step.group : `${step.group === "MLPs" ? "MLP" : "attention"} ${step.layer}`;
    const rest = [`the sum so far: ${signed(step.to)}`];
    this.#tell([h("strong", {}, where), ` ${signed(step.to - step.from)} logits`], rest, {
      x: x - 4,
      y: found.y,
      width: 8,
      height: Math.min(found.height, rowHeight),
    });
  }

  #tell(first: (Node | string)[], rest: string[], box: { x: number; y: number; width: number; height: number }): void {
    const frame = this.element.closest<HTMLElement>(".iw-view");
    if (!frame) return;
    const { left, top } = this.element.getBoundingClientRect();
    const beside = new DOMRect(left + box.x, top + box.y, box.width, box.height);
    const lines = rest.map((text) => h("div", { class: "iw-quiet" }, text));
    this.tooltip.show([h("div", {}, ...first), ...lines], beside, beside, frame);
  }

  #drawOverlay(): void {
    const [scene, layout] = [this.#scene, this.#layout];
    if (!scene || !layout) return;
    const context = prepare(this.#overlay, layout.width, layout.height);
    if (!context) return;
    const { palette, selected } = scene;
    const surface = getComputedStyle(this.element).getPropertyValue("--_bg").trim() || palette.bg;
    const draw = (cell: Cell | null | undefined, weight: number, color: string) =>
      cell && outline(context, cell, weight, color, surface.startsWith("#") ? surface : palette.bg);
    if (this.#elsewhere !== null) draw(layout.cells[this.#elsewhere], 1, palette.muted);
    if (selected !== null) draw(layout.cells[selected], 2, palette.fg);
    draw(this.#pointed, 1, palette.fg);
    if (this.element.matches(":focus-visible")) draw(this.#current, 2, palette.corrupt);
  }
}

function away({ x, width }: Cell, middle: number): number {
  return Math.abs(x + width / 2 - middle);
}

/** The component with the largest contribution by size. */
export function strongest(values: Float64Array): number {
  return values.reduce((best, value, at) => (Math.abs(value) > Math.abs(values[best]) ? at : best), 0);
}
