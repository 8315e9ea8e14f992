import { prepare } from "../../core/canvas";
import { changeDetector, fill, h, setAttributes } from "../../core/dom";
import { formatCount } from "../../core/format";
import { isolated } from "../../core/labels";
import { Segmented } from "../../core/segmented";
import { drawBars } from "../../core/token_strip";
import { type Ranked, type Sort, search } from "./ranking";
import { type Actions, type Scene, shadingOf } from "./scene";
import { nameCell } from "./token_panel";
import { formatScore, nameOf, noun } from "./words";

const ROW = 30;
const AHEAD = 4;
const SPARK = { width: 72, height: 16 };

const SORTS: Record<Sort, { text: string; title: string }> = {
  max: { text: "max", title: "the strongest activation" },
  mean: { text: "mean", title: "the mean over all tokens" },
  density: { text: "density", title: "the share of tokens on which it fires" },
  difference: { text: "difference", title: "the mean on the first text minus that on the second" },
};

type Changed = ReturnType<typeof changeDetector>;

/** All latents that fire, ranked; of any number, for only rows in sight are elements. */
export class LatentList {
  readonly element: HTMLElement;
  readonly #name = h("div", { class: "iw-panel-name" });
  readonly #search = h("input", { type: "search", class: "iw-search", autocomplete: "off", spellcheck: "false" });
  readonly #sorts: Segmented<Sort>;
  readonly #rows = h("div", { class: "iw-list-inner", role: "none" });
  readonly #list: HTMLElement;
  readonly #said = h("p", { class: "iw-quiet iw-more", role: "status" });
  readonly #newOrder = changeDetector();
  readonly #made = new Map<number, { element: HTMLElement; changed: Changed; drawn: Changed }>();
  #scene: Scene | null = null;
  #found: Ranked[] = [];
  #cursor = 0;
  #ghost: number | null = null;
  #frame = 0;

