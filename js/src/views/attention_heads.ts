import { CodeBlock, codeCss } from "../core/code_block";
import { fill, h } from "../core/dom";
import type { Footer } from "../core/footer";
import { Frame } from "../core/frame";
import { JobStrip } from "../core/job_strip";
import { type Linked, Links } from "../core/links";
import type { Model } from "../core/model";
import { Nested, nestedCss } from "../core/nested";
import { Pattern, type PatternPlace, patternCss } from "../core/pattern";
import { fontsOf } from "../core/picture";
import { rendering } from "../core/render";
import { Stage } from "../core/stage";
import { substitute } from "../core/template";
import { stripCss } from "../core/token_strip";
import { Tooltip } from "../core/tooltip";
import type { AttentionState, AttentionToPython, HeadChoice } from "../protocol/attention_heads";
import type { Spot } from "../protocol/common";
import { Controls } from "./attention_heads/controls";
import { type Ask, HeadData } from "./attention_heads/data";
import { attentionToCsv } from "./attention_heads/export_csv";
import { attentionToPng } from "./attention_heads/export_png";
import { Header } from "./attention_heads/header";
import { Legend } from "./attention_heads/legend";
import { leastWidth, Pictures } from "./attention_heads/pictures";
import { Readout } from "./attention_heads/readout";
import { type Actions, atOf, focusOf, type Head, limitOf, type Scene } from "./attention_heads/scene";
import { Scores } from "./attention_heads/scores";
import css from "./attention_heads/style.css";
import { tableView } from "./attention_heads/table_view";
import { Text } from "./attention_heads/text";
import { tipOf } from "./attention_heads/tip";
import { nameOf, spokenCell, spokenHead } from "./attention_heads/words";

const TRAITS = ["scored", "close_up", "kept", "selected", "side", "weighted", "score", "order", "color_scale"] as const;
const NUMBERS: ReadonlySet<string> = new Set(["spec", "arrays", "close_up", "kept"]);
const GAP = 30;
const LISTS = 236;
const TALLEST = 560;
const LABEL = "attention heads";

/** One view of attention heads in one element of a page. */
class AttentionHeads {
  readonly #stage: Stage<AttentionState, AttentionToPython>;
  readonly #actions: Actions;
  readonly #frame: Frame;
  readonly #header: Header;
  readonly #job: JobStrip;
  readonly #controls: Controls;
  readonly #text: Text;
  readonly #pictures: Pictures;
  readonly #pattern: Pattern;
  readonly #readout: Readout;
  readonly #legend: Legend;
  readonly #table = tableView();
  readonly #code: CodeBlock;
  readonly #footer: Footer;
  readonly #tooltip = new Tooltip();
  readonly #links: Links;
  readonly #nested: Nested;
  readonly #body = h("div", { class: "iw-body" });
  readonly #name = h("div", { class: "iw-head-name" });
  readonly #failed = h("div", { class: "iw-note", role: "status", hidden: true });
  #data: HeadData;
  #scores: Scores;
  #version = 0;
  #spot: PatternPlace | null = null;
  #pointed: Head | null = null;
  #ghost: Scene["ghost"] = null;
  #reading = false;
  #scene: Scene | null = null;

