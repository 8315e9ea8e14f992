import { CodeBlock, codeCss } from "../core/code_block";
import { h } from "../core/dom";
import type { Footer } from "../core/footer";
import { Frame } from "../core/frame";
import { JobStrip } from "../core/job_strip";
import { Links } from "../core/links";
import type { Model } from "../core/model";
import { fontsOf } from "../core/picture";
import { rendering } from "../core/render";
import { Stage } from "../core/stage";
import { substitute } from "../core/template";
import { stripCss } from "../core/token_strip";
import type { Spot } from "../protocol/common";
import type { FeatureState, FeatureToPython, TokensMessage } from "../protocol/features";
import { Card } from "./features/card";
import { FeatureData } from "./features/data";
import { featuresToCsv } from "./features/export_csv";
import { featuresToPng, type Look } from "./features/export_png";
import { Header } from "./features/header";
import { LatentList } from "./features/latent_list";
import { Legend } from "./features/legend";
import { leading, type Ranked, ranked, type Sort } from "./features/ranking";
import type { Actions, Asked, Scene } from "./features/scene";
import { Strips } from "./features/strips";
import css from "./features/style.css";
import { tableView } from "./features/table_view";
import { TokenPanel } from "./features/token_panel";
import { canComplete, nameOf, noun, spoken } from "./features/words";

const TRAITS = ["cards", "dial", "selected", "pinned", "sort", "color_limit", "names", "notes"] as const;
const MOST_PINNED = 12;
const SIDE = 372;
const GAP = 28;

/** One view of features on text in one element of a page. */
class Features {
  readonly #stage: Stage<FeatureState, FeatureToPython, TokensMessage>;
  readonly #actions: Actions;
  readonly #frame: Frame;
  readonly #header: Header;
  readonly #job: JobStrip;
  readonly #strips: Strips;
  readonly #legend: Legend;
  readonly #token: TokenPanel;
  readonly #list: LatentList;
  readonly #card: Card;
  readonly #table = tableView();
  readonly #code: CodeBlock;
  readonly #footer: Footer;
  readonly #links: Links;
  readonly #asked = new Map<number, Asked>();
  readonly #columns = new Map<number, number>();
  #data: FeatureData;
  #order: Ranked[] = [];
  #ordered: unknown[] = [];
  #version = 0;
  #pointed: number | null = null;
  #scene: Scene | null = null;

