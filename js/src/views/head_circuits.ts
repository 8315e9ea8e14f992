import { CodeBlock, codeCss } from "../core/code_block";
import { fill, h } from "../core/dom";
import type { Footer } from "../core/footer";
import { formatLimit } from "../core/format";
import { Frame } from "../core/frame";
import { JobStrip } from "../core/job_strip";
import { colorsOf, scaleBar, ticksTo } from "../core/legend";
import { Links } from "../core/links";
import type { Model } from "../core/model";
import { Pattern, patternCss } from "../core/pattern";
import { fontsOf } from "../core/picture";
import { rendering } from "../core/render";
import { Segmented } from "../core/segmented";
import { Stage } from "../core/stage";
import { substitute } from "../core/template";
import { Tooltip } from "../core/tooltip";
import type { CircuitName, CircuitScale, CircuitState, CircuitToPython } from "../protocol/head_circuits";
import { CircuitData, type Head } from "./head_circuits/data";
import { circuitsToCsv } from "./head_circuits/export_csv";
import { circuitsToPng } from "./head_circuits/export_png";
import { Facts } from "./head_circuits/facts";
import { Maps } from "./head_circuits/maps";
import { Readout } from "./head_circuits/readout";
import { type Actions, attended, limitOf, type Place, type Scene, same } from "./head_circuits/scene";
import css from "./head_circuits/style.css";
import { tableView } from "./head_circuits/table_view";
import { copyingOf, meaningOf, nameOf, spokenCell, spokenHead, UNITS } from "./head_circuits/words";

const TRAITS = ["extremes", "looking", "selected", "small", "color_scale", "links"] as const;
const LABEL = "head circuits";
const GAP = 34;
const BETWEEN = 26;
const TALLEST = 460;

/** A large map with what it is, and what its colours mean. */
class LargeMap {
  readonly name = h("div", { class: "iw-map-name" });
  readonly axes = h("div", { class: "iw-quiet iw-axis-name" });
  readonly missing = h("p", { class: "iw-note", hidden: true });
  readonly ramp = h("div", { class: "iw-scale" });
  readonly pattern: Pattern;
  readonly element: HTMLElement;

  constructor(
    readonly circuit: CircuitName,
    id: string,
    actions: Actions,
    signal: AbortSignal,
  ) {
    this.pattern = new Pattern(
      `${id}-${circuit}`,
      {
        point: (spot) => actions.point(spot && { circuit, row: spot.query, column: spot.key }),
        hold: (row) => actions.hold(row),
      },
      signal,
    );
    this.element = h("div", {}, this.name, this.axes, this.missing, this.pattern.element, this.ramp);
  }

  update(scene: Scene, width: number): void {
    const { circuit } = this;
    const { data, spec, shown, palette, place, held } = scene;
    const limit = limitOf(scene, circuit, shown);
    const ov = circuit === "ov";
    fill(
      this.name,
      ov ? "OV " : "QK ",
      h("span", {}, ov ? "what attending to a token promotes" : "which tokens attend to it"),
    );
    fill(this.axes, `rows: is attended to · columns: ${ov ? "is made likelier" : "attends"}`);
    const why = data.arrays.missing[circuit];
    this.missing.hidden = !why;
    fill(this.missing, why ? `No QK circuit: ${why}` : "");
    this.pattern.element.hidden = Boolean(why);
    this.ramp.hidden = Boolean(why);
    const here = place?.circuit === circuit ? { query: place.row, key: place.column } : null;
    // What is pointed at in the other map is the same token that is attended to: the same row.
    const linked = place && !here ? { query: place.row, key: null } : null;
    this.pattern.update({
      source: data.source(circuit, shown),
      labels: spec.labels,
      palette,
      limit,
      width,
      spot: here ?? linked,
      held,
      ghost: null,
      label: `${circuit.toUpperCase()} circuit of ${nameOf(shown)}: arrows move, Enter holds a token, plus and minus zoom`,
      describe: (row, column) => spokenCell(scene, circuit, row, column),
    });
    const scale = scaleBar(colorsOf(palette, true), ticksTo(formatLimit(limit), true));
    fill(this.ramp, h("span", {}, UNITS[circuit]), scale);
  }
}

/** One view of circuits in one element of a page. */
class HeadCircuits {
  readonly #stage: Stage<CircuitState, CircuitToPython>;
  readonly #actions: Actions;
  readonly #links: Links;
  readonly #frame: Frame;
  readonly #header = h("div", { class: "iw-header" });
  readonly #job: JobStrip;
  readonly #small: Segmented<CircuitName>;
  readonly #scale: Segmented<CircuitScale>;
  readonly #maps: Maps;
  readonly #large: LargeMap[];
  readonly #facts = new Facts();
  readonly #readout: Readout;
  readonly #table = tableView();
  readonly #code: CodeBlock;
  readonly #footer: Footer;
  readonly #tooltip = new Tooltip();
  readonly #name = h("div", { class: "iw-head-name" });
  #data: CircuitData;
  #place: Place | null = null;
  #pointed: Head | null = null;
  #ghost: Scene["ghost"] = null;
  #refused: Scene["refused"] = null;
  #scene: Scene | null = null;

