import { CodeBlock, codeCss } from "../core/code_block";
import { changeDetector, fill, h } from "../core/dom";
import type { Footer } from "../core/footer";
import { Frame } from "../core/frame";
import { JobStrip } from "../core/job_strip";
import type { Model } from "../core/model";
import { fontsOf } from "../core/picture";
import { rendering } from "../core/render";
import { Stage } from "../core/stage";
import { substitute } from "../core/template";
import { Tooltip } from "../core/tooltip";
import type { SuperpositionState } from "../protocol/superposition";
import { Chart } from "./superposition/chart";
import { Toys } from "./superposition/data";
import { toysToCsv } from "./superposition/export_csv";
import { toysToPng } from "./superposition/export_png";
import { Large } from "./superposition/large";
import { Legend } from "./superposition/legend";
import { Readout, said, tipContent } from "./superposition/readout";
import type { Actions, Place, Scene } from "./superposition/scene";
import { Strip } from "./superposition/strip";
import css from "./superposition/style.css";
import { tableView } from "./superposition/table_view";
import { onShare, pictureMeaning } from "./superposition/words";

const TRAITS = ["selected"] as const;
const LABEL = "toy models of superposition";
const BETWEEN = 28;

/** One view of toy models in one element of a page. */
class Superposition {
  readonly #stage: Stage<SuperpositionState>;
  readonly #tooltip = new Tooltip();
  readonly #frame: Frame;
  readonly #header = h("div", { class: "iw-header" });
  readonly #job: JobStrip;
  readonly #strip: Strip;
  readonly #large: Large;
  readonly #chart: Chart;
  readonly #readout: Readout;
  readonly #legend = new Legend();
  readonly #table = tableView();
  readonly #code: CodeBlock;
  readonly #footer: Footer;
  readonly #newHeader = changeDetector();
  #toys: Toys;
  #pointed: { place: Place; beside: DOMRect; all: DOMRect } | null = null;
  #scene: Scene | null = null;

  constructor(
    private readonly model: Model<SuperpositionState>,
    el: HTMLElement,
  ) {
    this.#stage = new Stage<SuperpositionState>(model, {
      draw: () => this.#draw(),
      changed: (name) => {
        if (name === "arrays" || name === "spec") this.#toys = new Toys(model.get("spec"), model.get("arrays"));
      },
    });
    const { id, signal } = this.#stage;
    this.#toys = new Toys(model.get("spec"), model.get("arrays"));
    const actions = this.#actions();
    this.#job = new JobStrip({ noun: "step", done: "trained" }, actions, this.#stage.live);
    this.#strip = new Strip(actions);
    this.#large = new Large(id, actions, signal);
    this.#chart = new Chart(actions, signal);
    this.#readout = new Readout(actions);
    this.#code = new CodeBlock("torch code that trains the model", actions.announce);
    const both = h("div", { class: "iw-both" }, this.#large.element, this.#chart.element);
    const plots = h("div", {}, this.#strip.element, both);
    this.#footer = this.#stage.footer(
      {
        png: () => (this.#scene ? toysToPng(this.#scene, fontsOf(this.#large.element)) : Promise.resolve(null)),
        csv: () => toysToCsv(this.#toys),
        csvTitle: "save every feature of every model",
        stem: () => `superposition-${this.#toys.features}-in-${this.#toys.spec.n_hidden}`,
      },
      {
        code: { title: "the lines of torch that train the large model", opens: this.#code.element },
        table: { title: "the features as a table", opens: this.#table.element, closes: plots },
      },
    );
    this.#frame = new Frame(
      LABEL,
      codeCss + css,
      this.#header,
      this.#job.element,
      plots,
      this.#table.element,
      this.#readout.element,
      h("div", { class: "iw-bar-row" }, this.#legend.element),
      this.#footer.element,
      this.#code.element,
      this.#tooltip.element,
    );
    this.#stage.open(el, this.#frame, TRAITS, "All models are trained.");
  }

  destroy(): void {
    this.#stage.close();
  }

  #actions(): Actions {
    return {
      select: (sparsity, feature) => {
        this.#stage.write("selected", { sparsity, feature });
        if (this.#scene) this.#stage.say(said(this.#scene, sparsity, feature));
      },
      point: (place, beside, all) => {
        this.#pointed = place && beside && all ? { place, beside, all } : null;
        this.#stage.draw();
      },
      cancel: () => this.#stage.cancel(),
      announce: (text) => this.#stage.say(text),
    };
  }

  /** What is shown large; what the state names is used only if there is such a model and feature. */
  #choice(): { level: number; pinned: number | null } {
    const { levels, features } = this.#toys;
    const { sparsity, feature } = this.model.get("selected") ?? { sparsity: levels - 1, feature: null };
    const level = Number.isInteger(sparsity) && sparsity >= 0 && sparsity < levels ? sparsity : levels - 1;
    const known = feature !== null && Number.isInteger(feature) && feature >= 0 && feature < features;
    return { level, pinned: known ? feature : null };
  }

  #draw(): void {
    const scene: Scene = {
      ...this.#frame.look(this.model.get("theme") ?? "auto"),
      spec: this.#toys.spec,
      toys: this.#toys,
      job: this.model.get("job"),
      ...this.#choice(),
      pointed: this.#pointed?.place ?? null,
    };
    this.#scene = scene;
    const { size } = scene;
    this.#drawHeader(scene);
    this.#job.update(scene.job);
    this.#strip.update(scene);
    const left = size === "wide" ? Math.min(560, scene.width * 0.46) : scene.width;
    this.#large.update({ ...scene, width: left });
    const right = size === "wide" ? scene.width - this.#large.width - BETWEEN : scene.width;
    this.#chart.update(scene, right, size === "wide" ? this.#large.height : Math.min(300, Math.max(220, right * 0.62)));
    this.#readout.update(scene);
    this.#legend.update(scene);
    this.#table.update(scene);
    this.#footer.update(scene.spec.provenance);
    const { spec, toys, level } = scene;
    const probability = pythonNumber(spec.probabilities[level]);
    this.#code.update(
      `features ${onShare(spec, level)}, the best model`,
      substitute(spec.code, { probability, model: String(toys.best(level)) }),
    );
    this.#drawTip(scene);
  }

  #drawHeader({ spec }: Scene): void {
    if (!this.#newHeader(spec)) return;
    fill(
      this.#header,
      h("div", { class: "iw-title", ...this.#stage.heading }, spec.title),
      h("div", { class: "iw-subtitle" }, pictureMeaning(spec)),
    );
  }

  #drawTip(scene: Scene): void {
    const pointed = this.#pointed;
    const { level, pinned } = scene;
    // Of the pinned feature everything is in the read-out already.
    if (!pointed || (pointed.place.feature === pinned && pointed.place.level === level)) this.#tooltip.hide();
    else this.#tooltip.show(tipContent(scene, pointed.place), pointed.beside, pointed.all, this.#frame.element);
  }
}

/** A number as Python writes it. */
function pythonNumber(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

const render = rendering<SuperpositionState>(
  { label: LABEL, subject: "These toy models" },
  (model, el) => new Superposition(model, el),
);

export default { render };
