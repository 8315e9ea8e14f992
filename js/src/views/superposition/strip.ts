import { prepare } from "../../core/canvas";
import { changeDetector, fill, h, setAttributes } from "../../core/dom";
import { moveOption } from "../../core/keyboard";
import { paintModel } from "./paint";
import { type Actions, focusOf, inPlane, type Scene } from "./scene";
import { onBriefly, percent } from "./words";

const LEAST = 104;
const MOST = 178;
const GAP = 10;
/** What a tile has around its picture. */
const INSET = 9;

/** How many pictures stand side by side, in lines as even as can be, and how wide each is. */
export function tiles(width: number, count: number): { columns: number; size: number } {
  const fitting = Math.max(1, Math.min(count, Math.floor((width + GAP) / (LEAST + GAP))));
  const columns = Math.ceil(count / Math.ceil(count / fitting));
  return { columns, size: Math.min(MOST, Math.floor((width - GAP * (columns - 1)) / columns)) };
}

/** A small picture of the model of every sparsity, from dense to sparse; one of them is shown large. */
export class Strip {
  readonly element = h("div", { class: "iw-toys", role: "radiogroup", "aria-label": "sparsity" });
  #tiles: { button: HTMLButtonElement; canvas: HTMLCanvasElement; caption: HTMLElement; how: HTMLElement }[] = [];
  #newTiles = changeDetector();
  #newPicture = changeDetector();
  #scene: Scene | null = null;

  constructor(private readonly actions: Actions) {
    this.element.addEventListener("keydown", (event) => {
      const at = this.#tiles.findIndex(({ button }) => button === event.target);
      const to = at < 0 ? null : moveOption(event.key, at, this.#tiles.length);
      if (to === null) return;
      event.preventDefault();
      event.stopPropagation();
      this.#tiles[to].button.focus();
      this.#pick(to);
    });
  }

  update(scene: Scene): void {
    this.#scene = scene;
    const { toys, spec, level, palette, width } = scene;
    if (this.#newTiles(spec)) this.#build(scene);
    const { columns, size } = tiles(width, toys.levels);
    this.element.style.gridTemplateColumns = `repeat(${columns}, ${size}px)`;
    this.#tiles.forEach(({ button }, at) => {
      setAttributes(button, { "aria-checked": String(at === level), tabindex: at === level ? 0 : -1 });
    });
    // What is pointed at is marked in arrows only, which are quick to draw.
    const focus = inPlane(spec) ? focusOf(scene) : null;
    if (!this.#newPicture(toys, palette, size, focus, devicePixelRatio)) return;
    const side = size - 2 * INSET;
    this.#tiles.forEach(({ canvas, caption, how }, at) => {
      fill(caption, h("strong", {}, onBriefly(spec, at)), " ", h("span", {}, `loses ${percent(toys.lost(at))}`));
      fill(how, toys.geometry(at));
      how.title = toys.geometry(at);
      const context = prepare(canvas, side, side);
      if (context)
        paintModel(context, { toys, level: at, focus, palette }, { x: 0, y: 0, width: side, height: side }, null);
    });
  }

  #build({ spec }: Scene): void {
    this.#tiles = spec.probabilities.map((_, at) => {
      const canvas = h("canvas", { "aria-hidden": "true" });
      const caption = h("span", { class: "iw-toy-caption" });
      const how = h("span", { class: "iw-toy-how" });
      const button = h("button", { type: "button", role: "radio", class: "iw-toy" }, canvas, caption, how);
      button.dataset.level = String(at);
      button.addEventListener("click", () => this.#pick(at));
      return { button, canvas, caption, how };
    });
    fill(this.element, ...this.#tiles.map(({ button }) => button));
  }

  #pick(level: number): void {
    this.actions.select(level, this.#scene?.pinned ?? null);
  }
}