  constructor(
    private readonly model: Model<CircuitState>,
    el: HTMLElement,
  ) {
    this.#stage = new Stage<CircuitState, CircuitToPython>(model, {
      draw: () => this.#draw(),
      changed: (name) => {
        if (name === "spec" || name === "arrays") this.#data = new CircuitData(model.get("spec"), model.get("arrays"));
        if (name === "looking" && model.get("looking")?.job.state === "done")
          this.#stage.say("The whole vocabulary was looked through.");
      },
    });
    const { id, signal } = this.#stage;
    this.#data = new CircuitData(model.get("spec"), model.get("arrays"));
    this.#actions = this.#makeActions();
    this.#job = new JobStrip({ noun: "step", done: "done" }, this.#actions, this.#stage.live);
    this.#small = new Segmented<CircuitName>("what small maps show", this.#actions.setSmall);
    this.#scale = new Segmented<CircuitScale>("where colours end", this.#actions.setScale);
    this.#maps = new Maps(id, this.#actions, signal);
    this.#large = (["qk", "ov"] as const).map((circuit) => new LargeMap(circuit, id, this.#actions, signal));
    this.#readout = new Readout(this.#actions, this.#stage.live);
    this.#code = new CodeBlock("code that computes both circuits", this.#actions.announce);
    const controls = h("div", { class: "iw-controls" }, this.#small.element, this.#scale.element);
    const pair = h("div", { class: "iw-pair" }, ...this.#large.map(({ element }) => element));
    const one = h("div", {}, this.#name, pair, this.#readout.element);
    const scrolls = h("div", { class: "iw-scrolls" }, this.#maps.element);
    const maps = h("div", { class: "iw-maps-box" }, scrolls, barKey());
    const heads = h("div", { class: "iw-heads" }, controls, maps, this.#facts.element);
    const body = h("div", {}, h("div", { class: "iw-body" }, heads, one));
    this.#footer = this.#makeFooter(body);
    this.#frame = new Frame(
      LABEL,
      codeCss + patternCss + css,
      this.#header,
      this.#job.element,
      body,
      this.#table.element,
      this.#footer.element,
      this.#code.element,
      this.#tooltip.element,
    );
    this.#links = new Links(
      model,
      {
        point: (spot) => {
          this.#ghost = spot;
          this.#stage.redraw();
        },
        go: (spot) => this.#go(spot?.layer, spot?.head),
        words: () => [],
      },
      signal,
    );
    this.#stage.open(el, this.#frame, TRAITS, "All heads are read.");
  }

  destroy(): void {
    this.#stage.close();
  }

  #makeFooter(body: HTMLElement): Footer {
    const takeaways = {
      stem: () => `circuits-${this.#scene?.shown.layer}-${this.#scene?.shown.head}`,
      png: () => {
        const scene = this.#scene;
        if (!scene) return Promise.resolve(null);
        const there = this.#large.filter(({ circuit }) => !scene.data.arrays.missing[circuit]);
        const maps = there.map(({ name, pattern }) => ({ name: name.textContent ?? "", element: pattern.element }));
        return circuitsToPng(scene, maps, fontsOf(this.#name));
      },
      csv: () => (this.#scene ? circuitsToCsv(this.#scene) : []),
      csvTitle: "save the numbers of all heads",
    };
    const title = "the lines that compute both circuits of this head";
    const code = { title, opens: this.#code.element };
    const table = {
      title: "copying scores and largest entries as tables",
      opens: this.#table.element,
      closes: body,
    };
    return this.#stage.footer(takeaways, { code, table });
  }

  #makeActions(): Actions {
    return {
      choose: (head) => {
        this.#select({ ...head, token: this.#scene?.held ?? null });
        if (this.#scene) this.#stage.say(`Shown: ${spokenHead(this.#scene, head)}.`);
      },
      pointHead: (head, beside, all) => {
        this.#pointed = head;
        this.#links.point(head && { ...head });
        if (head && beside && all && this.#scene)
          this.#tooltip.show(tipOf(this.#scene, head), beside, all, this.#frame.element);
        else this.#tooltip.hide();
        this.#stage.redraw();
      },
      point: (place) => {
        this.#place = place;
        this.#stage.redraw();
      },
      hold: (token) => {
        const scene = this.#scene;
        if (!scene || (token === null && scene.held === null)) return;
        this.#select({ ...scene.shown, token: token === scene.held ? null : token });
        if (token !== null) this.#stage.say(`Held: ${scene.spec.labels[token]}.`);
      },
      setSmall: (circuit) => this.#stage.write("small", circuit),
      setScale: (scale) => this.#stage.write("color_scale", scale),
      look: () => void this.#look(),
      stopLook: () => this.#stage.messages.send({ kind: "cancel_vocabulary" }),
      cancel: () => this.#stage.cancel(),
      announce: (text) => this.#stage.say(text),
    };
  }

  async #look(): Promise<void> {
    const head = this.#scene?.shown;
    if (!head) return;
    this.#refused = null;
    try {
      await this.#stage.messages.request({ name: "vocabulary", ...head });
    } catch (error) {
      this.#refused = { head, why: error instanceof Error ? error.message : String(error) };
    }
    this.#stage.redraw();
  }

  #select(choice: NonNullable<CircuitState["selected"]>): void {
    this.#stage.write("selected", choice);
    this.#links.select({ layer: choice.layer, head: choice.head });
  }

  /** Goes where somebody went in a linked view, as far as that is here. */
  #go(layer: number | undefined, head: number | undefined): void {
    const { spec, shown, held } = this.#scene ?? {};
    if (!spec || !shown) return;
    const to = { layer: layer ?? shown.layer, head: head ?? shown.head };
    if (!spec.layers.includes(to.layer) || !spec.heads.includes(to.head) || same(to, shown)) return;
    this.#stage.write("selected", { ...to, token: held ?? null });
  }

  #makeScene(): Scene {
    const { model } = this;
    const selected = model.get("selected") ?? null;
    return {
      ...this.#frame.look(model.get("theme") ?? "auto"),
      spec: model.get("spec"),
      data: this.#data,
      job: model.get("job"),
      extremes: model.get("extremes") ?? [],
      shown: selected ? { layer: selected.layer, head: selected.head } : this.#data.leading,
      held: selected?.token ?? null,
      place: this.#place,
      pointed: this.#pointed,
      ghost: this.#ghost,
      small: model.get("small") ?? "ov",
      scale: model.get("color_scale") ?? "own",
      live: this.#stage.live,
      looking: model.get("looking") ?? null,
      refused: this.#refused,
    };
  }

  #draw(): void {
    const scene = this.#makeScene();
    this.#scene = scene;
    const { spec, data, shown, width, size } = scene;
    const wide = size === "wide";
    const left = wide ? Math.min(460, Math.floor((width - GAP) * 0.32)) : width;
    const right = wide ? width - left - GAP : width;
    this.#frame.element.style.setProperty("--_left", `${left}px`);
    fill(
      this.#header,
      h("div", { class: "iw-title", ...this.#stage.heading }, spec.title),
      h("div", { class: "iw-subtitle" }, meaningOf(spec)),
    );
    this.#job.update(scene.job);
    this.#small.update(
      [
        { value: "ov", text: "OV", title: "what attending to a token promotes", data: { "data-small": "ov" } },
        { value: "qk", text: "QK", title: "which tokens attend to a token", data: { "data-small": "qk" } },
      ],
      scene.small,
    );
    this.#scale.update(
      [
        { value: "own", text: "own maximum", title: "the scale of each head ends at its largest number" },
        { value: "shared", text: "one scale", title: "one scale for all heads" },
      ],
      scene.scale,
    );
    this.#maps.update(scene, left);
    const score = data.copying(shown);
    const token = attended(scene);
    fill(
      this.#name,
      h("strong", {}, nameOf(shown)),
      h("span", { class: "iw-quiet" }, Number.isNaN(score) ? "" : copyingOf(score)),
      token === null
        ? h("span", { class: "iw-quiet" }, "point at a row: a token, who attends to it, and what that promotes")
        : null,
    );
    const room = size === "narrow" ? right : Math.floor((right - BETWEEN) / 2);
    for (const map of this.#large) map.update(scene, Math.min(TALLEST, room));
    this.#facts.update(scene);
    this.#readout.update(scene);
    this.#table.update(scene);
    const lines = data.arrays.code[spec.layers.indexOf(shown.layer)] ?? "";
    const filled = substitute(lines, { ids: spec.ids, head: String(shown.head) });
    this.#code.update(`both circuits of ${nameOf(shown)}`, filled, "This layer came without code.");
    this.#footer.update(data.arrays.provenance);
  }
}

function barKey(): HTMLElement {
  return h(
    "p",
    { class: "iw-quiet iw-bar-key" },
    "Layers downwards, heads to the right. The bar below a map: how much of its OV copies (warm) or turns tokens around (cool).",
  );
}

function tipOf(scene: Scene, head: Head): Node[] {
  return [
    h("strong", {}, nameOf(head)),
    h("div", {}, scene.data.isRead(head) ? copyingOf(scene.data.copying(head)) : "not read yet"),
  ];
}

export default {
  render: rendering<CircuitState>(
    { label: LABEL, subject: "These circuits" },
    (model, el) => new HeadCircuits(model, el),
  ),
};