  constructor(
    private readonly model: Model<AttentionState>,
    el: HTMLElement,
  ) {
    this.#stage = new Stage<AttentionState, AttentionToPython>(model, {
      draw: () => this.#draw(),
      changed: (name) => {
        if (NUMBERS.has(name)) {
          this.#data = this.#makeData();
          this.#version++;
        }
        if (name === "scored" || name === "spec") this.#scores = this.#makeScores();
      },
    });
    this.#data = this.#makeData();
    this.#scores = this.#makeScores();
    this.#actions = this.#makeActions();
    const { id, signal } = this.#stage;
    this.#links = new Links(model, this.#linked(), signal);
    const home = () => this.#pattern.element.focus();
    const say = (text: string) => this.#stage.say(text);
    this.#nested = new Nested(model, this.#stage.messages, { place: () => this.#place(), home, say }, signal);
    this.#header = new Header(this.#stage.heading);
    this.#job = new JobStrip({ noun: "step", done: "done" }, this.#actions, this.#stage.live);
    this.#controls = new Controls(this.#actions);
    this.#text = new Text(id, this.#actions, signal);
    this.#pictures = new Pictures(id, this.#actions, signal);
    this.#pattern = new Pattern(`${id}-pattern`, this.#actions, signal);
    this.#readout = new Readout(this.#actions);
    this.#legend = new Legend(this.#actions);
    this.#code = new CodeBlock("nnsight code that computes it", this.#actions.announce);
    const large = h("div", { class: "iw-large-and-lists" }, this.#pattern.element, this.#readout.element);
    const one = h("div", { class: "iw-one" }, this.#name, large);
    this.#body.append(this.#pictures.element, one);
    const body = h(
      "div",
      {},
      this.#controls.element,
      this.#text.element,
      this.#body,
      this.#legend.element,
      this.#nested.bar,
      this.#failed,
    );
    this.#footer = this.#makeFooter(body);
    this.#frame = new Frame(
      LABEL,
      stripCss + codeCss + patternCss + nestedCss + css,
      this.#header.element,
      this.#job.element,
      body,
      this.#table.element,
      this.#footer.element,
      this.#code.element,
      this.#nested.element,
      this.#tooltip.element,
    );
    this.#nested.listen(this.#frame.element, signal);
    this.#stage.open(el, this.#frame, TRAITS, "All heads are read.");
  }

  destroy(): void {
    this.#stage.close();
  }

  #makeData(): HeadData {
    const { model } = this;
    const ask: Ask = this.#stage.live ? (asked) => this.#stage.messages.ask(asked) : null;
    return new HeadData(
      model.get("spec"),
      model.get("arrays"),
      model.get("close_up") ?? null,
      model.get("kept") ?? [],
      ask,
      () => {
        this.#pattern.refresh();
        this.#version++;
        this.#stage.redraw();
      },
    );
  }

  #makeScores(): Scores {
    const { terms, heads } = this.model.get("spec");
    return new Scores(this.model.get("scored") ?? null, terms, heads.length);
  }

  #makeFooter(body: HTMLElement): Footer {
    const takeaways = {
      stem: () => {
        const shown = this.#scene?.shown;
        return `attention${shown ? `-${shown.layer}-${shown.head}` : ""}`;
      },
      png: () => {
        if (!this.#scene) return Promise.resolve(null);
        return attentionToPng(this.#scene, { fonts: fontsOf(this.#text.face), firstSeen: this.#text.firstSeen });
      },
      csv: () => (this.#scene ? attentionToCsv(this.#scene) : []),
      csvTitle: this.model.get("spec").whole ? "save all numbers" : "save the numbers of the large head that are here",
    };
    const code = { title: "the lines of nnsight that compute this pattern", opens: this.#code.element };
    const table = {
      title: "scores and attention as tables",
      opens: this.#table.element,
      closes: body,
    };
    return this.#stage.footer(takeaways, { code, table });
  }

  #makeActions(): Actions {
    return {
      choose: (head) => {
        this.#select({ ...head, pos: this.#scene?.held ?? null });
        if (this.#scene) this.#stage.say(`Shown: ${spokenHead(this.#scene, head)}.`);
      },
      pointHead: (head, beside, all) => {
        this.#pointed = head;
        const scene = this.#scene;
        if (!scene) return;
        this.#links.point(head && { ...head });
        this.#stage.draw();
        if (head && beside && all) this.#tooltip.show(tipOf(scene, head), beside, all, this.#frame.element);
        else this.#tooltip.hide();
      },
      point: (spot) => {
        this.#spot = spot;
        const shown = this.#scene?.shown;
        this.#links.point(spot && shown && spot.query !== null ? { ...shown, pos: spot.query } : null);
        this.#stage.redraw();
      },
      hold: (query) => {
        const scene = this.#scene;
        if (!scene?.shown || (query === null && scene.held === null)) return;
        this.#select({ ...scene.shown, pos: query });
        if (query !== null) this.#stage.say(`Held: ${scene.data.labels(scene.kind.side)[query]}, position ${query}.`);
      },
      setSide: (side) => this.#stage.write("side", side),
      setWeighted: (weighted) => this.#stage.write("weighted", weighted),
      setScore: (score) => this.#stage.write("score", score),
      setOrder: (order) => this.#stage.write("order", order),
      setScale: (scale) => this.#stage.write("color_scale", scale),
      read: () => void this.#read(),
      cancel: () => this.#stage.cancel(),
      announce: (text) => this.#stage.say(text),
    };
  }

  /** What linked views make of this one. */
  #linked(): Linked {
    return {
      point: (spot) => {
        this.#ghost = spot && { layer: spot.layer ?? null, head: spot.head ?? null, pos: spot.pos ?? null };
        this.#stage.redraw();
      },
      go: (spot) => this.#go(spot),
      words: (pos) => [
        ...new Set(this.model.get("spec").sides.flatMap(({ labels }) => (pos < labels.length ? [labels[pos]] : []))),
      ],
    };
  }

  /** Selects what was selected in another view, as far as it is here. */
  #go(spot: Spot | null): void {
    const scene = this.#scene;
    if (!spot) {
      this.#stage.write("selected", null);
      return;
    }
    const { layer, head, pos } = { ...scene?.shown, pos: scene?.held ?? undefined, ...spot };
    const { layers, heads, sides } = this.model.get("spec");
    const there = layer !== undefined && head !== undefined && layers.includes(layer) && heads.includes(head);
    const longest = Math.max(...sides.map(({ labels }) => labels.length));
    if (there && (pos === undefined || pos < longest)) this.#stage.write("selected", { layer, head, pos: pos ?? null });
  }

  #select(choice: HeadChoice): void {
    this.#stage.write("selected", choice);
    this.#links.select(spotOf(choice));
  }

  /** The place from which views open. */
  #place(): Spot | null {
    const { shown = null, held = null } = this.#scene ?? {};
    return shown && spotOf({ ...shown, pos: held });
  }

  async #read(): Promise<void> {
    const shown = this.#scene?.shown;
    if (!shown) return;
    this.#reading = true;
    this.#failed.hidden = true;
    this.#stage.redraw();
    try {
      await this.#stage.messages.request({ name: "read", ...shown });
    } catch (error) {
      this.#failed.hidden = false;
      fill(this.#failed, `Not read: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.#reading = false;
    this.#stage.redraw();
  }

  #makeScene(): Scene {
    const { model } = this;
    const spec = model.get("spec");
    const side = model.get("side") ?? "clean";
    const selected = model.get("selected") ?? null;
    const { leading } = this.#data;
    const led = leading ? { layer: leading[0], head: leading[1] } : null;
    const chosen = selected && { layer: selected.layer, head: selected.head };
    const read = chosen && this.#data.isRead(spec.layers.indexOf(chosen.layer));
    const score = model.get("score") ?? null;
    return {
      ...this.#frame.look(model.get("theme") ?? "auto"),
      spec,
      data: this.#data,
      version: this.#version,
      scores: this.#scores,
      job: model.get("job"),
      kind: {
        side: spec.sides_shown.includes(side) ? side : "clean",
        weighted: spec.weighted && (model.get("weighted") ?? false),
      },
      shown: read ? chosen : led,
      chosen: selected !== null,
      held: selected?.pos ?? null,
      spot: this.#spot,
      pointed: this.#pointed,
      ghost: this.#ghost,
      score: this.#scores.terms.some(({ name }) => name === score) ? score : null,
      order: model.get("order") ?? "layer",
      scale: model.get("color_scale") ?? "shared",
      live: this.#stage.live,
      reading: this.#reading,
    };
  }

  #draw(): void {
    const scene = this.#makeScene();
    this.#scene = scene;
    const { width, size, spec } = scene;
    // Beside one another only where the pictures have room there.
    const wide = size === "wide" && leastWidth(scene) <= (width - GAP) * 0.4;
    const left = wide ? Math.min(620, Math.floor((width - GAP) * 0.4)) : width;
    const right = wide ? width - left - GAP : width;
    const lists = size === "narrow" ? 0 : LISTS;
    this.#body.style.gridTemplateColumns = wide ? `minmax(0, ${left}px) minmax(0, 1fr)` : "minmax(0, 1fr)";
    this.#header.update(scene);
    this.#job.update(scene.job);
    this.#controls.update(scene);
    this.#text.update(scene, width);
    this.#pictures.update(scene, left);
    this.#drawLarge(scene, Math.min(TALLEST, right - (lists ? lists + 18 : 0)));
    this.#readout.update(scene);
    this.#legend.update(scene);
    this.#nested.update();
    this.#table.update(scene);
    this.#footer.update(spec.provenance);
    this.#drawCode(scene);
  }

  #drawLarge(scene: Scene, width: number): void {
    const { shown, data, spec, scores, kind, palette, ghost } = scene;
    const source = shown && data.source(atOf(scene, shown));
    this.#pattern.element.hidden = !source;
    if (!shown || !source) {
      fill(this.#name, "No layer is read yet.");
      return;
    }
    const badges = scores.badges(spec.layers.indexOf(shown.layer), spec.heads.indexOf(shown.head));
    fill(
      this.#name,
      h("strong", {}, nameOf(shown)),
      ...badges.map(({ badge, meaning }) => h("span", { class: "iw-badge", title: meaning }, badge)),
    );
    const labels = data.labels(kind.side);
    const last = labels.length - 1;
    const within = (token: number | null) => (token !== null && token <= last ? token : null);
    const ours = ghost && (ghost.layer === null || ghost.layer === shown.layer);
    this.#pattern.update({
      source,
      labels,
      palette,
      limit: limitOf(scene, shown),
      width,
      spot: scene.spot && { query: within(scene.spot.query), key: within(scene.spot.key) },
      held: within(scene.held),
      ghost: ours && ghost.pos !== null ? { query: within(ghost.pos), key: null } : null,
      label: `pattern of ${nameOf(shown)}: arrows move, Enter holds a query, plus and minus zoom`,
      describe: (query, key) => spokenCell(scene, query, key),
    });
  }

  #drawCode(scene: Scene): void {
    const { spec, shown, kind } = scene;
    if (!shown) {
      this.#code.update("", "", "No layer is read yet.");
      return;
    }
    const { side, weighted } = kind;
    const [clean, corrupt = clean] = spec.sides;
    const read = side === "difference" ? [clean, corrupt] : [side === "corrupt" ? corrupt : clean];
    const { query } = focusOf({ ...scene, spot: null });
    const { layer, head } = shown;
    const values = {
      prompts: read.map(({ name, ids }) => `${name} = ${ids}`).join("\n"),
      shown: read
        .map(({ name }) => `pattern_of(${name})`)
        .reverse()
        .join(" - "),
      layer: String(layer),
      head: String(head),
      pos: String(query),
    };
    const what = `${weighted ? "weighted pattern" : "pattern"} of ${nameOf(shown)}`;
    const which = side === "difference" ? ", corrupt less clean" : spec.sides.length > 1 ? `, ${side} prompt` : "";
    const code = weighted ? spec.weighted_code : spec.code;
    this.#code.update(`${what}${which}, position ${query}`, substitute(code, values));
  }
}

/** A choice as a place that other views understand. */
function spotOf({ layer, head, pos }: HeadChoice): Spot {
  return pos === null ? { layer, head } : { layer, head, pos };
}

const render = rendering<AttentionState>(
  { label: LABEL, subject: "These heads" },
  (model, el) => new AttentionHeads(model, el),
);

export default { render };
