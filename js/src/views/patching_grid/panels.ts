import { changeDetector, fill, h } from "../../core/dom";
import { moveBy } from "../../core/keyboard";
import { listen } from "../../core/pointer";
import { Viewport } from "../../core/viewport";
import { type CellIndex, sameCell } from "./data";
import { type Layout, layoutPanels } from "./layout";
import { type Cursor, Panel } from "./panel";
import type { Actions, Scene } from "./scene";
import { TokenAxis } from "./token_axis";

/** The panels of all sites. They share one part of the grid that is seen, and one cursor. */
export class Panels {
  readonly element = h("div", { class: "iw-panels" });
  readonly view = new Viewport();
  cursor: Cursor | null = null;
  #panels: Panel[] = [];
  #scene: Scene | null = null;
  #layout: Layout | null = null;
  #axis: TokenAxis | null = null;
  #font = "";
  #newPanels = changeDetector();
  #newAxis = changeDetector();
  #newCells = changeDetector();
  #newSelection = changeDetector();

  constructor(
    private readonly id: string,
    private readonly actions: Actions,
    private readonly onCursor: () => void,
    private readonly signal: AbortSignal,
  ) {}

  get layout(): Layout | null {
    return this.#layout;
  }

  get axis(): TokenAxis | null {
    return this.#axis;
  }

  /** Where a cell is on screen. */
  clientBoxOf(cell: CellIndex): DOMRect {
    return this.#panels[cell.site].clientBoxOf(cell);
  }

