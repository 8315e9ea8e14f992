import { prepare } from "../../core/canvas";
import { changeDetector, fill, h, setAttributes } from "../../core/dom";
import { hatch } from "../../core/hatch";
import { paintTile } from "../../core/pattern_paint";
import { fontsOf } from "../../core/picture";
import { listen } from "../../core/pointer";
import type { Head } from "./data";
import { type Actions, limitOf, type Scene, same } from "./scene";
import { spokenHead } from "./words";

const LEFT = 26;
const TOP = 18;
const GAP = 4;
const BAR = 3;
const LARGEST = 64;
const SMALLEST = 14;

/**
 * A small map of every head, layers downwards, with its copying score as a bar below it. It is one tab stop, in which arrows
 * go from head to head.
 */
export class Maps {
  readonly element: HTMLElement;
  readonly #canvas = h("canvas", { "aria-hidden": "true" });
  readonly #cell: HTMLElement;
  readonly #changed = changeDetector();
  #scene: Scene | null = null;
  #size = LARGEST;

  constructor(
    id: string,
    private readonly actions: Actions,
    signal: AbortSignal,
  ) {
    this.#cell = h("div", { role: "gridcell", id: `${id}-head`, "aria-selected": "true" });
    const row = h("div", { role: "row", class: "iw-hidden" }, this.#cell);
    this.element = h(
      "div",
      { class: "iw-maps", role: "grid", tabindex: 0, "aria-activedescendant": this.#cell.id },
      this.#canvas,
      row,
    );
    listen(
      this.element,
      {
        hover: (x, y) => this.#point(this.#at(x, y)),
        leave: () => this.actions.pointHead(null),
        click: (x, y) => {
          const head = this.#at(x, y);
          if (head) this.actions.choose(head);
        },
        drag: () => false,
        zoom: () => {},
        reset: () => {},
      },
      signal,
    );
    this.element.addEventListener("keydown", (event) => this.#key(event), { signal });
  }

  update(scene: Scene, width: number): void {
    this.#scene = scene;
    const { spec, data, shown, pointed, ghost, small, scale, palette } = scene;
    const room = (width - LEFT) / spec.heads.length - GAP;
    this.#size = Math.max(SMALLEST, Math.min(LARGEST, Math.floor(room)));
    setAttributes(this.element, {
      "aria-label": `${small === "ov" ? "OV" : "QK"} circuits of all heads: arrows choose one`,
      "aria-rowcount": spec.layers.length,
      "aria-colcount": spec.heads.length,
    });
    setAttributes(this.#cell, {
      "aria-rowindex": spec.layers.indexOf(shown.layer) + 1,
      "aria-colindex": spec.heads.indexOf(shown.head) + 1,
    });
    fill(this.#cell, spokenHead(scene, shown));
    const head = [shown.layer, shown.head, pointed?.layer, pointed?.head, ghost?.layer, ghost?.head];
    if (this.#changed(spec, data, small, scale, palette, this.#size, devicePixelRatio, ...head)) this.#draw(scene);
  }

  #draw(scene: Scene): void {
    const { spec, data, shown, pointed, ghost, small, palette } = scene;
    const size = this.#size;
    const step = size + GAP;
    const [wide, tall] = [LEFT + spec.heads.length * step, TOP + spec.layers.length * (step + BAR + 2)];
    const context = prepare(this.#canvas, wide, tall);
    Object.assign(this.element.style, { width: `${wide}px`, height: `${tall}px` });
    if (!context) return;
    // Where things are, for those who look for them from outside.
    Object.assign(this.#canvas.dataset, {
      x0: String(LEFT),
      y0: String(TOP),
      step: String(step),
      bar: String(BAR + 2),
    });
    context.font = `11px ${fontsOf(this.element).sans}`;
    context.fillStyle = palette.muted;
    context.textBaseline = "middle";
    const every = Math.max(1, Math.ceil(16 / step));
    spec.heads.forEach((head, column) => {
      context.textAlign = "center";
      if (column % every === 0) context.fillText(String(head), LEFT + column * step + size / 2, 8);
    });
    spec.layers.forEach((layer, row) => {
      const y = TOP + row * (step + BAR + 2);
      context.textAlign = "right";
      context.fillStyle = palette.muted;
      context.fillText(String(layer), LEFT - 7, y + size / 2);
      spec.heads.forEach((head, column) => {
        const one = { layer, head };
        const x = LEFT + column * step;
        const box = { x, y, width: size, height: size };
        const source = data.source(small, one);
        // So that a pixel is no smaller than a number.
        let level = 0;
        while (level < source.levels - 1 && source.tile(level).columns > size * devicePixelRatio) level++;
        const look = { palette, limit: limitOf(scene, small, one) };
        context.fillStyle = palette.line;
        if (data.isRead(one)) {
          context.fillRect(x, y, size, size);
          context.fillRect(x, y + size + 1, size, BAR);
          paintTile(context, source.tile(level), look, box);
        } else hatch(context, palette, box);
        const score = data.copying(one);
        if (!Number.isNaN(score)) {
          context.fillStyle = score < 0 ? palette.corrupt : palette.clean;
          context.fillRect(x, y + size + 1, size * Math.min(1, Math.abs(score)), BAR);
        }
        const frame = same(one, shown) ? palette.fg : same(one, pointed) ? palette.muted : null;
        const there = ghost?.layer === layer && (ghost.head === undefined || ghost.head === head);
        if (frame || there) {
          context.setLineDash(frame ? [] : [4, 3]);
          context.strokeStyle = frame ?? palette.corrupt;
          context.lineWidth = 2;
          context.strokeRect(x - 1, y - 1, size + 2, size + 2);
          context.setLineDash([]);
        }
      });
    });
  }

  #at(x: number, y: number): Head | null {
    const { spec } = this.#scene as Scene;
    const step = this.#size + GAP;
    const [column, row] = [Math.floor((x - LEFT) / step), Math.floor((y - TOP) / (step + BAR + 2))];
    const [layer, head] = [spec.layers[row], spec.heads[column]];
    return layer === undefined || head === undefined ? null : { layer, head };
  }

  #point(head: Head | null): void {
    const { spec } = this.#scene as Scene;
    if (!head) {
      this.actions.pointHead(null);
      return;
    }
    const all = this.element.getBoundingClientRect();
    const step = this.#size + GAP;
    const left = all.left + LEFT + spec.heads.indexOf(head.head) * step;
    const top = all.top + TOP + spec.layers.indexOf(head.layer) * (step + BAR + 2);
    this.actions.pointHead(head, new DOMRect(left, top, this.#size, this.#size), all);
  }

  #key(event: KeyboardEvent): void {
    const scene = this.#scene;
    if (!scene || event.altKey || event.ctrlKey || event.metaKey) return;
    const { layers, heads } = scene.spec;
    const [row, column] = [layers.indexOf(scene.shown.layer), heads.indexOf(scene.shown.head)];
    const moves: Record<string, [number, number]> = {
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      Home: [row, 0],
      End: [row, heads.length - 1],
      PageUp: [0, column],
      PageDown: [layers.length - 1, column],
    };
    const to = moves[event.key];
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    const within = (at: number, count: number) => Math.max(0, Math.min(count - 1, at));
    this.actions.choose({ layer: layers[within(to[0], layers.length)], head: heads[within(to[1], heads.length)] });
  }
}
