import { h } from "../../core/dom";
import { listen, type Stroke } from "../../core/pointer";
import { Tooltip } from "../../core/tooltip";
import { Motion } from "./motion";
import { Buckets, lassoed, towards } from "./nearest";
import { Overlay } from "./overlay";
import { Plane } from "./plane";
import { BOTTOM, LEFT } from "./plot_axes";
import { Points } from "./points";
import type { Actions, Scene } from "./scene";
import { tipOf } from "./tip";
import { layerName, spoken } from "./words";

const TALLEST = 560;
const SHORTEST = 300;
const REACH = 16;
const STEP = 0.12;
const ZOOM = 1.35;

/** The points of one layer, with pan, zoom, lasso and a cursor. */
export class Plot {
  readonly element: HTMLElement;
  readonly #points = new Points();
  readonly #over = new Overlay();
  readonly #area: HTMLElement;
  readonly #tip = new Tooltip();
  readonly #plane = new Plane();
  readonly #motion = new Motion();
  #scene: Scene | null = null;
  #size = { width: 0, height: 0 };
  #buckets: Buckets | null = null;
  #line: [number, number][] | null = null;
  #ghosts: readonly number[] = [];
  #pointed: number | null = null;
  #scheduled = 0;

  constructor(
    id: string,
    private readonly actions: Actions,
    private readonly signal: AbortSignal,
  ) {
    this.#area = h(
      "div",
      { class: "iw-area", id, tabindex: 0, role: "application", "aria-roledescription": "scatter plot" },
      this.#points.canvas,
      this.#over.canvas,
    );
    const zoom = h(
      "div",
      { class: "iw-zoom", role: "group", "aria-label": "zoom" },
      this.#button("+", "zoom in (+)", () => this.#zoom(ZOOM)),
      this.#button("−", "zoom out (−)", () => this.#zoom(1 / ZOOM)),
      this.#button("⤢", "show all (0)", () => this.#reset()),
    );
    this.element = h("div", { class: "iw-scatter" }, this.#area, zoom, this.#tip.element);
    this.#listen();
    signal.addEventListener("abort", () => cancelAnimationFrame(this.#scheduled));
  }

  update(scene: Scene, width: number): void {
    this.#scene = scene;
    const height = Math.max(SHORTEST, Math.min(TALLEST, Math.round(width * 0.66)));
    this.#size = { width: Math.max(80, width - LEFT), height: height - BOTTOM };
    this.#area.style.height = `${height}px`;
    this.#area.dataset.tool = scene.tool;
    this.#area.setAttribute("aria-label", this.#said(scene));
    if (this.#motion.place(scene, this.#size)) this.#buckets = null;
    this.#points.update(scene);
    if (this.#pointed === null) this.#showTip(scene.cursor);
    this.#schedule();
  }

  /** Shows points that somebody points at elsewhere: outlines, and no words. */
  ghost(points: readonly number[]): void {
    if (points.length === 0 && this.#ghosts.length === 0) return;
    this.#ghosts = points;
    this.#schedule();
  }

  /** Brings a point into sight. */
  reveal(point: number): void {
    const { u, v } = this.#motion.target;
    if (point < u.length) this.#plane.reveal(u[point], v[point]);
    this.#schedule();
  }

  /** Draws what is on screen onto a picture, at a place of it, and returns how tall that is. */
  drawOn(context: CanvasRenderingContext2D, x: number, y: number): number {
    this.#paint();
    const { width, height } = this.#size;
    context.drawImage(this.#points.canvas, x + LEFT, y, width, height);
    context.drawImage(this.#over.canvas, x, y, width + LEFT, height + BOTTOM);
    return height + BOTTOM;
  }

  #button(text: string, title: string, act: () => void): HTMLButtonElement {
    const button = h("button", { type: "button", title, "aria-label": title }, text);
    button.addEventListener("click", act);
    return button;
  }

  #said({ spec, row, data, tool }: Scene): string {
    const where = row === null ? "no layer is here yet" : layerName({ spec }, row);
    const keys = "arrows go from point to point, Enter selects, plus and minus zoom, brackets change the layer";
    return `${data.count.toLocaleString("en-US")} points in ${where}; ${keys}; dragging ${tool === "move" ? "moves" : "selects"}`;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = requestAnimationFrame(() => {
      this.#scheduled = 0;
      this.#paint();
    });
  }

  #paint(): void {
    const scene = this.#scene;
    if (!scene) return;
    const spots = this.#motion.now();
    const { frame } = this.#motion;
    const at = (point: number): [number, number][] =>
      point < spots.u.length ? [this.#at(spots.u[point], spots.v[point])] : [];
    const marked = this.#pointed ?? scene.cursor;
    const marks = {
      at: marked === null ? null : (at(marked)[0] ?? null),
      ghosts: this.#ghosts.flatMap(at),
      line: this.#line,
    };
    this.#points.paint(scene, spots, frame, this.#plane, this.#size);
    this.#over.paint(scene, marks, frame, this.#plane, this.#size);
    if (this.#motion.moving) this.#schedule();
  }

  /** Where a place of the frame is on the plot. */
  #at(u: number, v: number): [number, number] {
    const { zoom, left, top } = this.#plane;
    return [(u - left) * zoom * this.#size.width, (v - top) * zoom * this.#size.height];
  }

  /** Which place of the frame is at a place of the plot. */
  #under(x: number, y: number): [number, number] {
    const { zoom, left, top } = this.#plane;
    return [left + x / (zoom * this.#size.width), top + y / (zoom * this.#size.height)];
  }

  #drawn = (point: number): boolean => {
    const scene = this.#scene;
    return scene !== null && !scene.hidden.has(scene.coloring.of[point]);
  };

  #near(x: number, y: number): number | null {
    const { u, v } = this.#motion.target;
    if (!this.#scene || this.#scene.row === null || u.length === 0) return null;
    this.#buckets ??= new Buckets(u, v);
    const [at, down] = this.#under(x - LEFT, y);
    const { zoom } = this.#plane;
    const [across, up] = [REACH / (zoom * this.#size.width), REACH / (zoom * this.#size.height)];
    return this.#buckets.nearest(at, down, across, up, this.#drawn);
  }

  #listen(): void {
    const { signal } = this;
    const area = this.#area;
    const gestures = {
      hover: (x: number, y: number) => this.#point(this.#near(x, y)),
      leave: () => this.#point(null),
      click: (x: number, y: number, event: PointerEvent) => {
        area.focus({ preventScroll: true });
        const point = this.#near(x, y);
        const selected = this.#scene?.selected ?? [];
        if (point !== null) {
          if (event.shiftKey) this.#toggle(point);
          else this.actions.select(selected.length === 1 && selected[0] === point ? [] : [point]);
          this.actions.point(point);
        } else if (!event.shiftKey && selected.length) this.actions.select([]);
      },
      drag: (dx: number, dy: number) => {
        this.#plane.panBy(dx / this.#size.width, dy / this.#size.height);
        this.#schedule();
        return true;
      },
      zoom: (factor: number, x: number, y: number) =>
        this.#zoom(factor, (x - LEFT) / this.#size.width, y / this.#size.height),
      reset: () => this.#reset(),
      draw: (x: number, y: number, event: PointerEvent) => this.#stroke(x - LEFT, y, event),
    };
    listen(area, gestures, signal);
    area.addEventListener("keydown", (event) => this.#key(event), { signal });
    area.addEventListener(
      "focusin",
      () => {
        if (this.#scene && this.#scene.cursor === null && area.matches(":focus-visible"))
          this.actions.point(this.#middle());
      },
      { signal },
    );
  }

  #stroke(x: number, y: number, event: PointerEvent): Stroke | null {
    const tool = this.#scene?.tool === "move" ? (event.shiftKey ? "lasso" : "move") : (this.#scene?.tool ?? "move");
    if (tool === "move") return null;
    const adds = event.shiftKey && this.#scene?.tool !== "move";
    return {
      to: (toX, toY) => {
        this.#point(null);
        const place: [number, number] = [toX - LEFT, toY];
        if (tool === "box") this.#line = [[x, y], [place[0], y], place, [x, place[1]]];
        else this.#line = [...(this.#line ?? [[x, y]]), place];
        this.#schedule();
      },
      end: (drawn) => {
        const line = this.#line;
        this.#line = null;
        this.#schedule();
        if (!drawn || !line || line.length < 3) return;
        const { u, v } = this.#motion.target;
        const inside = lassoed(
          u,
          v,
          line.map(([px, py]) => this.#under(px, py)),
          this.#drawn,
        );
        const before = adds ? (this.#scene?.selected ?? []) : [];
        this.actions.select([...before, ...inside]);
      },
    };
  }

  #key(event: KeyboardEvent): void {
    const scene = this.#scene;
    if (!scene || event.altKey || event.metaKey || event.ctrlKey) return;
    const direction = ({ ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] } as const)[
      event.key
    ];
    const { layers } = scene.spec;
    if (direction && event.shiftKey) {
      this.#plane.panBy(-direction[0] * STEP, -direction[1] * STEP);
      this.#schedule();
    } else if (direction) this.#walk(direction);
    else if (event.key === "+" || event.key === "=") this.#zoomKey(ZOOM);
    else if (event.key === "-" || event.key === "_") this.#zoomKey(1 / ZOOM);
    else if (event.key === "0" || event.key === "Home") this.#reset();
    else if (event.key === "[" || event.key === "PageDown") this.actions.setLayer(Math.max(0, scene.wanted - 1));
    else if (event.key === "]" || event.key === "PageUp")
      this.actions.setLayer(Math.min(layers.length - 1, scene.wanted + 1));
    else if ((event.key === "Enter" || event.key === " ") && scene.cursor !== null) {
      if (event.shiftKey || event.key === " ") this.#toggle(scene.cursor);
      else this.actions.select([scene.cursor]);
    } else if (event.key === "Escape") {
      this.actions.select([]);
      this.actions.point(null);
    } else if (event.key === "m" || event.key === "l" || event.key === "b") {
      this.actions.setTool(({ m: "move", l: "lasso", b: "box" } as const)[event.key]);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #walk(direction: readonly [number, number]): void {
    const { u, v } = this.#motion.target;
    if (!this.#scene || u.length === 0) return;
    const from = this.#scene.cursor;
    const next =
      from === null
        ? this.#middle()
        : towards(u, v, from, direction, this.#size.width / this.#size.height, this.#drawn);
    if (next === null) return;
    this.#pointed = null;
    this.#plane.reveal(u[next], v[next]);
    this.actions.point(next);
    this.actions.announce(spoken(this.#scene.data, next));
  }

  /** The point nearest to the middle of what is seen. */
  #middle(): number | null {
    const { u, v } = this.#motion.target;
    const [x, y] = this.#under(this.#size.width / 2, this.#size.height / 2);
    let [best, found] = [Number.POSITIVE_INFINITY, -1];
    for (let point = 0; point < u.length; point++) {
      const far = (u[point] - x) ** 2 + (v[point] - y) ** 2;
      if (far < best && this.#drawn(point)) [best, found] = [far, point];
    }
    return found < 0 ? null : found;
  }

  #toggle(point: number): void {
    const selected = this.#scene?.selected ?? [];
    this.actions.select(selected.includes(point) ? selected.filter((other) => other !== point) : [...selected, point]);
  }

  #zoom(factor: number, x?: number, y?: number): void {
    this.#plane.zoomBy(factor, x, y);
    this.#schedule();
  }

  /** Zooms on the cursor where there is one, else on the middle. */
  #zoomKey(factor: number): void {
    const cursor = this.#scene?.cursor ?? null;
    const { u, v } = this.#motion.target;
    if (cursor === null || cursor >= u.length) {
      this.#zoom(factor);
      return;
    }
    const [x, y] = this.#at(u[cursor], v[cursor]);
    this.#zoom(factor, x / this.#size.width, y / this.#size.height);
  }

  #reset(): void {
    this.#plane.reset();
    this.#schedule();
  }

  #point(point: number | null): void {
    if (point === this.#pointed) return;
    this.#pointed = point;
    this.#showTip(point ?? this.#scene?.cursor ?? null);
    this.actions.hover(point);
    this.#schedule();
  }

  #showTip(point: number | null): void {
    const scene = this.#scene;
    const { u, v } = this.#motion.target;
    this.#tip.hide();
    if (!scene || point === null || point >= u.length || this.#line) return;
    const [x, y] = this.#at(u[point], v[point]);
    if (x < 0 || y < 0 || x > this.#size.width || y > this.#size.height) return;
    const box = this.#area.getBoundingClientRect();
    const beside = new DOMRect(box.left + LEFT + x - 6, box.top + y - 6, 12, 12);
    this.#tip.show(tipOf(scene, point), beside, box, this.element);
  }
}
