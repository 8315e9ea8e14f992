import type { GridCell } from "../core/cell_frame";
import type { Cells } from "../core/cells";
import { CodeBlock, codeCss } from "../core/code_block";
import { changeDetector, fill, h } from "../core/dom";
import type { Footer } from "../core/footer";
import { Frame } from "../core/frame";
import { JobStrip } from "../core/job_strip";
import { LayerGrid, layerGridCss } from "../core/layer_grid";
import { Links } from "../core/links";
import type { Model } from "../core/model";
import { fontsOf } from "../core/picture";
import { rendering } from "../core/render";
import { Segmented } from "../core/segmented";
import { Stage } from "../core/stage";
import { substitute } from "../core/template";
import { Tooltip } from "../core/tooltip";
import type { Spot, ViewState } from "../protocol/common";
import type { ProbeState } from "../protocol/probe_grid";
import { cellsOf } from "./probe_grid/cells";
import { Chart } from "./probe_grid/chart";
import { ProbeData } from "./probe_grid/data";
import { Detail } from "./probe_grid/detail";
import { probesToCsv } from "./probe_grid/export_csv";
import { probesToPng } from "./probe_grid/export_png";
import { Legend } from "./probe_grid/legend";
import type { Actions, Scene } from "./probe_grid/scene";
import css from "./probe_grid/style.css";
import { tableView } from "./probe_grid/table_view";
import { describe, isToken, meaningOf, nameOf, rowLabels, saidOf } from "./probe_grid/words";

type State = ProbeState & ViewState;

const TRAITS = ["selected", "kind", "measure"] as const;
const SIZES = { widest: 58, row: 24, readable: 0 };
const GAP = 34;
const NARROWEST_CHART = 300;
const WIDEST_CHART = 560;
const MOST_HEIGHT = 560;

/** One view of probes in one element of a page. */
class Probes {
  readonly #stage: Stage<State>;
  readonly #frame: Frame;
  readonly #title: HTMLElement;
  readonly #subtitle = h("div", { class: "iw-subtitle" });
  readonly #job: JobStrip;
  readonly #kinds: Segmented<number>;
  readonly #measures: Segmented<number>;
  readonly #grid: LayerGrid;
  readonly #chart: Chart;
  readonly #both: HTMLElement;
  readonly #legend = new Legend();
  readonly #detail: Detail;
  readonly #table = tableView();
  readonly #code: CodeBlock;
  readonly #footer: Footer;
  readonly #tooltip = new Tooltip();
  readonly #links: Links;
  readonly #newCells = changeDetector();
  readonly #newNames = changeDetector();
  #data: ProbeData;
  #cells: Cells | null = null;
  #names: { rows: string[]; columns: Parameters<LayerGrid["update"]>[0]["columns"] } | null = null;
  #pointed: GridCell | null = null;
  #scene: Scene | null = null;