  constructor(
    private readonly id: string,
    private readonly actions: Actions,
    signal: AbortSignal,
  ) {
    this.#sorts = new Segmented("ranked by", actions.setSort, "iw-sorts");
    this.#list = h("div", { class: "iw-list", role: "grid", tabindex: 0 }, this.#rows);
    this.element = h(
      "div",
      { class: "iw-latents" },
      h("div", { class: "iw-list-head" }, this.#name, this.#sorts.element),
      this.#search,
      this.#list,
      this.#said,
    );
    this.#search.addEventListener("input", () => {
      this.#list.scrollTop = 0;
      this.#cursor = 0;
      this.#refresh();
    });
    this.#search.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "ArrowDown") this.#list.focus();
      else if (event.key === "Enter" && this.#found.length) actions.choose(this.#found[0].latent);
      else return;
      event.preventDefault();
    });
    this.#list.addEventListener("scroll", () => this.#later(), { signal, passive: true });
    this.#list.addEventListener("click", (event) => this.#click(event));
    this.#list.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("focus", () => this.#showCursor());
    this.#list.addEventListener("blur", () => this.#showCursor());
    signal.addEventListener("abort", () => cancelAnimationFrame(this.#frame));
  }

  update(scene: Scene): void {
    const { spec, order, sort, names, notes } = scene;
    const before = this.#scene;
    this.#scene = scene;
    if (before?.spec !== spec) {
      const word = noun(spec);
      fill(this.#name, `All ${word}s that fire`);
      setAttributes(this.#list, { "aria-label": `${word}s that fire, ranked: Enter shows one, p pins it` });
      setAttributes(this.#search, { "aria-label": `search ${word}s`, placeholder: "number, name or note" });
    }
    const sorts = (Object.keys(SORTS) as Sort[]).filter((value) => value !== "difference" || spec.texts.length > 1);
    this.#sorts.update(
      sorts.map((value) => ({ value, ...SORTS[value], data: { "data-sort": value } })),
      sort,
    );
    if (this.#newOrder(order, names, notes, sort)) this.#refresh();
    else this.#draw();
  }

  /** Outlines the row of a latent that is pointed at in another view, or none. */
  ghost(latent: number | null): void {
    this.#ghost = latent;
    for (const row of this.#rows.children) this.#markGhost(row);
  }

  #markGhost(row: Element): void {
    row.classList.toggle(
      "iw-row-ghost",
      this.#ghost !== null && row.getAttribute("data-latent") === String(this.#ghost),
    );
  }

  #refresh(): void {
    if (!this.#scene) return;
    const { order, names, notes, spec } = this.#scene;
    this.#found = search(order, this.#search.value, { names, notes }, spec.dictionary.n_latents);
    this.#cursor = Math.min(this.#cursor, Math.max(0, this.#found.length - 1));
    const searched = this.#search.value.trim() !== "";
    const { sort } = this.#scene;
    this.#said.hidden = this.#found.length > 0 && !searched && sort !== "difference";
    const found = this.#found.length ? formatCount(this.#found.length, noun(spec)) : `No ${noun(spec)}`;
    const [one, other] = spec.texts.map(({ name }) => isolated(name));
    if (searched) fill(this.#said, `${found} found.`);
    else if (this.#found.length === 0) fill(this.#said, `${found} fires.`);
    else fill(this.#said, `Warm: stronger on ${one}; cool: stronger on ${other}.`);
    this.#list.hidden = this.#found.length === 0;
    this.#rows.style.height = `${this.#found.length * ROW}px`;
    this.#list.style.height = `${this.#found.length * ROW}px`; // its style sheet has the limit
    setAttributes(this.#list, { "aria-rowcount": this.#found.length });
    this.#draw();
  }

  #later(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #draw(): void {
    if (!this.#scene) return;
    const { scrollTop, clientHeight } = this.#list;
    const first = Math.max(0, Math.floor(scrollTop / ROW) - AHEAD);
    const last = Math.min(this.#found.length, Math.ceil((scrollTop + (clientHeight || 300)) / ROW) + AHEAD);
    const shown: HTMLElement[] = [];
    for (let at = first; at < last; at++) shown.push(this.#rowAt(this.#scene, at));
    for (const at of this.#made.keys()) if (at < first || at >= last) this.#made.delete(at);
    // Rows that stay are not touched: one that goes away under a pressed button would take the click with it.
    for (const row of [...this.#rows.children]) if (!shown.includes(row as HTMLElement)) row.remove();
    shown.forEach((row, n) => {
      if (this.#rows.children[n] !== row) this.#rows.insertBefore(row, this.#rows.children[n] ?? null);
    });
    this.#showCursor();
  }

  #showCursor(): void {
    for (const row of this.#rows.children) row.classList.remove("iw-row-cursor");
    const id = `${this.id}-row-${this.#cursor}`;
    const row = this.#list.matches(":focus") ? this.#rows.querySelector(`[id="${id}"]`) : null;
    row?.classList.add("iw-row-cursor");
    setAttributes(this.#list, { "aria-activedescendant": row && id });
  }

  /** The row of a place in the list, filled anew if what it shows has changed. */
  #rowAt(scene: Scene, at: number): HTMLElement {
    let row = this.#made.get(at);
    if (!row) {
      row = {
        element: h("div", { class: "iw-row", role: "row", id: `${this.id}-row-${at}`, "aria-rowindex": at + 1 }),
        changed: changeDetector(),
        drawn: changeDetector(),
      };
      row.element.style.top = `${at * ROW}px`;
      this.#made.set(at, row);
    }
    const { latent, score } = this.#found[at];
    const { sort, shown, pinned, order, names, cards, data, version, palette, limit } = scene;
    const looks = [latent, score, sort, latent === shown, pinned.includes(latent), order[0]?.score, names[latent]];
    if (row.changed(...looks, cards[latent])) this.#fillRow(row.element, scene, at);
    this.#markGhost(row.element);
    const spark = row.element.querySelector("canvas");
    if (spark && row.drawn(spark, data, version, palette, limit)) this.#drawSpark(scene, spark, latent);
    return row.element;
  }

  #fillRow(row: HTMLElement, scene: Scene, at: number): void {
    const { latent, score } = this.#found[at];
    const { sort, shown, pinned, order } = scene;
    const isPinned = pinned.includes(latent);
    const most = Math.abs(order[0]?.score ?? 1) || 1;
    const bar = h("span", { class: "iw-level", "aria-hidden": "true" });
    bar.style.setProperty("--_share", String(Math.min(1, Math.abs(score) / most)));
    if (sort === "difference") bar.style.setProperty("--_color", `var(--_${score < 0 ? "corrupt" : "clean"})`);
    const spark = h("canvas", { class: "iw-spark", "aria-hidden": "true" });
    const pin = h(
      "button",
      {
        type: "button",
        class: "iw-pin",
        tabindex: -1,
        "aria-pressed": String(isPinned),
        "aria-label": `${isPinned ? "unpin" : "pin"} ${nameOf(scene, latent)}`,
        title: isPinned ? "take the row away" : "draw as a row under the text (p)",
      },
      isPinned ? "◆" : "◇",
    );
    setAttributes(row, { "data-latent": latent, "aria-selected": String(latent === shown) });
    fill(
      row,
      h("span", { role: "gridcell", class: "iw-pin-cell" }, pin),
      h("span", { role: "gridcell", class: "iw-number" }, String(latent)),
      h("span", { role: "gridcell", class: "iw-name-cell" }, nameCell(scene, latent)),
      h("span", { role: "gridcell", class: "iw-spark-cell" }, spark),
      h(
        "span",
        { role: "gridcell", class: "iw-score" },
        bar,
        h("span", { class: "iw-value" }, formatScore(score, sort)),
      ),
    );
  }

  #drawSpark(scene: Scene, canvas: HTMLCanvasElement, latent: number): void {
    const context = prepare(canvas, SPARK.width, SPARK.height);
    if (!context) return;
    const { spec, palette } = scene;
    const texts = spec.texts.length;
    const gap = texts > 1 ? 4 : 0;
    const width = (SPARK.width - gap) / texts;
    const shading = shadingOf(scene, latent);
    spec.texts.forEach((_, text) => {
      const x = text * (width + gap);
      context.fillStyle = palette.line;
      context.fillRect(x, SPARK.height - 1, width, 1);
      drawBars(context, scene.data.values(latent, text), shading, { x, y: 0, width, height: SPARK.height - 1 });
    });
  }

  #click(event: MouseEvent): void {
    const target = event.target as Element;
    const row = target.closest<HTMLElement>("[data-latent]");
    if (!row) return;
    const latent = Number(row.dataset.latent);
    this.#cursor = this.#found.findIndex((found) => found.latent === latent);
    if (target.closest(".iw-pin")) this.actions.pin(latent);
    else this.actions.choose(latent);
  }

  #key(event: KeyboardEvent): void {
    const last = this.#found.length - 1;
    if (last < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.#list.clientHeight / ROW) - 1);
    const moves: Record<string, number> = {
      ArrowDown: this.#cursor + 1,
      ArrowUp: this.#cursor - 1,
      PageDown: this.#cursor + page,
      PageUp: this.#cursor - page,
      Home: 0,
      End: last,
    };
    if (event.key in moves) {
      this.#cursor = Math.max(0, Math.min(last, moves[event.key]));
      const top = this.#cursor * ROW;
      const { scrollTop, clientHeight } = this.#list;
      if (top < scrollTop) this.#list.scrollTop = top;
      else if (top + ROW > scrollTop + clientHeight) this.#list.scrollTop = top + ROW - clientHeight;
      this.#draw();
    } else if (event.key === "Enter" || event.key === " ") this.actions.choose(this.#found[this.#cursor].latent);
    else if (event.key === "p") this.actions.pin(this.#found[this.#cursor].latent);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