  constructor(
    private readonly model: Model<FeatureState>,
    el: HTMLElement,
  ) {
    this.#stage = new Stage<FeatureState, FeatureToPython, TokensMessage>(model, {
      draw: () => this.#draw(),
      changed: (name) => {
        if (name !== "arrays" && name !== "spec") return;
        this.#data = new FeatureData(model.get("spec"), model.get("arrays"));
        this.#columns.clear();
        this.#version++;
      },
      arrived: (message, buffers) => {
        this.#data.apply(message, buffers);
        this.#version++;
      },
    });
    this.#data = new FeatureData(model.get("spec"), model.get("arrays"));
    this.#actions = this.#makeActions();
    const { id, signal } = this.#stage;
    this.#header = new Header(this.#stage.heading);
    this.#job = new JobStrip({ noun: "token", done: "read" }, this.#actions, this.#stage.live);
    this.#strips = new Strips(id, this.#actions, signal);
    this.#legend = new Legend(this.#actions);
    this.#token = new TokenPanel(this.#actions);
    this.#list = new LatentList(id, this.#actions, signal);
    this.#card = new Card(this.#actions, signal);
    this.#code = new CodeBlock("nnsight code that reads it", this.#actions.announce);
    const main = h("div", { class: "iw-main" }, this.#strips.element, this.#legend.element);
    const side = h("div", { class: "iw-side-panel" }, this.#token.element, this.#list.element);
    const body = h("div", { class: "iw-body" }, main, side, this.#card.element);
    const frame = [
      "features on text",
      stripCss + codeCss + css,
      this.#header.element,
      this.#job.element,
      body,
    ] as const;
    this.#footer = this.#makeFooter(body);
    this.#frame = new Frame(...frame, this.#table.element, this.#footer.element, this.#code.element);
    const linked = {
      point: (spot: Spot | null) => this.#mark(spot),
      go: (spot: Spot | null) => this.#go(spot),
      words: (pos: number) => (this.#hasPositions ? model.get("spec").texts[0].labels.slice(pos, pos + 1) : []),
    };
    this.#links = new Links(model, linked, signal);
    this.#stage.open(el, this.#frame, TRAITS, "The text is read.");
  }

  destroy(): void {
    this.#stage.close();
  }

  #makeFooter(body: HTMLElement): Footer {
    const takeaways = {
      stem: () => `features-${this.model.get("spec").dictionary.name}`.replace(/[^\w-]+/g, "-"),
      png: () => (this.#scene ? featuresToPng(this.#scene, this.#look()) : Promise.resolve(null)),
      csv: () => (this.#scene ? featuresToCsv(this.#scene) : []),
      csvTitle: "save every activation that is here",
    };
    const table = { title: "latents and tokens as tables", opens: this.#table.element, closes: body };
    const code = { title: "the lines of nnsight that read what is shown", opens: this.#code.element };
    return this.#stage.footer(takeaways, { code, table });
  }

  #makeActions(): Actions {
    const held = () => this.#scene?.held ?? null;
    return {
      choose: (latent) => {
        this.#select(latent, held());
        if (this.#scene) this.#stage.say(`Shown: ${nameOf(this.#scene, latent)}.`);
      },
      hold: (token) => {
        const shown = this.#scene?.shown ?? null;
        if (shown === null || (token === null && held() === null)) return;
        this.#select(shown, token);
        if (token !== null && this.#scene) this.#stage.say(`Held: ${spoken(this.#scene, token)}.`);
      },
      point: (token) => {
        this.#pointed = token;
        const shown = this.#scene?.shown ?? null;
        this.#links.point(token === null || shown === null ? null : this.#spot(shown, token));
        if (this.#scene) this.#token.show(this.#scene, this.#pointed ?? this.#scene.held);
      },
      step: (direction) => this.#step(direction),
      pin: (latent) => {
        const pinned = this.model.get("pinned");
        if (pinned.includes(latent))
          this.#stage.write(
            "pinned",
            pinned.filter((other) => other !== latent),
          );
        else if (pinned.length < MOST_PINNED) this.#stage.write("pinned", [...pinned, latent]);
        else this.#stage.say(`At most ${MOST_PINNED} can be pinned at once.`);
      },
      setSort: (sort) => this.#stage.write("sort", sort),
      setLimit: (limit) => this.#stage.write("color_limit", limit),
      rename: (latent, name) => this.#annotate("names", latent, name.trim().replace(/\s+/g, " ")),
      write: (latent, note) => this.#annotate("notes", latent, note),
      ask: (latent) => void this.#ask(latent),
      redraw: () => this.#stage.redraw(),
      turn: (turn) => this.#stage.messages.request({ name: "dial", ...turn }),
      cancel: () => this.#stage.cancel(),
      announce: (text) => this.#stage.say(text),
    };
  }

  #select(latent: number, token: number | null): void {
    this.#stage.write("selected", { latent, token });
    this.#links.select(this.#spot(latent, token));
  }

  /** Whether a token is at the position of its number, as it is where there is one text. */
  get #hasPositions(): boolean {
    const { texts } = this.model.get("spec");
    return texts.length === 1 && texts[0].starts.length === 1;
  }

  /** A latent at a token in words that other views share. */
  #spot(latent: number, token: number | null): Spot {
    return token !== null && this.#hasPositions ? { latent, pos: token } : { latent };
  }

  /** Marks where the reader is in another view. */
  #mark(spot: Spot | null): void {
    this.#strips.ghost(this.#hasPositions ? (spot?.pos ?? null) : null);
    this.#list.ghost(spot?.latent ?? null);
  }

  /** Selects what was selected in another view, as far as it is here. */
  #go(spot: Spot | null): void {
    const { shown = null, held = null, data, spec } = this.#scene ?? {};
    if (!spot) {
      this.#stage.write("selected", null);
      return;
    }
    const latent = spot.latent ?? shown;
    const pos = this.#hasPositions ? spot.pos : undefined;
    if (latent === null || !data || !spec || latent >= spec.dictionary.n_latents) return;
    if (pos === undefined && spot.latent === undefined) return;
    if (pos === undefined || pos < data.count) this.#stage.write("selected", { latent, token: pos ?? held });
  }

  #annotate(trait: "names" | "notes", latent: number, text: string): void {
    const texts = this.model.get(trait);
    if ((texts[latent] ?? "") === text) return;
    const { [latent]: _before, ...others } = texts;
    this.#stage.write(trait, text.trim() ? { ...others, [latent]: text } : others);
  }

  #step(direction: 1 | -1): void {
    const scene = this.#scene;
    if (!scene || scene.shown === null) return;
    const { tokens } = scene.data.column(scene.shown);
    if (tokens.length === 0) return;
    const from = scene.held ?? (direction > 0 ? -1 : scene.data.count);
    const order = direction > 0 ? Array.from(tokens) : Array.from(tokens).reverse();
    const next = order.find((token) => (token - from) * direction > 0) ?? order[0];
    this.#actions.hold(next);
    this.#strips.go(next);
  }

  /** Asks Python what else is known of a latent; the card then comes with the state. */
  async #ask(latent: number): Promise<void> {
    if (this.#asked.get(latent) === "waiting" || !this.#stage.live) return;
    this.#asked.set(latent, "waiting");
    this.#stage.redraw();
    try {
      await this.#stage.messages.request({ name: "card", latent });
      this.#asked.delete(latent);
    } catch (error) {
      this.#asked.set(latent, { error: error instanceof Error ? error.message : String(error) });
    }
    this.#stage.redraw();
  }

  /** Asks for all tokens of what is looked at, where only some are here; once for each state of the numbers. */
  async #askColumn(latent: number): Promise<void> {
    const fires = this.#data.fires(latent);
    if (this.#columns.get(latent) === fires) return;
    this.#columns.set(latent, fires);
    const data = this.#data;
    try {
      data.complete(latent, JSON.parse(await this.#stage.messages.request({ name: "column", latent })));
      this.#version++;
    } catch {
      this.#columns.delete(latent);
      return; // what is missing is told in the legend
    }
    this.#stage.redraw();
  }

  #rank(sort: Sort): Ranked[] {
    const basis = [this.#data, this.#version, sort];
    if (basis.some((value, n) => value !== this.#ordered[n])) {
      this.#order = ranked(this.#data, sort);
      this.#ordered = basis;
    }
    return this.#order;
  }

  #draw(): void {
    const spec = this.model.get("spec");
    const wanted = this.model.get("sort");
    const sort = wanted === "difference" && spec.texts.length < 2 ? "max" : (wanted ?? "max");
    const order = this.#rank(sort);
    const selected = this.model.get("selected") ?? null;
    const limit = this.model.get("color_limit") ?? null;
    const scene: Scene = {
      ...this.#frame.look(this.model.get("theme") ?? "auto"),
      spec,
      data: this.#data,
      version: this.#version,
      order,
      sort,
      cards: this.model.get("cards") ?? {},
      dial: this.model.get("dial") ?? null,
      names: this.model.get("names") ?? {},
      notes: this.model.get("notes") ?? {},
      job: this.model.get("job"),
      shown: selected?.latent ?? leading(this.#data, order),
      chosen: selected !== null,
      held: selected?.token ?? null,
      pinned: this.model.get("pinned") ?? [],
      limit: limit !== null && limit > 0 ? limit : null,
      live: this.#stage.live,
      asked: this.#asked,
    };
    this.#scene = scene;
    const width = scene.size === "wide" ? scene.width - SIDE - GAP : scene.width;
    this.#frame.element.style.setProperty("--_digits", String(String(spec.dictionary.n_latents - 1).length));
    this.#header.update(scene);
    this.#job.update(scene.job);
    this.#strips.update(scene, width);
    this.#legend.update(scene);
    this.#token.show(scene, this.#pointed ?? scene.held);
    this.#list.update(scene);
    this.#card.update(scene);
    this.#table.update(scene);
    this.#footer.update(spec.provenance);
    this.#drawCode(scene);
    this.#fetch(scene);
  }

  #look(): Look {
    return { fonts: fontsOf(this.#strips.element), firstSeen: this.#strips.firstSeen };
  }

  #drawCode({ spec, names, shown }: Scene): void {
    if (shown === null) this.#code.update("", "", `No ${noun(spec)} fires so far.`);
    else this.#code.update(nameOf({ spec, names }, shown), substitute(spec.code, { latent: String(shown) }));
  }

  /** Asks for what is looked at and not here. */
  #fetch({ shown, pinned, live, data, spec, cards, job, chosen }: Scene): void {
    if (!live || shown === null) return;
    for (const latent of new Set([shown, ...pinned]))
      if (canComplete(data) && !data.isWhole(latent)) void this.#askColumn(latent);
    const settled = chosen || job.state !== "running";
    if (settled && spec.answers && !cards[shown] && !this.#asked.has(shown)) void this.#ask(shown);
  }
}

const render = rendering<FeatureState>(
  { label: "features on text", subject: "These features" },
  (model, el) => new Features(model, el),
);

export default { render };