  constructor(
    private readonly model: Model<State>,
    el: HTMLElement,
  ) {
    this.#stage = new Stage<State>(model, {
      draw: () => this.#draw(),
      changed: (name) => {
        if (name === "arrays" || name === "spec") this.#data = new ProbeData(model.get("spec"), model.get("arrays"));
      },
    });
    const { id, signal } = this.#stage;
    this.#data = new ProbeData(model.get("spec"), model.get("arrays"));
    const actions = this.#actions();
    this.#title = h("div", { class: "iw-title", ...this.#stage.heading });
    this.#job = new JobStrip({ noun: "cell", done: "computed" }, actions, this.#stage.live);
    this.#kinds = new Segmented("kind of probe", actions.setKind);
    this.#measures = new Segmented("measure", actions.setMeasure);
    const handlers = { point: actions.point, select: actions.select, moved: () => this.#showTip() };
    this.#grid = new LayerGrid(id, handlers, signal, SIZES);
    this.#chart = new Chart(actions, signal);
    this.#both = h("div", { class: "iw-both" }, this.#grid.element, this.#chart.element);
    this.#detail = new Detail(actions);
    this.#code = new CodeBlock("code that fits and tests it", actions.announce);
    const plots = h("div", {}, this.#both, this.#legend.element);
    this.#footer = this.#makeFooter(plots);
    const controls = h("div", { class: "iw-controls" }, this.#kinds.element, this.#measures.element);
    const header = h("div", { class: "iw-header" }, this.#title, this.#subtitle);
    const parts = [header, this.#job.element, controls, plots, this.#table.element, this.#detail.element];
    const below = [this.#footer.element, this.#code.element, this.#tooltip.element];
    this.#frame = new Frame("linear probes", layerGridCss + codeCss + css, ...parts, ...below);
    this.#links = new Links(
      model as unknown as Model<ViewState>,
      {
        point: (spot) => this.#grid.ghost(spot && this.#ghost(spot)),
        go: (spot) => this.#go(spot),
        words: (pos) => this.#words(pos),
      },
      signal,
    );
    this.#stage.open(el, this.#frame, TRAITS, "All probes are fitted.");
  }

  destroy(): void {
    this.#stage.close();
  }

  #makeFooter(plots: HTMLElement): Footer {
    const takeaways = {
      stem: () => `probes-${this.model.get("spec").classes.slice(0, 2).join("-")}`.replace(/[^\w-]+/g, "-"),
      png: () => (this.#scene ? probesToPng(this.#scene, this.#grid, fontsOf(this.#both)) : Promise.resolve(null)),
      csv: () => probesToCsv(this.#data),
      csvTitle: "save every measure of every cell",
    };
    const table = { title: "the grid as tables", opens: this.#table.element, closes: plots };
    const code = { title: "lines that fit and test the chosen cell", opens: this.#code.element };
    return this.#stage.footer(takeaways, { code, table });
  }

  #actions(): Actions {
    return {
      select: (cell) => {
        this.#stage.write("selected", cell && this.#data.choice(cell));
        this.#links.select(cell && this.#spot(cell));
        if (cell && this.#scene) this.#stage.say(`Chosen. ${describe(this.#scene, cell)}`);
      },
      point: (cell) => {
        this.#pointed = cell;
        this.#links.point(cell && this.#spot(cell));
        this.#drawChart();
        this.#showTip();
      },
      setKind: (kind) => this.#stage.write("kind", this.#data.spec.kinds[kind].name as State["kind"]),
      setMeasure: (measure) => this.#stage.write("measure", this.#data.spec.measures[measure].name as State["measure"]),
      cancel: () => this.#stage.cancel(),
      announce: (text) => this.#stage.say(text),
    };
  }

  /** A cell as a place that other views understand: positions that count from the end are this view's own. */
  #spot(cell: GridCell): Spot {
    const { site, layer, pos } = this.#data.choice(cell);
    return { site, layer, ...(pos !== null && pos >= 0 ? { pos } : {}) };
  }

  /** Where a place is in the grid; −1 for what it does not say. */
  #ghost({ site, layer, pos }: Spot): GridCell | null {
    const { rows, columns } = this.#data.spec;
    const of = (row: (typeof rows)[number]) => row.layer === layer;
    const own = rows.findIndex((row) => of(row) && row.site === site);
    const row = own >= 0 ? own : rows.findIndex(of);
    const column = pos === undefined ? -1 : columns.findIndex((one) => one.pos === pos);
    return row < 0 && column < 0 ? null : { row, column };
  }

  #go(spot: Spot | null): void {
    if (!spot) {
      this.#stage.write("selected", null);
      return;
    }
    const place = this.#ghost(spot);
    const here = this.#scene?.selected;
    const cell = place && {
      row: place.row >= 0 ? place.row : (here?.row ?? -1),
      column: place.column >= 0 ? place.column : (here?.column ?? -1),
    };
    if (cell && cell.row >= 0 && cell.column >= 0) this.#stage.write("selected", this.#data.choice(cell));
  }

  #words(pos: number): readonly string[] {
    return this.#data.spec.columns.filter((one) => one.pos === pos && isToken(one)).map(({ label }) => label);
  }

  #draw(): void {
    const spec = this.model.get("spec");
    const numberOf = (terms: readonly { name: string }[], name: string) =>
      Math.max(
        0,
        terms.findIndex((term) => term.name === name),
      );
    const kind = numberOf(spec.kinds, this.model.get("kind"));
    const measure = numberOf(spec.measures, this.model.get("measure"));
    const chosen = this.#data.find(this.model.get("selected") ?? null);
    const scene: Scene = {
      ...this.#frame.look(this.model.get("theme") ?? "auto"),
      spec,
      data: this.#data,
      job: this.model.get("job"),
      kind,
      measure,
      selected: chosen ?? this.#data.best(measure, kind),
      chosen: chosen !== null,
      live: this.#stage.live,
    };
    this.#scene = scene;
    fill(this.#title, spec.title);
    fill(this.#subtitle, meaningOf(scene));
    this.#job.update(scene.job);
    this.#drawControls(scene);
    this.#drawGrid(scene);
    this.#drawChart();
    this.#legend.update(scene);
    this.#detail.update(scene);
    this.#table.update(scene);
    this.#drawCode(scene);
    this.#footer.update(spec.provenance);
    this.#showTip();
  }

  #drawControls({ spec, kind, measure }: Scene): void {
    const option = ({ label, meaning }: { label: string; meaning: string }, value: number) => ({
      value,
      text: label,
      title: meaning,
    });
    this.#kinds.element.hidden = spec.kinds.length < 2;
    this.#kinds.update(spec.kinds.map(option), kind);
    this.#measures.update(spec.measures.map(option), measure);
  }

  #drawGrid(scene: Scene): void {
    const { spec, data, kind, measure, palette, selected, width } = scene;
    if (this.#newNames(spec) || !this.#names) {
      const labels = spec.columns.map(({ label }) => ({ text: label, accent: null }));
      this.#names = {
        rows: rowLabels(spec),
        columns: { labels, numbers: false, title: "", first: [labels.length - 1] },
      };
    }
    if (this.#newCells(data, kind, measure, palette) || !this.#cells) this.#cells = cellsOf(scene);
    const content = {
      ...this.#names,
      cells: this.#cells,
      selected,
      label: `${spec.measures[measure].label} by layer and position`,
      describe: (cell: GridCell) => describe(scene, cell),
    };
    this.#grid.update(content, { width, mostHeight: MOST_HEIGHT, palette });
  }

  #drawChart(): void {
    const scene = this.#scene;
    if (!scene) return;
    const { width, height } = this.#grid.element.getBoundingClientRect();
    const beside = scene.width - width - GAP;
    const stacked = scene.size === "narrow" || beside < NARROWEST_CHART;
    this.#both.dataset.stacked = String(stacked);
    const room = Math.min(WIDEST_CHART, stacked ? scene.width : beside);
    const same = this.#pointed?.column === scene.selected?.column ? (this.#pointed?.row ?? null) : null;
    this.#chart.update(scene, Math.floor(room), stacked ? 200 : Math.max(200, Math.min(320, height - 20)), same);
  }

  #showTip(): void {
    const [scene, cell] = [this.#scene, this.#grid.pointed];
    if (
      !scene ||
      !cell ||
      (scene.chosen && cell.row === scene.selected?.row && cell.column === scene.selected.column)
    ) {
      this.#tooltip.hide();
      return;
    }
    const content = [
      h("div", { class: "iw-tip-head" }, nameOf(scene, cell)),
      ...saidOf(scene, cell).map((line) => h("div", {}, line)),
    ];
    const place = this.#grid.onScreen(cell);
    this.#tooltip.show(content, place.cell, place.all, this.#frame.element);
  }

  #drawCode(scene: Scene): void {
    const { spec, selected, kind, chosen } = scene;
    if (!selected) {
      this.#code.update("", "", "Nothing is fitted yet.");
      return;
    }
    const { site, layer } = spec.rows[selected.row];
    const { untested, at, where, folds } = spec.columns[selected.column];
    const template = spec.code[`${site} ${spec.kinds[kind].name}`] ?? "";
    const values = { layer: String(layer), at, where, column: String(selected.column), folds };
    const heading = `${nameOf(scene, selected)}${chosen ? "" : ", where it reads best"}`;
    if (untested) this.#code.update(heading, "", `Nothing is fitted there: ${untested}`);
    else this.#code.update(heading, template && substitute(template, values));
  }
}

const words = { label: "linear probes", subject: "These probes" };

export default { render: rendering<State>(words, (model, el) => new Probes(model, el)) };
