import { CodeBlock, codeCss } from "../core/code_block";
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
import { stripCss } from "../core/token_strip";
import type { AttributionState, AttributionToPython } from "../protocol/attribution";
import type { Spot } from "../protocol/common";
import { Card, partKey } from "./attribution/card";
import { AttributionData } from "./attribution/data";
import { attributionToCsv } from "./attribution/export_csv";
import { attributionToPng } from "./attribution/export_png";
import { Header } from "./attribution/header";
import { Legend } from "./attribution/legend";
import { Plot, strongest } from "./attribution/plot";
import { Ranking } from "./attribution/ranking";
import { type Actions, type Asked, limitOf, type Scene } from "./attribution/scene";
import css from "./attribution/style.css";
import { tableView } from "./attribution/table_view";
import { TextStrip } from "./attribution/text_strip";
import { codeOf, nameOf, spoken } from "./attribution/words";

const TRAITS = ["sources", "neuron_parts", "selected", "prompt", "target", "color_limit"] as const;
const SIDE = 340;
const GAP = 30;

/** One view of an attribution in one element of a page. */
class Attribution {
  readonly #stage: Stage<AttributionState, AttributionToPython>;
  readonly #actions: Actions;
  readonly #frame: Frame;
  readonly #header: Header;
  readonly #job: JobStrip;
  readonly #text: TextStrip;
  readonly #plot: Plot;
  readonly #legend: Legend;
  readonly #ranking: Ranking;
  readonly #card: Card;
  readonly #table = tableView();
  readonly #code: CodeBlock;
  readonly #footer: Footer;
  readonly #links: Links;
  readonly #nested: Nested;
  readonly #asked = new Map<string, Asked>();
  #data: AttributionData;
  #pointed: Spot | null = null;
  #scene: Scene | null = null;

