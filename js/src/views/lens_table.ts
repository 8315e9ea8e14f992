import { CodeBlock, codeCss } from "../core/code_block";
import { changeDetector, fill, h } from "../core/dom";
import type { Footer } from "../core/footer";
import { Frame } from "../core/frame";
import { JobStrip } from "../core/job_strip";
import { layerGridCss } from "../core/layer_grid";
import { Links } from "../core/links";
import type { Model } from "../core/model";
import { Nested, nestedCss } from "../core/nested";
import { fontsOf } from "../core/picture";
import { rendering } from "../core/render";
import { Stage } from "../core/stage";
import { substitute } from "../core/template";
import { stripCss } from "../core/token_strip";
import { Tooltip } from "../core/tooltip";
import type { Spot } from "../protocol/common";
import type { LensCellsMessage, LensQuantity, LensState, LensToPython } from "../protocol/lens_table";
import { CellPanel, cellContent } from "./lens_table/cell_panel";
import { Chart } from "./lens_table/chart";
import { Controls, Legend } from "./lens_table/controls";
import { LensData } from "./lens_table/data";
import { lensToCsv } from "./lens_table/export_csv";
import { lensToPng } from "./lens_table/export_png";
import { Grids } from "./lens_table/grids";
import { cellAt, cellOf, ghostAt, nameCell } from "./lens_table/places";
import { Prompts } from "./lens_table/prompts";
import { type Difference, differenceOf, type Scale, scaleOf } from "./lens_table/scale";
import { type Actions, type Cell, current, type Scene, samePin } from "./lens_table/scene";
import css from "./lens_table/style.css";
import { tableView } from "./lens_table/table_view";
import { meaningOf, quantitiesOf, rowName, spoken, titleOf } from "./lens_table/words";

const TRAITS = ["selected", "answer", "metric", "rows", "pinned", "trajectory"] as const;
const MOST_PINNED = 12;
const SIDE = 340;
const GAP = 28;

/** One view of a lens in one element of a page. */
class LensTable {
  readonly #stage: Stage<LensState, LensToPython, LensCellsMessage>;
  readonly #frame: Frame;
  readonly #header = h("div", { class: "iw-header" });
  readonly #job: JobStrip;
  readonly #prompts: Prompts;
  readonly #grids: Grids;
  readonly #controls: Controls;
  readonly #legend = new Legend();
  readonly #cell: CellPanel;
  readonly #chart: Chart;
  readonly #table = tableView();
  readonly #code: CodeBlock;
  readonly #footer: Footer;
  readonly #tooltip = new Tooltip();
  readonly #links: Links;
  readonly #nested: Nested;
  readonly #newHeader = changeDetector();
  readonly #newRows = changeDetector();
  readonly #newScale = changeDetector();
  #data: LensData;
  #version = 0;
  #pointed: Cell | null = null;
  #elsewhere: Spot | null = null;
  #asked: Scene["asked"] = null;
  #rows: readonly number[] = [];
  #scale!: Scale;
  #difference: Difference | null = null;
  #scene: Scene | null = null;

