import type { Bytes } from "../core/array";
import { codeCss } from "../core/code_block";
import { h } from "../core/dom";
import type { Footer } from "../core/footer";
import { Frame } from "../core/frame";
import { JobStrip } from "../core/job_strip";
import { Links } from "../core/links";
import type { Model } from "../core/model";
import { Nested, nestedCss } from "../core/nested";
import { fontsOf } from "../core/picture";
import { rendering } from "../core/render";
import { Stage } from "../core/stage";
import { Tooltip } from "../core/tooltip";
import type { Spot } from "../protocol/common";
import type { GridSpec, GridState, GridToPython, RowsMessage } from "../protocol/patching_grid";
import { CodePanel } from "./patching_grid/code";
import { Controls, Legend, zoomButtons } from "./patching_grid/controls";
import { findCell, GridData, nameCell, positionOf, sameCell } from "./patching_grid/data";
import { canShowEach, EachPair } from "./patching_grid/each_pair";
import { gridToCsv } from "./patching_grid/export_csv";
import { gridToPng, type Look } from "./patching_grid/export_png";
import { Header } from "./patching_grid/header";
import { Panels } from "./patching_grid/panels";
import { cellAt, spotOf, wordsAt } from "./patching_grid/places";
import { Readout } from "./patching_grid/readout";
import { type Actions, pinnedIn, type Scene } from "./patching_grid/scene";
import { ShownGrid } from "./patching_grid/shown";
import { Strips, stripScene } from "./patching_grid/strips";
import css from "./patching_grid/style.css";
import { tableView } from "./patching_grid/table_view";
import { tipContent } from "./patching_grid/tip";
import { explain } from "./patching_grid/words";

const TRAITS = ["strips", "selected", "metric", "pair", "color_limit"] as const;

/** One view of a patching grid in one element of a page. */
class PatchingGrid {
  readonly #stage: Stage<GridState, GridToPython, RowsMessage>;
  readonly #tooltip = new Tooltip();
  readonly #frame: Frame;
  readonly #header: Header;
  readonly #job: JobStrip;
  readonly #panels: Panels;
  readonly #strips: Strips;
  readonly #stripScene = stripScene();
  readonly #each: EachPair;
  readonly #table = tableView();
  readonly #readout: Readout;
  readonly #legend: Legend;
  readonly #controls: Controls;
  readonly #code: CodePanel;
  readonly #footer: Footer;
  readonly #links: Links;
  readonly #nested: Nested;
  #data: GridData;
  #grid: ShownGrid;
  #version = 0;
  #wantsEach = false;
  #elsewhere: Spot | null = null;
  #scene: Scene | null = null;

