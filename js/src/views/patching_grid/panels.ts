import { EDGE } from "../../core/cell_frame";
import { type AxisFonts, axisFonts, ColumnAxis, textMeasure } from "../../core/column_axis";
import { changeDetector, fill, h } from "../../core/dom";
import { moveBy } from "../../core/keyboard";
import { listen } from "../../core/pointer";
import { RowAxis } from "../../core/row_axis";
import { Viewport } from "../../core/viewport";
import type { Spot } from "../../protocol/common";
import { type CellIndex, isByHead, sameCell } from "./data";
import { type Layout, layoutPanels, type Shape } from "./layout";
import { type Cursor, type Frame, Panel } from "./panel";
import { ghostIn } from "./places";
import type { Actions, Scene } from "./scene";
import { columnLabel, differingPositions, rowLabel } from "./words";

/** The panels of all sites. They share one cursor, and those of one size the part of them that is seen. */
export class Panels {
  readonly element = h("div", { class: "iw-panels" });
  cursor: Cursor | null = null;
  /** Where the reader is in another view. */
  #elsewhere: Spot | null = null;
  #panels: Panel[] = [];
  #scene: Scene | null = null;
  #layout: Layout | null = null;
  #views = new Map<string, Viewport>();
  #frames: Frame[] = [];
  #newPanels = changeDetector();
  #newAxes = changeDetector();
  #newLines = changeDetector();
  #newCells = changeDetector();
  #newSelection = changeDetector();

  constructor(
    private readonly id: string,
    private readonly actions: Actions,
    private readonly onCursor: () => void,
    private readonly signal: AbortSignal,
  ) {}

  /** What is seen of each panel. */
  get views(): readonly Viewport[] {
    return this.#frames.map(({ view }) => view);
  }

  /** Where a cell is on screen, and where all cells of its panel are. */
  onScreen(cell: CellIndex): { cell: DOMRect; all: DOMRect } {
    return this.#panels[cell.panel].onScreen(cell);
  }