  constructor(
    private readonly model: Model<LensState>,
    el: HTMLElement,
  ) {
    this.#stage = new Stage<LensState, LensToPython, LensCellsMessage>(model, {
      draw: () => this.#draw(),
      changed: (name) => {
        if (name !== "arrays" && name !== "spec") return;
        this.#data = new LensData(model.get("spec"), model.get("arrays"));
        this.#version++;
      },
      arrived: (message, buffers) => {
        this.#data.apply(message, buffers);
        this.#version++;
      },
    });
    this.#data = new LensData(model.get("spec"), model.get("arrays"));
    const { id, signal } = this.#stage;
    const actions = this.#actions();
    this.#job = new JobStrip({ noun: "cell", done: "read" }, actions, this.#stage.live);
    this.#prompts = new Prompts(id, actions, signal);
    this.#grids = new Grids(id, actions, signal);
    this.#controls = new Controls(actions, signal);
    this.#cell = new CellPanel(actions);
    this.#chart = new Chart(actions, signal);
    this.#code = new CodeBlock("nnsight code that computes it", actions.announce);
    const main = h("div", { class: "iw-lens-main" }, this.#grids.element, this.#legend.element);
    const side = h("div", { class: "iw-lens-side" }, this.#cell.element, this.#chart.element);
    const body = h("div", { class: "iw-lens-body" }, main, side);
    const shown = h("div", {}, this.#prompts.element, this.#controls.element, body);
    const say = (text: string) => this.#stage.say(text);
    const place = () => this.#place();
    this.#nested = new Nested(
      model,
      this.#stage.messages,
      { place, home: () => this.#grids.grids[0]?.element.focus(), say },
      signal,
    );
    shown.append(this.#nested.bar);
    this.#footer = this.#makeFooter(shown);
    this.#frame = new Frame(
      "lens",
      stripCss + layerGridCss + codeCss + nestedCss + css,
      this.#header,
      this.#job.element,
      shown,
      this.#table.element,
      this.#footer.element,
      this.#code.element,
      this.#nested.element,
      this.#tooltip.element,
    );
    this.#nested.listen(this.#frame.element, signal);
    this.#links = new Links(
      model,
      {
        point: (spot) => this.#mark(spot),
        go: (spot) => this.#go(spot),
        words: (pos) => [...new Set(model.get("spec").prompts.flatMap(({ labels }) => labels.slice(pos, pos + 1)))],
      },
      signal,
    );
    this.#stage.open(el, this.#frame, TRAITS, "The lens is read.");
  }

  destroy(): void {
    this.#stage.close();
  }

  #makeFooter(shown: HTMLElement): Footer {
    const png = () => {
      if (!this.#scene) return Promise.resolve(null);
      const { grids, titles } = this.#grids;
      const fonts = fontsOf(this.#grids.element);
      return lensToPng(this.#scene, { fonts, grids, titles, scale: this.#scale, difference: this.#difference });
    };
    const takeaways = {
      stem: () => this.model.get("spec").lens.replace(/[^\w-]+/g, "-"),
      png,
      csv: () => (this.#scene ? lensToCsv(this.#scene) : []),
      csvTitle: "save the followed tokens in every cell",
    };
    const code = { title: "the lines of nnsight that compute this cell", opens: this.#code.element };
    const table = { title: "what is said as a table", opens: this.#table.element, closes: shown };
    return this.#stage.footer(takeaways, { code, table });
  }

  #actions(): Actions {
    return {
      select: (cell) => {
        const spec = this.model.get("spec");
        this.#stage.write("selected", cell && nameCell(spec, cell));
        this.#links.select(cell && spotOf(nameCell(spec, cell)));
        if (cell && this.#scene) this.#stage.say(`Selected: ${spoken(this.#scene, cell)}.`);
      },
      point: (cell) => this.#point(cell),
      setAnswer: (answer) => this.#stage.write("answer", answer),
      setMetric: (metric) => this.#stage.write("metric", metric),
      setRows: (rows) => this.#stage.write("rows", rows),
      setTrajectory: (trajectory) => this.#stage.write("trajectory", trajectory),
      pin: (pin) => {
        const pinned = this.model.get("pinned") ?? [];
        const others = pinned.filter((other) => !samePin(other, pin));
        if (others.length < pinned.length) this.#stage.write("pinned", others);
        else if (pinned.length < MOST_PINNED) this.#stage.write("pinned", [...pinned, pin]);
        else this.#stage.say(`At most ${MOST_PINNED} lines can be pinned at once.`);
      },
      follow: (asked) => void this.#follow(asked),
      cancel: () => this.#stage.cancel(),
      announce: (text) => this.#stage.say(text),
    };
  }

  /** The place that views open from: what is selected. */
  #place(): Spot | null {
    const { spec, selected } = this.#scene ?? {};
    return spec && selected ? spotOf(nameCell(spec, selected)) : null;
  }

  /** Follows the pointer without drawing what it does not change. */
  #point(cell: Cell | null): void {
    this.#pointed = cell;
    const spec = this.model.get("spec");
    this.#links.point(cell && spotOf(nameCell(spec, cell)));
    this.#stage.redraw();
  }

  /** Marks where the reader is in another view. */
  #mark(spot: Spot | null): void {
    this.#elsewhere = spot;
    this.#grids.mark(ghostAt(this.model.get("spec"), this.#rows, spot));
  }

  /** Selects what was selected in another view, as far as it is here. */
  #go(spot: Spot | null): void {
    const spec = this.model.get("spec");
    if (!spot) this.#stage.write("selected", null);
    const here = this.#scene && current({ ...this.#scene, pointed: null });
    const cell = spot && here && cellAt(spec, spot, here);
    if (cell) this.#stage.write("selected", nameCell(spec, cell));
  }

  async #follow(asked: { text: string; token: number | null }): Promise<void> {
    if (!this.#stage.live || this.#asked === "waiting") return;
    this.#asked = "waiting";
    this.#stage.redraw();
    try {
      await this.#stage.messages.request({ name: "follow", ...asked });
      this.#asked = null;
      this.#stage.say("One more token is followed.");
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#asked = { error: reason };
      this.#stage.say(`Not followed: ${reason}`);
    }
    this.#stage.redraw();
  }

  #draw(): void {
    const scene = this.#look();
    this.#scene = scene;
    const { spec, data, answer, metric, size, width } = scene;
    if (this.#newScale(data, this.#version, this.#rows, answer, metric)) {
      this.#scale = scaleOf(scene);
      this.#difference = data.prompts > 1 ? differenceOf(scene) : null;
    }
    const room = size === "wide" ? width - SIDE - GAP : width;
    if (this.#newHeader(spec)) this.#drawHeader(scene);
    this.#job.update(scene.job);
    this.#prompts.update(scene, this.#scale, width);
    this.#controls.update(scene);
    this.#grids.update(scene, this.#scale, this.#difference, room);
    if (this.#elsewhere) this.#mark(this.#elsewhere);
    this.#legend.update(scene, this.#scale, this.#difference);
    this.#cell.update(scene);
    const half = Math.floor((width - GAP) / 2);
    this.#chart.update(scene, size === "wide" ? SIDE : size === "middle" ? half : width);
    this.#table.update(scene);
    this.#footer.update(spec.provenance);
    this.#drawCode(scene);
    this.#drawTip(scene);
    this.#nested.update();
  }

  /** What is shown; what the state names is used only if there is such a thing. */
  #look(): Scene {
    const spec = this.model.get("spec");
    const choice = this.model.get("rows") ?? "all";
    if (this.#newRows(spec, choice))
      this.#rows = spec.rows.flatMap(({ site }, row) => (choice === "layers" && site === "resid_mid" ? [] : [row]));
    const known = this.model.get("answer") ?? null;
    const answer = known !== null && known >= 0 && known < this.#data.answers.length ? known : null;
    const metrics: LensQuantity[] = quantitiesOf(answer);
    const metric = this.model.get("metric") ?? "prob";
    return {
      ...this.#frame.look(this.model.get("theme") ?? "auto"),
      spec,
      data: this.#data,
      version: this.#version,
      job: this.model.get("job"),
      rows: this.#rows,
      choice,
      answer,
      metric: metrics.includes(metric) ? metric : "prob",
      selected: cellOf(spec, this.model.get("selected") ?? null),
      pointed: this.#pointed,
      pinned: this.model.get("pinned") ?? [],
      trajectory: this.model.get("trajectory") ?? "prob",
      live: this.#stage.live,
      asked: this.#asked,
    };
  }

  #drawHeader({ spec, data }: Scene): void {
    fill(
      this.#header,
      h("div", { class: "iw-title", ...this.#stage.heading }, titleOf(spec)),
      h("div", { class: "iw-subtitle" }, meaningOf({ spec, data })),
    );
  }

  #drawCode(scene: Scene): void {
    const { spec, data } = scene;
    const { prompt, row, pos } = current({ ...scene, pointed: null });
    const { site, layer } = spec.rows[row];
    const template = spec.code[row === data.rows - 1 ? "last" : site] ?? "";
    const ids = `[${spec.ids[prompt].join(", ")}]`;
    const heading = `${rowName(spec.rows[row])}, position ${pos}`;
    this.#code.update(heading, substitute(template, { ids, layer: String(layer), pos: String(pos) }));
  }

  /** Beside the pointer what the panel tells, where that is out of sight. */
  #drawTip(scene: Scene): void {
    const place = this.#pointed && scene.size !== "wide" ? this.#grids.onScreen(this.#pointed) : null;
    const over = this.#grids.grids.some(({ pointed }) => pointed !== null);
    if (!place || !over || !this.#pointed) this.#tooltip.hide();
    else {
      const content = cellContent(scene, this.#pointed, { buttons: false });
      this.#tooltip.show(content, place.cell, place.all, this.#frame.element);
    }
  }
}

/** A cell as a place that other views understand. */
function spotOf({ site, layer, pos }: { site: string; layer: number; pos: number }): Spot {
  return { site, layer, pos };
}

const render = rendering<LensState>({ label: "lens", subject: "This lens" }, (model, el) => new LensTable(model, el));

export default { render };
