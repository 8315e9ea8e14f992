import { prepare } from "../../core/canvas";
import { changeDetector, fill, h, setAttributes } from "../../core/dom";
import { formatCount } from "../../core/format";
import type { Actions, Scene } from "./scene";
import { nameOf, signed, spoken } from "./words";

const MOST = 24;
const BAR = { width: 130, height: 16 };
const DOTS = 60;

/** The components that count most, each with a bar, the interval of its mean and a dot for each prompt. */
export class Ranking {
  readonly element: HTMLElement;
  readonly #list: HTMLElement;
  readonly #rest = h("p", { class: "iw-quiet iw-more" });
  readonly #changed = changeDetector();
  readonly #about = h("p", { class: "iw-quiet iw-about" });
  #order: number[] = [];
  #cursor = 0;

  constructor(
    private readonly id: string,
    private readonly actions: Actions,
    signal: AbortSignal,
  ) {
    this.#list = h("div", {
      class: "iw-ranks",
      role: "listbox",
      tabindex: 0,
      "aria-label": "components with the largest contributions: Enter chooses one",
    });
    const name = h("div", { class: "iw-panel-name" }, "What counts most");
    this.element = h("div", { class: "iw-ranking" }, name, this.#about, this.#list, this.#rest);
    const at = (event: Event) => {
      const row = (event.target as Element).closest<HTMLElement>("[data-component]");
      return row ? Number(row.dataset.component) : null;
    };
    this.#list.addEventListener(
      "click",
      (event) => {
        const component = at(event);
        if (component === null) return;
        this.#cursor = this.#order.indexOf(component);
        this.#choose();
      },
      { signal },
    );
    this.#list.addEventListener("pointerover", (event) => actions.point(at(event)), { signal });
    this.#list.addEventListener("pointerleave", () => actions.point(null), { signal });
    this.#list.addEventListener("keydown", (event) => this.#key(event), { signal });
    this.#list.addEventListener("focus", () => this.#showCursor(), { signal });
    this.#list.addEventListener("blur", () => this.#showCursor(), { signal });
  }

  /** Marks a component that is pointed at, here or in the map. */
  mark(component: number | null): void {
    for (const row of this.#list.children)
      row.classList.toggle("iw-row-pointed", (row as HTMLElement).dataset.component === String(component));
  }

  update(scene: Scene): void {
    const { spec, data, prompt, target, selected, palette, values } = scene;
    if (!this.#changed(spec, data, prompt, target, selected, palette, values)) return;
    const all = Array.from(values.keys()).filter((at) => Math.abs(values[at]) > 0);
    all.sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]));
    this.#order = all.slice(0, MOST);
    const many = prompt === null && data.done.length > 1;
    const dots = data.done.length <= DOTS;
    fill(this.#about, many ? `mean, 95% interval${dots ? " and a dot for each prompt" : ""}, in logits` : "in logits");
    const reach = many
      ? Math.max(...this.#order.map((at) => extreme(scene, at)), 1e-9)
      : Math.max(...this.#order.map((at) => Math.abs(values[at])), 1e-9);
    const rows = this.#order.map((component, n) => {
      const canvas = h("canvas", { "aria-hidden": "true" });
      const row = h(
        "div",
        {
          class: "iw-rank",
          role: "option",
          id: `${this.id}-rank-${n}`,
          "data-component": component,
          "aria-selected": String(component === selected),
          "aria-label": spoken(scene, component),
        },
        h("span", { class: "iw-name" }, nameOf(scene, component)),
        canvas,
        h("span", { class: "iw-value" }, signed(values[component])),
      );
      drawBar(canvas, scene, component, reach, many);
      return row;
    });
    fill(this.#list, ...rows);
    this.#cursor = Math.max(0, Math.min(this.#cursor, rows.length - 1));
    const others = values.length - this.#order.length;
    const left = all.slice(MOST).reduce((sum, at) => sum + values[at], 0);
    this.#rest.hidden = others <= 0 || all.length === 0;
    fill(this.#rest, `${formatCount(others, "other")} together ${signed(left)}; all are in the table.`);
    this.#showCursor();
  }

  #choose(): void {
    const component = this.#order[this.#cursor];
    if (component === undefined) return;
    const row = this.#list.children[this.#cursor];
    this.actions.choose(row?.getAttribute("aria-selected") === "true" ? null : component);
  }

  #showCursor(): void {
    const focused = this.#list.matches(":focus");
    [...this.#list.children].forEach((row, at) => {
      row.classList.toggle("iw-row-cursor", focused && at === this.#cursor);
    });
    const row = this.#list.children[this.#cursor];
    setAttributes(this.#list, { "aria-activedescendant": focused && row ? row.id : null });
    if (focused) row?.scrollIntoView?.({ block: "nearest" });
  }

  #key(event: KeyboardEvent): void {
    const last = this.#order.length - 1;
    if (last < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const moves: Record<string, number> = {
      ArrowDown: this.#cursor + 1,
      ArrowUp: this.#cursor - 1,
      Home: 0,
      End: last,
    };
    if (event.key in moves) {
      this.#cursor = Math.max(0, Math.min(last, moves[event.key]));
      this.#showCursor();
      this.actions.point(this.#order[this.#cursor]);
    } else if (event.key === "Enter" || event.key === " ") this.#choose();
    else if (event.key === "Escape") this.actions.choose(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** How far a component's bar, interval and dots reach. */
function extreme({ data, target }: Scene, component: number): number {
  const { mean, half, each } = data.spread(target, component);
  const dots = each.length <= DOTS ? each.map(Math.abs) : [];
  return Math.max(Math.abs(mean) + (Number.isNaN(half) ? 0 : Math.min(half, 3 * Math.abs(mean))), ...dots);
}

function drawBar(canvas: HTMLCanvasElement, scene: Scene, component: number, reach: number, many: boolean): void {
  const context = prepare(canvas, BAR.width, BAR.height);
  if (!context) return;
  const { palette, values, data, target } = scene;
  const middle = BAR.width / 2;
  const x = (value: number) => middle + Math.max(-1, Math.min(1, value / reach)) * (middle - 4);
  const value = values[component];
  context.fillStyle = palette.line;
  context.fillRect(middle, 0, 1, BAR.height);
  const { css } = palette.scale;
  context.fillStyle = value < 0 ? css[0] : css[css.length - 1];
  context.globalAlpha = many ? 0.5 : 1;
  context.fillRect(Math.min(middle, x(value)), 4, Math.max(1, Math.abs(x(value) - middle)), BAR.height - 8);
  context.globalAlpha = 1;
  if (!many) return;
  const { mean, half, each } = data.spread(target, component);
  if (each.length <= DOTS) {
    context.fillStyle = palette.fg;
    context.globalAlpha = 0.55;
    for (const one of each) {
      context.beginPath();
      context.arc(x(one), BAR.height / 2, 1.6, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
  }
  if (Number.isNaN(half)) return;
  context.strokeStyle = palette.fg;
  context.lineWidth = 1.2;
  context.beginPath();
  context.moveTo(x(mean - half), BAR.height / 2);
  context.lineTo(x(mean + half), BAR.height / 2);
  for (const end of [mean - half, mean + half]) {
    context.moveTo(x(end), 3);
    context.lineTo(x(end), BAR.height - 3);
  }
  context.stroke();
}
