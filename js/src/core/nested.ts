import type { OpenRequest, Spot, ToPython, ViewState, WireOpened, WireWay } from "../protocol/common";
import { changeDetector, fill, h, setAttributes } from "./dom";
import { type Model, observe, type RenderProps } from "./model";
import { loadModule } from "./module";
import css from "./nested.css";

export const nestedCss = css;

/** What the view is to do for those that open from it. */
export interface Host {
  /** The place that is meant: where the keyboard is, else what is selected. */
  place(): Spot | null;
  /** Takes the focus back to where that place is. */
  home(): void;
  /** Says something to those who listen instead of look. */
  say(text: string): void;
}

interface Line {
  readonly live: boolean;
  send(message: ToPython): void;
  request(question: Omit<OpenRequest, "kind" | "id">): Promise<string>;
}

/** Asks the views around one, from the inside out, to take the focus: the one that is `levels` up does. */
const UP = "iw-up";
const NOT_HERE = "not computed in this page";

/** Views that were opened from places of a view, below it, and how to open them. */
export class Nested {
  /** The ways on from the place that is meant, for the view to put where that place is told of. */
  readonly bar = h("div", { class: "iw-ways", role: "group", "aria-label": "open from here" });
  /** The views that are open. */
  readonly element = h("div", {});
  #alert = h("span", { role: "alert" });
  #children = new Map<string, Child>();
  #asked: string | null = null;
  #awaited: string | null = null;
  #newBar = changeDetector();

  constructor(
    private readonly model: Model<ViewState>,
    private readonly line: Line,
    private readonly host: Host,
    signal: AbortSignal,
  ) {
    const unobserve = observe(model, ["ways", "no_ways", "opened"], () => this.update());
    this.element.addEventListener(UP, (event) => this.#up(event as CustomEvent<{ levels: number }>), { signal });
    signal.addEventListener("abort", () => {
      unobserve();
      for (const child of this.#children.values()) child.destroy();
    });
  }

  /** Takes the keys of ways that are typed anywhere in a view, but not in one that was opened from it. */
  listen(root: HTMLElement, signal: AbortSignal): void {
    const onKey = (event: KeyboardEvent) => {
      const path = event.composedPath();
      const [target] = path;
      const typing = target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable]");
      if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || typing) return;
      if (path.includes(this.element)) return;
      const place = this.host.place();
      const way = place && this.#waysOn(place).find(({ key }) => key === event.key);
      if (!way) return;
      event.preventDefault();
      event.stopPropagation();
      void this.open(way, place);
    };
    root.addEventListener("keydown", onKey, { signal });
  }