  update(scene: Scene): void {
    this.#scene = scene;
    const { spec, width } = scene;
    if (this.#newPanels(spec)) this.#build(scene);
    const scale = devicePixelRatio || 1;
    if (this.#newAxes(spec, scene.pair, width, scale)) this.#arrange(scene, scale);
    if (this.#newSelection(scene.selected?.panel, scene.selected?.row, scene.selected?.column)) this.#follow(scene);
    const seen = [...this.#views.values()].flatMap(({ left, bottom, zoom }) => [left, bottom, zoom]);
    if (this.#newCells(scene.grid, scene.version, scene.limit, scene.palette, this.#layout, ...seen)) {
      this.#panels.forEach((panel, number) => {
        panel.draw(scene, this.#frames[number]);
      });
    }
    this.#drawCursor();
  }

  /** Puts the panels where they have room, and readies their axes. */
  #arrange(scene: Scene, scale: number): void {
    const fonts = axisFonts(this.element);
    const measure = textMeasure(`bold ${fonts.label}`);
    this.#layout = layoutPanels(scene.width, shapesOf(scene), scale);
    this.#frames = framesOf(scene, this.#layout, fonts, measure, (key) => {
      const view = this.#views.get(key) ?? new Viewport();
      this.#views.set(key, view);
      return view;
    });
    if (this.#newLines(scene.spec, JSON.stringify(this.#layout.lines))) {
      const lines = this.#layout.lines.map((line) =>
        h("div", { class: "iw-line" }, ...line.map((panel) => this.#panels[panel].element)),
      );
      fill(this.element, ...lines);
    }
  }

  zoom(factor: number | "reset"): void {
    const selected = this.#scene?.selected;
    for (const view of this.#views.values()) {
      if (factor === "reset") view.reset();
      else if (selected && this.#frames[selected.panel].view === view)
        view.zoomOn(factor, selected.column, selected.row);
      else view.zoomBy(factor);
    }
    this.#moved();
  }

  #moved(): void {
    if (this.#scene) this.update(this.#scene);
    this.onCursor();
  }

  setCursor(cursor: Cursor | null): void {
    if (this.cursor?.by === cursor?.by && sameCell(this.cursor?.cell ?? null, cursor?.cell ?? null)) return;
    this.cursor = cursor;
    this.#drawCursor();
    this.onCursor();
  }

  /** Takes the keyboard to the panel of the pinned cell, else to the first. */
  focus(): void {
    this.#panels[this.#scene?.selected?.panel ?? 0]?.plot.focus({ preventScroll: true });
  }

  /** Marks the place at which the reader is in another view. */
  point(spot: Spot | null): void {
    this.#elsewhere = spot;
    this.#drawCursor();
  }

  #build(scene: Scene): void {
    this.cursor = null;
    this.#views.clear();
    this.#panels = scene.spec.panels.map((_, number) => new Panel(number, this.id, scene.spec));
    for (const panel of this.#panels) this.#connect(panel);
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
          const moved = panel.view?.panBy(-dx, dy) ?? false;
          if (moved && this.#scene) this.update(this.#scene);
          return moved;
        },
        zoom: (factor, x, y) => {
          const { view, box } = this.#frames[panel.number];
          view.zoomBy(factor, x - box.gutter, EDGE + view.extent.height - y);
          this.#moved();
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
    if (this.cursor?.cell.panel === panel.number) return this.cursor.cell;
    if (selected?.panel === panel.number) return selected;
    return scene.grid.strongest(panel.number) ?? { panel: panel.number, row: 0, column: 0 };
  }

  #onKey(event: KeyboardEvent, panel: Panel): void {
    const scene = this.#scene;
    if (!scene || event.altKey) return;
    const control = event.ctrlKey || event.metaKey;
    const cell = this.#startOf(panel);
    const { view } = this.#frames[panel.number];
    const to = moveBy(event.key, control, cell, view.extent);
    if (to) {
      const next = { panel: panel.number, ...to };
      view.reveal(next.column, next.row);
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
    else if (!control && event.key === "p") this.actions.byPosition(cell);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Brings a cell that was selected elsewhere into sight, and the focus with it if the focus is on a plot. */
  #follow(scene: Scene): void {
    const { selected } = scene;
    if (!selected) return;
    this.#frames[selected.panel].view.reveal(selected.column, selected.row);
    const root = this.element.getRootNode() as Document | ShadowRoot;
    const focused = this.#panels.find(({ plot }) => plot === root.activeElement);
    if (focused && focused.number !== selected.panel) this.#panels[selected.panel].plot.focus({ preventScroll: true });
    if (this.cursor?.by === "keyboard") this.cursor = { cell: selected, by: "keyboard" };
  }

  #drawCursor(): void {
    const scene = this.#scene;
    if (!scene) return;
    const surface = getComputedStyle(this.element.closest(".iw-view") ?? this.element).backgroundColor;
    for (const panel of this.#panels) {
      panel.drawOverlay(scene, this.cursor, ghostIn(scene.spec, panel.number, this.#elsewhere), surface);
      const own = this.cursor?.cell.panel === panel.number ? this.cursor.cell : null;
      panel.speak(scene, own ?? (scene.selected?.panel === panel.number ? scene.selected : null));
    }
  }
}

export function shapesOf(scene: Scene): Shape[] {
  const { spec, data } = scene;
  return data.panels.map(({ rows, columns }, panel) => ({
    rows,
    columns,
    heads: isByHead(spec.panels[panel].lines),
    lines: JSON.stringify(spec.panels[panel].lines),
    slanted: ["pos", "role"].includes(spec.panels[panel].columns),
    labels: RowAxis.room(rowLabels(scene, panel)),
  }));
}

/** How each panel of a layout is drawn. Panels of one size share a view; labels take the same room along a line. */
export function framesOf(
  scene: Scene,
  { lines, panels }: Layout,
  fonts: AxisFonts,
  measure: (text: string) => number,
  viewOf: (key: string) => Viewport,
): Frame[] {
  const frames = panels.map((box, panel) => {
    const { rows, columns } = box.extent;
    const view = viewOf(`${rows} x ${columns} ${scene.spec.panels[panel].columns}`);
    view.resize(box.extent);
    const axis = columnAxis(scene, panel, fonts, measure);
    const labels = axis.heightFor(box.extent.width / columns);
    return { box, view, columns: axis, rows: rowAxis(scene, panel, fonts), labels };
  });
  // Zooming in may make room for level labels; the band keeps its height so that nothing below it jumps.
  for (const line of lines) {
    const labels = Math.max(...line.map((panel) => frames[panel].labels));
    for (const panel of line) frames[panel].labels = labels;
  }
  return frames;
}

function rowLabels({ spec }: Scene, panel: number): string[] {
  return spec.panels[panel].lines.map((_, row) => rowLabel(spec, panel, row));
}

function rowAxis(scene: Scene, panel: number, fonts: AxisFonts): RowAxis {
  const { lines } = scene.spec.panels[panel];
  const layers = isByHead(lines) ? lines.map(({ layer }) => layer) : null;
  return new RowAxis(rowLabels(scene, panel), fonts.label, layers);
}

function columnAxis(
  { spec, pair, data }: Scene,
  panel: number,
  fonts: AxisFonts,
  measure: (text: string) => number,
): ColumnAxis {
  const { columns } = spec.panels[panel];
  const numbers = columns === "head" || columns === "neuron";
  const count = data.panels[panel].columns;
  const labels = Array.from({ length: count }, (_, column) => columnLabel(spec, pair, panel, column));
  const first = columns === "pos" ? differingPositions(spec, pair) : [];
  return new ColumnAxis({ labels, numbers, title: numbers ? columns : "", first }, fonts, measure);
}
