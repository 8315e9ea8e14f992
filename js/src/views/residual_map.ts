import { CodeBlock, codeCss } from "../core/code_block";
import { changeDetector, fill, h } from "../core/dom";
import type { Footer } from "../core/footer";
import { formatCount } from "../core/format";
import { Frame } from "../core/frame";
import { JobStrip } from "../core/job_strip";
import { Links } from "../core/links";
import type { Model } from "../core/model";
import { fontsOf } from "../core/picture";
import { rendering } from "../core/render";
import { Stage } from "../core/stage";
import { substitute } from "../core/template";
import type { Spot } from "../protocol/common";
import type { LayerMessage, ResidualMapState, ResidualMapToPython } from "../protocol/residual_map";
import { type Coloring, coloringOf } from "./residual_map/colors";
import { Controls } from "./residual_map/controls";
import { MapData } from "./residual_map/data";
import { mapToCsv } from "./residual_map/export_csv";
import { mapToPng } from "./residual_map/export_png";
import { Layers } from "./residual_map/layers";
import { Legend } from "./residual_map/legend";
import { Plot } from "./residual_map/plot";
import type { Actions, Scene, Tool } from "./residual_map/scene";
import { Selection } from "./residual_map/selection";
import css from "./residual_map/style.css";
import { tableView } from "./residual_map/table_view";
import { isPlain, layerName } from "./residual_map/words";

const TRAITS = ["selected", "layer", "color_by", "align", "one_scale", "axes"] as const;
const LABEL = "tokens in the residual stream";
const MOST_GHOSTS = 400;
const SIDE = 300;
const GAP = 28;
const BEAT = 900;

/** One map of residual streams in one element of a page. */
class ResidualMap {
  readonly #stage: Stage<ResidualMapState, ResidualMapToPython, LayerMessage>;
  readonly #frame: Frame;
  readonly #head = h("div", { class: "iw-header" });
  readonly #job: JobStrip;
  readonly #controls: Controls;
  readonly #layers: Layers;
  readonly #plot: Plot;
  readonly #legend: Legend;
  readonly #selection: Selection;
  readonly #table = tableView();
  readonly #code: CodeBlock;
  readonly #footer: Footer;
  readonly #links: Links;
  readonly #asked = new Map<number, "waiting" | "failed">();
  readonly #changedHead = changeDetector();
  readonly #changedColors = changeDetector();
  readonly #changedChoice = changeDetector();
  #coloring: Coloring | null = null;
  #chosen: Uint8Array | null = null;
  #data: MapData;
  #version = 0;
  #hidden: ReadonlySet<number> = new Set();
  #cursor: number | null = null;
  #tool: Tool = "move";
  #drawn: number | null = null;
  #playing: ReturnType<typeof setInterval> | null = null;
  #scene: Scene | null = null;