  update(): void {
    this.#drawBar();
    const opened = this.model.get("opened") ?? [];
    for (const [id, child] of this.#children) {
      if (opened.some(({ model }) => model === id)) continue;
      const held = child.hasFocus;
      child.destroy();
      this.#children.delete(id);
      if (held) this.host.home();
    }
    for (const one of opened) {
      this.#children.get(one.model)?.update(one);
      if (this.#children.has(one.model)) continue;
      const child = new Child(one, this.model, () => this.#close(one.model));
      this.#children.set(one.model, child);
      this.element.append(child.element);
      if (this.#awaited === one.model) void child.enter();
    }
  }

  /** Opens a view of a place, or goes to the one that is open. */
  async open(way: WireWay, place: Spot): Promise<void> {
    const child = this.#childOf(way, place);
    if (child) {
      child.element.hidden = false;
      this.#drawBar();
      await child.enter();
    } else if (!this.line.live) this.host.say(`${way.name}: ${NOT_HERE}.`);
    else if (this.#asked === null) {
      this.#asked = way.name;
      fill(this.#alert);
      this.#drawBar();
      this.host.say(`Opening ${way.name}.`);
      try {
        this.#awaited = await this.line.request({ name: "open", way: way.name, place });
        await this.#children.get(this.#awaited)?.enter();
      } catch (error) {
        fill(this.#alert, `${way.name} could not be opened. ${error instanceof Error ? error.message : error}`);
      } finally {
        this.#asked = null;
        this.#drawBar();
      }
    }
  }

  #close(id: string): void {
    if (this.line.live) this.line.send({ kind: "close", model: id });
    else {
      const child = this.#children.get(id);
      if (child) child.element.hidden = true;
      this.#drawBar();
    }
    this.host.home();
  }

  #up(event: CustomEvent<{ levels: number }>): void {
    event.detail.levels--;
    if (event.detail.levels > 0) return;
    event.stopPropagation();
    this.host.home();
  }

  #waysOn(place: Spot): WireWay[] {
    const fits = ({ needs, sites }: WireWay) =>
      needs.every((key) => place[key as keyof Spot] !== undefined) &&
      (sites.length === 0 || place.site === undefined || sites.includes(place.site));
    return (this.model.get("ways") ?? []).filter(fits);
  }

  #childOf(way: WireWay, place: Spot): Child | undefined {
    const same = ({ way: name, place: from }: WireOpened) =>
      name === way.name && way.apart.every((key) => from[key as keyof Spot] === place[key as keyof Spot]);
    const one = (this.model.get("opened") ?? []).find(same);
    return one && this.#children.get(one.model);
  }

  #drawBar(): void {
    const place = this.host.place();
    const ways = place ? this.#waysOn(place) : [];
    const why = place && !(this.model.get("ways") ?? []).length ? (this.model.get("no_ways") ?? "") : "";
    const states = ways.map((way) => {
      const child = this.#childOf(way, place as Spot);
      if (child) return child.element.hidden ? "closed" : "open";
      return this.line.live ? "new" : "absent";
    });
    if (!this.#newBar(JSON.stringify([place, ways, states, why]), this.#asked)) return;
    const buttons = ways.map((way, n) => this.#button(way, states[n], place as Spot));
    const focused = this.bar.contains((this.bar.getRootNode() as Document | ShadowRoot).activeElement);
    fill(this.bar, ...(buttons.length ? ["open", ...buttons] : why ? [this.#closed(why)] : []), this.#alert);
    if (focused) this.bar.querySelector("button")?.focus();
    this.bar.hidden = !buttons.length && !why;
  }

  #button(way: WireWay, state: string, place: Spot): HTMLButtonElement {
    const absent = state === "absent";
    const button = h(
      "button",
      {
        type: "button",
        "data-way": way.name,
        title: absent ? `${way.meaning}: ${NOT_HERE}` : `${way.meaning} (${way.key})`,
        "aria-keyshortcuts": way.key,
        "aria-expanded": String(state === "open"),
        "aria-disabled": absent || this.#asked === way.name ? "true" : null,
      },
      this.#asked === way.name ? `${way.name} …` : way.name,
      absent ? null : h("kbd", { "aria-hidden": "true" }, way.key),
    );
    button.addEventListener("click", () => void this.open(way, place));
    return button;
  }

  /** Stands where ways would: it says why there are none. */
  #closed(why: string): HTMLElement {
    const button = h("button", { type: "button", "aria-disabled": "true", title: why }, "open …");
    button.addEventListener("click", () => fill(this.#alert, `Nothing opens from here: ${why}`));
    return button;
  }
}

/** A view below the one that it was opened from: the way to it, and itself. */
class Child {
  readonly element: HTMLElement;
  #crumbs = h("nav", { class: "iw-crumbs" });
  #body = h("div", { "data-lm-suppress-shortcuts": "true" });
  #changed = changeDetector();
  #stop = new AbortController();
  #mounted: Promise<void>;

  constructor(
    opened: WireOpened,
    parent: Model<ViewState>,
    private readonly close: () => void,
  ) {
    const { way } = opened;
    this.element = h("section", { class: "iw-nested", tabindex: -1, "data-way": way }, this.#crumbs, this.#body);
    this.update(opened);
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      event.preventDefault();
      event.stopPropagation();
      this.#up(1);
    });
    this.#mounted = this.#mount(opened, parent);
  }

  /** Says where it was opened from: last, where the same view was asked for from several places. */
  update({ trail }: WireOpened): void {
    if (!this.#changed(JSON.stringify(trail))) return;
    const name = `${trail.at(-1)} of ${trail.at(-2)}`;
    const button = h(
      "button",
      { type: "button", class: "iw-close", "aria-label": `close ${name}`, title: "close" },
      "×",
    );
    button.addEventListener("click", this.close);
    setAttributes(this.element, { "aria-label": name });
    setAttributes(this.#crumbs, { "aria-label": `the way to ${name}` });
    fill(this.#crumbs, this.#trail(trail), button);
  }

  get hasFocus(): boolean {
    return this.element.contains((this.element.getRootNode() as Document | ShadowRoot).activeElement);
  }

  destroy(): void {
    this.#stop.abort();
    this.element.remove();
  }

  /** Takes the focus to the view's first part that has keys, else to the view. */
  async enter(): Promise<void> {
    await this.#mounted;
    const first = this.#body.shadowRoot?.querySelector<HTMLElement>('[tabindex="0"]');
    (first ?? this.element).focus({ preventScroll: true });
    this.element.scrollIntoView({ block: "nearest" });
  }

  /** Each view on the way leads back to itself: names of views and of places in them come in turns. */
  #trail(trail: readonly string[]): HTMLElement {
    const items = trail.map((words, n) => {
      if (n === trail.length - 1) return h("li", { "aria-current": "location" }, words);
      if (n % 2) return h("li", {}, words);
      const back = h("button", { type: "button", class: "iw-link", title: `back to ${words} (Escape)` }, words);
      back.addEventListener("click", () => this.#up((trail.length - 1 - n) / 2));
      return h("li", {}, back);
    });
    return h("ol", {}, ...items);
  }

  #up(levels: number): void {
    this.element.dispatchEvent(new CustomEvent(UP, { bubbles: true, composed: true, detail: { levels } }));
  }

  /** Draws the view in a tree of its own, which no style sheet around it reaches. */
  async #mount({ model: id }: WireOpened, parent: Model<ViewState>): Promise<void> {
    const root = this.#body.attachShadow({ mode: "open" });
    const el = h("div", {});
    root.append(el);
    try {
      if (!parent.widget_manager) throw new Error("this notebook does not let views find each other");
      const model = await parent.widget_manager.get_model(id);
      const view = (await loadModule(model.get("_esm"))) as {
        default: { render(props: RenderProps<object>): unknown };
      };
      if (this.#stop.signal.aborted) return;
      view.default.render({ model, el, signal: this.#stop.signal });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      fill(this.#body);
      this.element.append(
        h(
          "p",
          { class: "iw-unmounted", role: "alert" },
          `It cannot be shown here: ${why}. Show it in a cell of its own.`,
        ),
      );
    }
  }
}