  constructor(
    private readonly model: Model<AttributionState>,
    el: HTMLElement,
  ) {
    this.#stage = new Stage<AttributionState, AttributionToPython>(model, {
      draw: () => this.#draw(),
      changed: (name) => {
        if (name === "arrays" || name === "spec")
          this.#data = new AttributionData(model.get("spec"), model.get("arrays"));
      },
    });
    const { id, signal } = this.#stage;
    this.#data = new AttributionData(model.get("spec"), model.get("arrays"));
    this.#actions = this.#makeActions();
    this.#header = new Header(this.#stage.heading, this.#actions);
    this.#job = new JobStrip({ noun: "prompt", done: "taken apart" }, this.#actions, this.#stage.live);
    this.#text = new TextStrip(id, this.#actions, (position) => this.#pointAt(position), signal);
    this.#plot = new Plot(id, this.#actions, signal);
    this.#legend = new Legend(this.#actions);
    this.#ranking = new Ranking(id, this.#actions, signal);
    this.#card = new Card(this.#actions);
    this.#code = new CodeBlock("nnsight code that computes it", this.#actions.announce);
    const main = h("div", { class: "iw-main" }, this.#plot.element, this.#legend.element);
    const side = h("div", { class: "iw-side-panel" }, this.#ranking.element);
    const body = h("div", { class: "iw-body" }, main, side, this.#card.element);
    const say = (text: string) => this.#stage.say(text);
    const place = () => this.#place();
    this.#nested = new Nested(
      model,
      this.#stage.messages,
      { place, home: () => this.#plot.element.focus(), say },
      signal,
    );
    this.#footer = this.#makeFooter(body);
    this.#frame = new Frame(
      "direct logit attribution",
      stripCss + codeCss + nestedCss + css,
      ...[this.#header.element, this.#job.element, this.#text.element, body, this.#nested.bar, this.#table.element],
      ...[this.#footer.element, this.#code.element, this.#nested.element, this.#plot.tooltip.element],
    );
    this.#nested.listen(this.#frame.element, signal);
    const linked = {
      point: (spot: Spot | null) => this.#plot.mark(spot && this.#find(spot)),
      go: (spot: Spot | null) => this.#go(spot),
      words: (pos: number) => this.#words(pos),
    };
    this.#links = new Links(model, linked, signal);
    this.#stage.open(el, this.#frame, TRAITS, "All prompts are taken apart.");
  }

  destroy(): void {
    this.#stage.close();
  }

  #makeFooter(body: HTMLElement): Footer {
    const takeaways = {
      stem: () => "attribution",
      png: () => (this.#scene ? attributionToPng(this.#scene, this.#look()) : Promise.resolve(null)),
      csv: () => (this.#scene ? attributionToCsv(this.#scene) : []),
      csvTitle: "save every contribution",
    };
    const table = { title: "contributions as tables", opens: this.#table.element, closes: body };
    const code = {
      title: "the lines of nnsight that compute the chosen one",
      opens: this.#code.element,
    };
    return this.#stage.footer(takeaways, { code, table });
  }

  #look() {
    const { content: strip, firstSeen, element } = this.#text;
    return { fonts: fontsOf(element), strip, firstSeen };
  }

  #makeActions(): Actions {
    return {
      choose: (component) => {
        if (component === null && this.#scene?.selected === null) return;
        this.#select(component);
        this.#links.select(component === null ? null : this.#spot(component));
        if (component !== null && this.#scene) this.#stage.say(`Chosen: ${spoken(this.#scene, component)}.`);
      },
      point: (component) => {
        this.#ranking.mark(component);
        this.#plot.mark(component);
        this.#tell(component === null ? null : this.#spot(component));
      },
      setPrompt: (prompt) => this.#stage.write("prompt", prompt),
      setTarget: (target) => this.#stage.write("target", target),
      setLimit: (limit) => this.#stage.write("color_limit", limit),
      retry: (component) => this.#ask(component),
      cancel: () => this.#stage.cancel(),
      announce: (text) => this.#stage.say(text),
    };
  }

  #select(component: number | null): void {
    const part = component === null ? null : this.#data.components[component];
    this.#stage.write("selected", part && { site: part.site, layer: part.layer, head: part.head });
  }

  #tell(spot: Spot | null): void {
    this.#pointed = spot;
    this.#links.point(spot);
  }

  #pointAt(position: number | null): void {
    this.#tell(position === null ? null : { ...this.#pointed, pos: position });
  }

  /** A component's place in words that other views share. */
  #spot(component: number): Spot {
    const { site, layer, head } = this.#data.components[component];
    return { site, ...(layer === null ? {} : { layer }), ...(head === null ? {} : { head }) };
  }

  /** The place that views open from: the chosen component, at the token whose prediction is taken apart. */
  #place(): Spot | null {
    if (!this.#scene || this.#scene.selected === null) return null;
    const { selected, prompt, target, data } = this.#scene;
    const pos = data.position(prompt ?? 0, target);
    return { ...this.#spot(selected), pos, ...(prompt === null ? {} : { prompt }) };
  }

  /** The component at a place of another view; null where there is none. */
  #find({ site, layer, head }: Spot): number | null {
    if (layer === undefined) return null;
    if (head !== undefined) return this.#data.find({ site: "z", layer, head });
    const whole = site === "mlp_post" ? "mlp_out" : site;
    return whole === undefined ? null : this.#data.find({ site: whole, layer, head: null });
  }

  #go(spot: Spot | null): void {
    const component = spot && this.#find(spot);
    if (!spot || component !== null) this.#select(component);
  }

  #words(pos: number): string[] {
    const { spec, offsets, prompts } = this.#data;
    const prompt = this.model.get("prompt") ?? null;
    const shown = prompt === null ? Array.from({ length: prompts }, (_, at) => at) : [prompt];
    const labels = shown
      .filter((p) => pos < offsets[p + 1] - offsets[p])
      .map((p) => spec.text.labels[offsets[p] + pos]);
    return [...new Set(labels)];
  }

  #draw(): void {
    const data = this.#data;
    const prompt = this.model.get("prompt") ?? null;
    const target = Math.min(this.model.get("target") ?? 0, data.targets - 1);
    const values = data.values(prompt, target);
    const asked = this.model.get("color_limit") ?? null;
    const ownLimit = asked !== null && asked > 0 ? asked : null;
    const scene: Scene = {
      ...this.#frame.look(this.model.get("theme") ?? "auto"),
      spec: data.spec,
      data,
      values,
      sources: this.model.get("sources") ?? {},
      neurons: this.model.get("neuron_parts") ?? {},
      asked: this.#asked,
      job: this.model.get("job"),
      selected: data.find(this.model.get("selected") ?? null),
      prompt,
      target,
      limit: ownLimit ?? limitOf(values),
      ownLimit,
      live: this.#stage.live,
    };
    this.#scene = scene;
    const width = scene.size === "wide" ? scene.width - SIDE - GAP : scene.width;
    this.#header.update(scene);
    this.#job.update(scene.job);
    this.#text.update(scene, scene.width);
    this.#plot.update(scene, width);
    this.#legend.update(scene);
    this.#ranking.update(scene);
    this.#card.update(scene);
    this.#table.update(scene);
    this.#footer.update(scene.spec.provenance);
    const shown = scene.selected ?? strongest(values);
    const why = "There are no lines for this component.";
    this.#code.update(nameOf(scene, shown), codeOf(scene, shown), why);
    if (scene.selected !== null) this.#ask(scene.selected, true);
    this.#nested.update();
  }

  /** Asks Python what a component is made of, where that is not here; what it finds comes with the state. */
  #ask(component: number, once = false): void {
    const scene = this.#scene;
    const key = scene && partKey(scene, component);
    if (!scene || key === null || !scene.live || !scene.spec.opens) return;
    const { kind, layer, head } = scene.spec.components[component];
    if (layer === null || scene.sources[key] || (scene.neurons[String(layer)] && kind === "mlp")) return;
    if (this.#asked.get(key) === "waiting" || (once && this.#asked.has(key))) return;
    this.#asked.set(key, "waiting");
    this.#stage.redraw();
    const question =
      kind === "mlp" ? ({ name: "neurons", layer } as const) : ({ name: "sources", layer, head: head ?? 0 } as const);
    this.#stage.messages.request(question).then(
      () => {
        this.#asked.delete(key);
        this.#stage.redraw();
      },
      (error) => {
        this.#asked.set(key, { error: error instanceof Error ? error.message : String(error) });
        this.#stage.redraw();
      },
    );
  }
}

const render = rendering<AttributionState>(
  { label: "direct logit attribution", subject: "This attribution" },
  (model, el) => new Attribution(model, el),
);

export default { render };