  constructor(
    private readonly model: Model<ResidualMapState>,
    el: HTMLElement,
  ) {
    this.#stage = new Stage<ResidualMapState, ResidualMapToPython, LayerMessage>(model, {
      draw: () => this.#draw(),
      changed: (name) => {
        const [spec, arrays] = [model.get("spec"), model.get("arrays")];
        // The two come one after the other; in between they may not be of one result.
        if (name === "arrays" || (name === "spec" && spec.n_points === this.#data.count)) {
          this.#data = new MapData(spec, arrays);
          this.#version++;
        }
      },
      arrived: ({ layer }, buffers) => {
        this.#data.receive(layer, buffers);
        this.#version++;
      },
    });
    this.#data = new MapData(model.get("spec"), model.get("arrays"));
    const actions = this.#makeActions();
    const { id, signal } = this.#stage;
    this.#job = new JobStrip({ noun: "point", done: "read or placed" }, actions, this.#stage.live);
    this.#controls = new Controls(actions);
    this.#layers = new Layers(actions, signal);
    this.#plot = new Plot(id, actions, signal);
    this.#legend = new Legend(actions);
    this.#selection = new Selection(actions);
    this.#code = new CodeBlock("nnsight code that computes it", actions.announce);
    const side = h("div", { class: "iw-map-side" }, this.#legend.element, this.#selection.element);
    const main = h("div", {}, this.#plot.element, this.#layers.element);
    const body = h("div", {}, this.#controls.element, h("div", { class: "iw-map" }, main, side));
    this.#footer = this.#makeFooter(body);
    const parts = [this.#head, this.#job.element, body, this.#table.element, this.#footer.element, this.#code.element];
    this.#frame = new Frame(LABEL, codeCss + css, ...parts);
    const linked = {
      point: (spot: Spot | null) => this.#plot.ghost(this.#meant(spot).slice(0, MOST_GHOSTS)),
      go: (spot: Spot | null) => this.#go(spot),
      words: (pos: number) => this.#data.words(pos),
    };
    this.#links = new Links(model, linked, signal);
    this.#stage.open(el, this.#frame, TRAITS, "All layers are placed.");
  }

  destroy(): void {
    this.#pause();
    this.#stage.close();
  }

  #makeFooter(body: HTMLElement): Footer {
    const scene = () => this.#scene;
    const takeaways = {
      stem: () => `residual-map-layer-${this.model.get("layer") ?? "all"}`,
      png: () => {
        const now = scene();
        return now ? mapToPng(now, this.#plot, fontsOf(this.#plot.element)) : Promise.resolve(null);
      },
      csv: () => {
        const now = scene();
        return now ? mapToCsv(now) : [];
      },
      csvTitle: "save the places of all points, or of the selected ones, in the layers that are here",
    };
    const table = { title: "layers and points as tables", opens: this.#table.element, closes: body };
    const code = { title: "the lines of nnsight that compute the axes", opens: this.#code.element };
    return this.#stage.footer(takeaways, { code, table });
  }

  #makeActions(): Actions {
    return {
      setLayer: (row) => {
        this.#stage.write("layer", this.model.get("spec").layers[row]);
        if (this.#scene) this.#stage.say(`${layerName(this.#scene, row)}.`);
      },
      setColorBy: (by) => {
        this.#hidden = new Set();
        this.#stage.write("color_by", by);
      },
      setAlign: (align) => this.#stage.write("align", align),
      setOneScale: (one) => this.#stage.write("one_scale", one),
      setAxes: (axes) => this.#stage.write("axes", axes),
      setTool: (tool) => {
        this.#tool = tool;
        this.#stage.draw();
      },
      toggle: (kind) => {
        const hidden = new Set(this.#hidden);
        if (!hidden.delete(kind)) hidden.add(kind);
        this.#hidden = hidden;
        this.#stage.draw();
      },
      select: (points) => {
        const selected = [...new Set(points)].sort((a, b) => a - b);
        this.#stage.write("selected", selected);
        this.#links.select(selected.length ? this.#spot(selected) : null);
        this.#stage.say(
          selected.length ? `${formatCount(selected.length, "point")} selected.` : "Nothing is selected.",
        );
      },
      hover: (point) => this.#links.point(point === null ? null : this.#spot([point])),
      point: (point) => {
        this.#cursor = point;
        this.#links.point(point === null ? null : this.#spot([point]));
        this.#stage.draw();
      },
      play: () => this.#play(),
      cancel: () => this.#stage.cancel(),
      announce: (text) => this.#stage.say(text),
    };
  }

  /** Where points are, in words that other views share: the layer, and their position where that is one. */
  #spot(points: readonly number[]): Spot {
    const positions = new Set(points.map((point) => this.#data.position(point)));
    const layer = this.#scene ? { layer: this.#scene.spec.layers[this.#scene.wanted] } : {};
    return positions.size === 1 ? { ...layer, pos: [...positions][0] } : layer;
  }

  /** The points that a place elsewhere is about: those at its position. */
  #meant(spot: Spot | null): number[] {
    return spot?.pos === undefined ? [] : this.#data.at(spot.pos, spot.prompt ?? null);
  }

  #go(spot: Spot | null): void {
    if (spot === null) this.#stage.write("selected", []);
    if (spot?.layer !== undefined && this.model.get("spec").layers.includes(spot.layer))
      this.#stage.write("layer", spot.layer);
    const points = this.#meant(spot);
    if (points.length) this.#stage.write("selected", points);
  }

  #play(): void {
    const scene = this.#scene;
    if (this.#playing !== null || !scene) {
      this.#pause();
      return;
    }
    const last = scene.spec.layers.length - 1;
    if (scene.wanted === last) this.#stage.write("layer", scene.spec.layers[0]);
    this.#layers.playing = true;
    this.#playing = setInterval(() => {
      const row = this.#scene?.wanted ?? last;
      if (row >= last) this.#pause();
      else this.#stage.write("layer", scene.spec.layers[row + 1]);
    }, BEAT);
  }

  #pause(): void {
    if (this.#playing !== null) clearInterval(this.#playing);
    this.#playing = null;
    this.#layers.playing = false;
  }

  /** The row that can be drawn: the wanted one, while it is not here the last one that was. */
  #row(wanted: number): number | null {
    if (this.#data.has(wanted)) return wanted;
    if (this.#drawn !== null && this.#data.has(this.#drawn)) return this.#drawn;
    const { rows } = this.#data;
    return rows.length
      ? rows.reduce((best, row) => (Math.abs(row - wanted) < Math.abs(best - wanted) ? row : best))
      : null;
  }

  #draw(): void {
    const { spec } = this.#data;
    const look = this.#frame.look(this.model.get("theme") ?? "auto");
    const layer = this.model.get("layer");
    const at = layer === null || layer === undefined ? -1 : spec.layers.indexOf(layer);
    const wanted = at < 0 ? spec.layers.length >> 1 : at;
    const by = this.model.get("color_by") ?? "token";
    if (this.#coloring === null || this.#changedColors(this.#data, by, look.palette))
      this.#coloring = coloringOf(this.#data, by, look.palette);
    const selected = this.model.get("selected") ?? [];
    if (this.#changedChoice(selected, this.#data)) {
      this.#chosen = selected.length ? new Uint8Array(this.#data.count) : null;
      for (const point of selected) if (this.#chosen) this.#chosen[point] = 1;
    }
    const row = this.#row(wanted);
    this.#drawn = row;
    const axes = this.model.get("axes") ?? [0, 1];
    const turns = spec.n_given === 0 && spec.layers.length > 1;
    const scene: Scene = {
      ...look,
      spec,
      data: this.#data,
      version: this.#version,
      job: this.model.get("job"),
      wanted,
      row,
      layer: row === null ? null : (this.#data.layers.get(row) ?? null),
      axes: axes.every((axis) => axis < spec.axes.length) ? axes : [0, 1],
      align: turns && (this.model.get("align") ?? true),
      oneScale: this.model.get("one_scale") ?? false,
      coloring: this.#coloring,
      hidden: this.#hidden,
      selected,
      chosen: this.#chosen,
      cursor: this.#cursor,
      tool: this.#tool,
      live: this.#stage.live,
    };
    this.#scene = scene;
    this.#drawHead(scene);
    this.#job.update(scene.job);
    this.#controls.update(scene);
    this.#plot.update(scene, scene.size === "wide" ? scene.width - SIDE - GAP : scene.width);
    this.#layers.update(scene);
    this.#legend.update(scene);
    this.#selection.update(scene);
    this.#table.update(scene);
    this.#footer.update(spec.provenance);
    const why = "There are no few lines for directions of your own, t-SNE, UMAP, and texts longer than the context.";
    const code = spec.code && row !== null ? substitute(spec.code, { there: spec.reads[row] }) : "";
    this.#code.update(row === null ? "" : layerName(scene, row), code, why);
    this.#fetch(scene);
  }

  #drawHead(scene: Scene): void {
    const { spec, wanted, row, data } = scene;
    const missing = row !== wanted && data.layers.has(wanted);
    const asked = this.#asked.get(wanted);
    const turned = scene.align && !isPlain(scene.layer?.turn);
    if (!this.#changedHead(spec, missing, asked, turned, row, wanted)) return;
    const steady = turned
      ? " Each layer is turned onto the one before (Procrustes), so that points move and axes do not."
      : "";
    const why = scene.live ? "is on its way" : "is not in this page, which would be too large with all of them";
    fill(
      this.#head,
      h("div", { class: "iw-title", ...this.#stage.heading }, spec.title),
      h("div", { class: "iw-subtitle" }, spec.meaning + steady),
      ...spec.notes.map((note) => h("div", { class: "iw-note" }, note)),
      missing &&
        h(
          "div",
          { class: "iw-note", role: "status" },
          `The plot shows ${row === null ? "nothing" : layerName(scene, row)}: ${layerName(scene, wanted)} ${asked === "failed" ? "could not be had" : why}.`,
        ),
    );
  }

  /** Asks for a layer that is looked at, is placed, and is not here. */
  async #fetch({ wanted, data, live }: Scene): Promise<void> {
    if (!live || data.has(wanted) || !data.layers.has(wanted) || this.#asked.has(wanted)) return;
    this.#asked.set(wanted, "waiting");
    try {
      await this.#stage.messages.request({ name: "layer", row: wanted });
      this.#asked.delete(wanted);
    } catch {
      this.#asked.set(wanted, "failed");
    }
    this.#stage.redraw();
  }
}

export default {
  render: rendering<ResidualMapState>(
    { label: LABEL, subject: "These points" },
    (model, el) => new ResidualMap(model, el),
  ),
};