  update(scene: Scene): void {
    this.#scene = scene;
    const { spec, data, width } = scene;
    if (this.#newPanels(spec)) this.#build(scene);
    const scale = devicePixelRatio || 1;
    if (this.#newAxis(spec, scene.pair, width, scale)) {
      this.#font = `11px ${getComputedStyle(this.element).getPropertyValue("--_mono").trim() || "monospace"}`;
      const measure = textMeasure(`bold ${this.#font}`);
      this.#axis = new TokenAxis(scene, this.#font, measure);
      this.#layout = layoutPanels(
        width,
        { sites: data.sites, layers: data.layers, positions: data.positions },
        0,
        scale,
      );
      this.element.style.gridTemplateColumns = `repeat(${this.#layout.columns}, max-content)`;
      this.view.resize(this.#layout.extent);
    }
    if (this.#newSelection(scene.selected?.site, scene.selected?.layer, scene.selected?.pos)) this.#follow(scene);
    const { left, bottom, zoom } = this.view;
    if (
      this.#newCells(
        scene.grid,
        scene.version,
        scene.limit,
        scene.palette,
        this.#layout,
        this.#axis,
        left,
        bottom,
        zoom,
      )
    ) {
      this.#drawCells();
    }
    this.#drawCursor();
  }

  zoom(factor: number | "reset", x?: number, y?: number): void {
    if (factor === "reset") this.view.reset();
    else this.view.zoomBy(factor, x, y);
    if (this.#scene) this.update(this.#scene);
    this.onCursor();
  }

  setCursor(cursor: Cursor | null): void {
    if (this.cursor?.by === cursor?.by && sameCell(this.cursor?.cell ?? null, cursor?.cell ?? null)) return;
    this.cursor = cursor;
    this.#drawCursor();
    this.onCursor();
  }

  #build(scene: Scene): void {
    this.cursor = null;
    this.#panels = scene.spec.sites.map((site, number) => new Panel(number, this.id, site, this.view));
    for (const panel of this.#panels) this.#connect(panel);
    fill(this.element, ...this.#panels.map(({ element }) => element));
  }

  #connect(panel: Panel): void {
    const { plot } = panel;
    listen(
      plot,
      {
        hover: (x, y) => {
          const cell = this.#scene && panel.cellAt(this.#scene, x, y);
          this.setCursor(cell ? { cell, by: "pointer" } : null);
        },
        leave: () => {
          if (this.cursor?.by === "pointer") this.setCursor(null);
        },
        click: (x, y) => {
          const cell = this.#scene && panel.cellAt(this.#scene, x, y);
          if (cell) this.actions.select(cell);
        },
        drag: (dx, dy) => {
          const moved = this.view.panBy(-dx, dy);
          if (moved && this.#scene) this.update(this.#scene);
          return moved;
        },
        zoom: (factor, x, y) => {
          const layout = this.#layout;
          if (layout) this.zoom(factor, x - layout.gutter, layout.edge + layout.extent.height - y);
        },
        reset: () => this.zoom("reset"),
      },
      this.signal,
    );
    const options = { signal: this.signal };
    plot.addEventListener("keydown", (event) => this.#onKey(event, panel), options);
    plot.addEventListener(
      "focus",
      () => {
        // A pointer that pressed here says where it is by itself.
        if (plot.matches(":focus-visible")) this.setCursor({ cell: this.#startOf(panel), by: "keyboard" });
      },
      options,
    );
    plot.addEventListener(
      "blur",
      () => {
        if (this.cursor?.by === "keyboard") this.setCursor(null);
      },
      options,
    );
  }

  #startOf(panel: Panel): CellIndex {
    const scene = this.#scene as Scene;
    const { selected } = scene;
    if (this.cursor?.cell.site === panel.site) return this.cursor.cell;
    if (selected?.site === panel.site) return selected;
    return scene.grid.strongest(panel.site) ?? { site: panel.site, layer: 0, pos: 0 };
  }

  #onKey(event: KeyboardEvent, panel: Panel): void {
    const scene = this.#scene;
    if (!scene || event.altKey) return;
    const control = event.ctrlKey || event.metaKey;
    const cell = this.#startOf(panel);
    const to = moveBy(event.key, control, { row: cell.layer, column: cell.pos }, this.view.extent);
    if (to) {
      const next = { site: panel.site, layer: to.row, pos: to.column };
      this.view.reveal(next.pos, next.layer);
      this.cursor = { cell: next, by: "keyboard" };
      this.update(scene);
      this.onCursor();
    } else if (event.key === "Enter" || event.key === " ") this.actions.select(cell);
    else if (event.key === "Escape" && (this.cursor || scene.selected)) {
      this.setCursor(null);
      this.actions.select(null);
    } else if (!control && (event.key === "+" || event.key === "=")) this.actions.zoom(1.5);
    else if (!control && event.key === "-") this.actions.zoom(1 / 1.5);
    else if (!control && event.key === "0") this.actions.zoom("reset");
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Brings a cell that was selected elsewhere into sight, and the focus with it if the focus is on a plot. */
  #follow(scene: Scene): void {
    const { selected } = scene;
    if (!selected) return;
    this.view.reveal(selected.pos, selected.layer);
    const root = this.element.getRootNode() as Document | ShadowRoot;
    const focused = this.#panels.find(({ plot }) => plot === root.activeElement);
    if (focused && focused.site !== selected.site) this.#panels[selected.site].plot.focus({ preventScroll: true });
    if (this.cursor?.by === "keyboard") this.cursor = { cell: selected, by: "keyboard" };
  }

  #drawCells(): void {
    const [scene, layout, axis] = [this.#scene, this.#layout, this.#axis];
    if (!scene || !layout || !axis) return;
    // Zooming in may make room for level labels; the band keeps its height so that nothing below it jumps.
    layout.labels = axis.heightFor(layout.extent.width / layout.extent.columns);
    for (const panel of this.#panels) panel.draw(scene, layout, axis, this.#font);
  }

  #drawCursor(): void {
    const [scene, axis] = [this.#scene, this.#axis];
    if (!scene || !axis) return;
    const surface = getComputedStyle(this.element.closest(".iw-view") ?? this.element).backgroundColor;
    for (const panel of this.#panels) {
      panel.drawOverlay(scene, this.cursor, axis, surface);
      const own = this.cursor?.cell.site === panel.site ? this.cursor.cell : null;
      panel.speak(scene, own ?? (scene.selected?.site === panel.site ? scene.selected : null));
    }
  }
}

export function textMeasure(font: string): (text: string) => number {
  const context = document.createElement("canvas").getContext("2d");
  if (!context) return (text) => text.length * 6.6;
  context.font = font;
  return (text) => context.measureText(text).width;
}