  constructor(
    private readonly model: Model<GridState>,
    el: HTMLElement,
  ) {
    this.#stage = new Stage<GridState, GridToPython, RowsMessage>(model, {
      draw: () => this.#draw(),
      changed: (name) => {
        if (name === "arrays" || name === "spec") this.#data = dataOf(model);
      },
      arrived: (message, buffers) => this.#addRows(message, buffers),
    });
    const { id, signal } = this.#stage;
    this.#data = dataOf(model);
    this.#grid = this.#shown();
    this.#links = new Links(
      model,
      {
        point: (spot) => this.#mark(spot),
        go: (spot) => this.#go(spot),
        words: (pos) => wordsAt(this.#data.spec, this.#choice().pair, pos),
      },
      signal,
    );
    this.#nested = new Nested(
      model,
      this.#stage.messages,
      { place: () => this.#place(), home: () => this.#panels.focus(), say: (text) => this.#stage.say(text) },
      signal,
    );
    const actions = this.#actions();
    this.#header = new Header(this.#stage.heading);
    this.#job = new JobStrip({ noun: "cell", done: "computed" }, actions, this.#stage.live);
    this.#panels = new Panels(id, actions, () => this.#point(), signal);
    this.#each = new EachPair(actions);
    this.#strips = new Strips(
      id,
      actions,
      this.#stage.messages,
      () => this.#stage.redraw(),
      () => this.#point(),
      signal,
    );
    const plots = h("div", {}, this.#panels.element, this.#each.element, this.#strips.element);
    this.#readout = new Readout(actions, this.#strips);
    this.#legend = new Legend(actions);
    this.#controls = new Controls(actions);
    this.#code = new CodePanel(actions);
    this.#footer = this.#makeFooter(plots);
    this.#frame = new Frame(
      "patching grid",
      codeCss + nestedCss + css,
      this.#header.element,
      this.#job.element,
      plots,
      this.#table.element,
      this.#readout.element,
      this.#nested.bar,
      h("div", { class: "iw-bar-row" }, this.#legend.element, zoomButtons(actions), this.#controls.element),
      this.#footer.element,
      this.#code.element,
      this.#nested.element,
      this.#tooltip.element,
    );
    this.#nested.listen(this.#frame.element, signal);
    this.#stage.open(el, this.#frame, TRAITS, "All cells are computed.");
  }

  destroy(): void {
    this.#stage.close();
  }

  #makeFooter(plots: HTMLElement): Footer {
    const takeaways = {
      stem: () => stemOf(this.#data.spec, this.#choice().metric),
      png: () => (this.#scene ? gridToPng(this.#scene, this.#look()) : Promise.resolve(null)),
      csv: () => (this.#scene ? gridToCsv(this.#scene) : []),
      csvTitle: "save every cell, in all metrics",
    };
    const code = {
      title: "the lines of nnsight that compute the pinned cell",
      opens: this.#code.element,
    };
    const table = { title: "the cells as a table", opens: this.#table.element, closes: plots };
    return this.#stage.footer(takeaways, { code, table });
  }

  #actions(): Actions {
    return {
      select: (cell) => {
        this.#stage.write("selected", cell && nameCell(this.#data.spec, cell));
        this.#links.select(cell && spotOf(this.#data.spec, cell));
        if (cell && this.#scene) this.#stage.say(`Pinned. ${explain({ ...this.#scene, selected: cell }, cell)}`);
      },
      pin: (cell) => {
        this.#stage.write("selected", cell);
        const pinned = this.#scene && pinnedIn(this.#scene);
        if (pinned?.selected) this.#links.select(spotOf(pinned.spec, pinned.selected));
        if (pinned?.selected) this.#stage.say(`Pinned. ${explain(pinned, pinned.selected)}`);
      },
      byPosition: (cell) => void this.#strips.open(cell),
      setMetric: (metric) => this.#stage.write("metric", this.#data.spec.metrics[metric].term.name),
      setPair: (pair) => {
        this.#wantsEach = pair === "each";
        this.#stage.write("pair", pair === "each" ? null : pair);
      },
      setLimit: (limit) => this.#stage.write("color_limit", limit),
      cancel: () => this.#stage.cancel(),
      zoom: (factor) => {
        this.#panels.zoom(factor);
        this.#strips.panels.zoom(factor);
      },
      announce: (text) => this.#stage.say(text),
    };
  }

  /** The cell from which views open: where the keyboard is, else the pinned one. */
  #place(): Spot | null {
    if (!this.#scene) return null;
    const pointed = this.#pointed(this.#scene);
    const { cursor } = pointed.panels;
    const { spec, selected } = pinnedIn(this.#scene);
    const pair = this.model.get("pair") ?? null;
    const prompt = pair === null ? {} : { prompt: pair };
    if (cursor?.by === "keyboard") return { ...spotOf(pointed.scene.spec, cursor.cell), ...prompt };
    return selected && { ...spotOf(spec, selected), ...prompt };
  }

  /** Marks where the reader is in another view. */
  #mark(spot: Spot | null): void {
    this.#elsewhere = spot;
    this.#panels.point(spot);
    this.#strips.panels.point(spot);
    this.#point();
  }

  /** Selects what was selected in another view, as far as it is here. */
  #go(spot: Spot | null): void {
    const cell = spot && cellAt(this.#data.spec, spot, this.model.get("selected"));
    if (cell || !spot) this.#stage.write("selected", cell);
  }

  #addRows(message: RowsMessage, buffers: Bytes[]): void {
    this.#data.apply(message, buffers);
    for (const [panel, row] of message.rows) {
      if (this.#data.has({ panel, row, column: 0 })) this.#grid.refreshRow(panel, row);
    }
    this.#version++;
    this.#stage.redraw();
  }

  /** The metric and the pair to show; what the state names is used only if the grid has it. */
  #choice(): { metric: number; pair: number | null } {
    const { spec } = this.#data;
    const metric = Math.max(
      0,
      spec.metrics.findIndex(({ term }) => term.name === this.model.get("metric")),
    );
    const pair = this.model.get("pair");
    if (spec.pairs.length === 1) return { metric, pair: 0 };
    return { metric, pair: pair !== null && pair !== undefined && pair in spec.pairs ? pair : null };
  }

  #shown(): ShownGrid {
    const { metric, pair } = this.#choice();
    return new ShownGrid(this.#data, metric, pair);
  }

  #draw(): void {
    const { metric, pair } = this.#choice();
    if (this.#grid.data !== this.#data || this.#grid.metric !== metric || this.#grid.pair !== pair)
      this.#grid = this.#shown();
    const { spec } = this.#data;
    const scene: Scene = {
      ...this.#frame.look(this.model.get("theme") ?? "auto"),
      spec,
      data: this.#data,
      grid: this.#grid,
      version: this.#version,
      metric,
      pair,
      each: this.#wantsEach && pair === null && canShowEach(this.#data),
      limit: this.model.get("color_limit") > 0 ? this.model.get("color_limit") : 1,
      job: this.model.get("job"),
      selected: findCell(spec, this.model.get("selected")),
      strips: null,
    };
    const strips = this.model.get("strips") ?? null;
    scene.strips = this.#stripScene(scene, strips, this.model.get("selected"));
    this.#scene = scene;
    this.#panels.element.hidden = scene.each;
    for (const part of [this.#header, this.#panels, this.#each, this.#table, this.#legend, this.#controls]) {
      part.update(scene);
    }
    this.#job.update(scene.job);
    this.#strips.update(scene, strips?.heads ?? []);
    for (const part of [this.#readout, this.#code]) part.update(pinnedIn(scene));
    this.#nested.update();
    this.#footer.update([spec.story.label, ...spec.provenance]);
    if (this.#panels.cursor || this.#strips.panels.cursor) this.#point();
  }

  #look(): Look {
    return { ...fontsOf(this.#panels.element), views: this.#panels.views };
  }

  /** Where the reader is: what a pointer is on goes before what has the focus. */
  #pointed(scene: Scene): { panels: Panels; scene: Scene } {
    const grids = [{ panels: this.#panels, scene }];
    if (scene.strips) grids.push({ panels: this.#strips.panels, scene: scene.strips });
    return (
      grids.find(({ panels }) => panels.cursor?.by === "pointer") ??
      grids.find(({ panels }) => panels.cursor) ??
      grids[0]
    );
  }

  #point(): void {
    if (!this.#scene) return;
    const { panels, scene } = this.#pointed(this.#scene);
    const { cursor } = panels;
    const pinned = pinnedIn(this.#scene);
    const pointed = positionOf(scene.spec, cursor?.cell ?? null) ?? this.#elsewhere?.pos;
    this.#header.point(pointed ?? positionOf(pinned.spec, pinned.selected));
    this.#links.point(cursor && spotOf(scene.spec, cursor.cell));
    // Of the pinned cell everything is in the read-out already.
    if (!cursor || (scene === pinned && sameCell(cursor.cell, scene.selected))) {
      this.#tooltip.hide();
      return;
    }
    const { cell, all } = panels.onScreen(cursor.cell);
    this.#tooltip.show(tipContent(scene, cursor.cell), cell, all, this.#frame.element);
  }
}

function dataOf(model: Model<GridState>): GridData {
  const [spec, arrays] = [model.get("spec"), model.get("arrays")];
  if (!spec || !arrays) throw new Error("there is no result yet");
  return new GridData(spec, arrays);
}

/** Name of a file that holds the grid, without its ending. */
function stemOf({ direction, metrics }: GridSpec, metric: number): string {
  return `patching-${direction}-${metrics[metric].term.name}`.replace(/[^\w-]+/g, "-");
}

const render = rendering<GridState>(
  { label: "patching grid", subject: "This patching grid" },
  (model, el) => new PatchingGrid(model, el),
);

export default { render };
