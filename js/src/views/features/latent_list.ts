import { prepare } from "../../core/canvas";
import { changeDetector, fill, h, setAttributes } from "../../core/dom";
import { formatCount } from "../../core/format";
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
  #scene: Scene | null = null;
  #found: Ranked[] = [];
  #cursor = 0;
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
    this.#list.addEventListener("focus", () => this.#draw());
    this.#list.addEventListener("blur", () => this.#draw());
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
    if (this.#newOrder(order, names, notes)) this.#refresh();
    else this.#draw();
  }

  #refresh(): void {
    if (!this.#scene) return;
    const { order, names, notes, spec } = this.#scene;
    this.#found = search(order, this.#search.value, { names, notes }, spec.dictionary.n_latents);
    this.#cursor = Math.min(this.#cursor, Math.max(0, this.#found.length - 1));
    const searched = this.#search.value.trim() !== "";
    this.#said.hidden = this.#found.length > 0 && !searched;
    const found = this.#found.length ? formatCount(this.#found.length, noun(spec)) : `No ${noun(spec)}`;
    fill(this.#said, searched ? `${found} found.` : `${found} so far.`);
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
    const rows: HTMLElement[] = [];
    for (let at = first; at < last; at++) rows.push(this.#row(this.#scene, at));
    fill(this.#rows, ...rows);
    const focused = this.#list.matches(":focus");
    const active = focused && this.#found.length ? `${this.id}-row-${this.#cursor}` : null;
    setAttributes(this.#list, {
      "aria-activedescendant": active && this.#cursor >= first && this.#cursor < last ? active : null,
    });
    if (active) this.#rows.querySelector(`[id="${active}"]`)?.classList.add("iw-row-cursor");
  }

  #row(scene: Scene, at: number): HTMLElement {
    const { latent, score } = this.#found[at];
    const { sort, shown, pinned, order } = scene;
    const isPinned = pinned.includes(latent);
    const most = Math.abs(order[0]?.score ?? 1) || 1;
    const bar = h("span", { class: "iw-level", "aria-hidden": "true" });
    bar.style.setProperty("--_share", String(Math.min(1, Math.abs(score) / most)));
    if (sort === "difference") bar.style.setProperty("--_color", `var(--_${score < 0 ? "corrupt" : "clean"})`);
    const spark = h("canvas", { class: "iw-spark", "aria-hidden": "true" });
    this.#drawSpark(scene, spark, latent);
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
    const row = h(
      "div",
      {
        class: "iw-row",
        role: "row",
        id: `${this.id}-row-${at}`,
        "data-latent": latent,
        "aria-rowindex": at + 1,
        "aria-selected": String(latent === shown),
      },
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
    row.style.top = `${at * ROW}px`;
    return row;
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
