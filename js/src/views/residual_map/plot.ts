import { prepare } from "../../core/canvas";
import { h } from "../../core/dom";
import { listen, type Stroke } from "../../core/pointer";
import { word } from "../../core/scales";
import { Tooltip } from "../../core/tooltip";
import { Density } from "./density";
import { Buckets, lassoed, towards } from "./nearest";
import { Order } from "./order";
import { type Frame, framed, frameOf, Plane } from "./plane";
import { BOTTOM, drawAxes, LEFT, zeros } from "./plot_axes";
import type { Actions, Scene } from "./scene";
import { type Cloud, DENSE, radiusOf, type Sheet, splat } from "./splat";
import { tipOf } from "./tip";
import { layerName, spoken } from "./words";

const TALLEST = 560;
const SHORTEST = 300;
const MOVE = 420;
/** More points than that are not moved from layer to layer, but set. */
const STILL = 200_000;
const REACH = 16;
const FADED = 0.16;
const MOST_SCALE = 2;
const STEP = 0.12;
const ZOOM = 1.35;

/** The points of one layer, with pan, zoom, lasso and a cursor. */
export class Plot {
  readonly element: HTMLElement;
  readonly #canvas = h("canvas", { class: "iw-points", "aria-hidden": "true" });
  readonly #over = h("canvas", { class: "iw-over", "aria-hidden": "true" });
  readonly #area: HTMLElement;
  readonly #tip = new Tooltip();
  readonly #plane = new Plane();
  readonly #order = new Order();
  readonly #density = new Density();
  #scene: Scene | null = null;
  #size = { width: 0, height: 0 };
  #frame: Frame = { x: 0, y: 0, halfWidth: 1, halfHeight: 1 };
  #u: Float32Array = new Float32Array(0);
  #v: Float32Array = new Float32Array(0);
  #move: { u: Float32Array; v: Float32Array; since: number } | null = null;
  #placed: unknown[] = [];
  #buckets: Buckets | null = null;
  #line: [number, number][] | null = null;
  #ghosts: readonly number[] = [];
  #pointed: number | null = null;
  #scheduled = 0;
  #image: ImageData | null = null;

  constructor(
    id: string,
    private readonly actions: Actions,
    private readonly signal: AbortSignal,
  ) {
    this.#area = h(
      "div",
      { class: "iw-area", id, tabindex: 0, role: "application", "aria-roledescription": "scatter plot" },
      this.#canvas,
      this.#over,
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
    const before = this.#scene;
    this.#scene = scene;
    const height = Math.max(SHORTEST, Math.min(TALLEST, Math.round(width * 0.66)));
    this.#size = { width: Math.max(80, width - LEFT), height: height - BOTTOM };
    this.#area.style.height = `${height}px`;
    this.#area.dataset.tool = scene.tool;
    this.#area.setAttribute("aria-label", this.#said(scene));
    this.#place(scene, before === null);
    this.#order.update(scene);
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
    const { u, v } = this.#target();
    if (point < u.length) this.#plane.reveal(u[point], v[point]);
    this.#schedule();
  }

  /** Draws what is on screen onto a picture, at a place of it, and returns how tall that is. */
  drawOn(context: CanvasRenderingContext2D, x: number, y: number): number {
    this.#paint();
    const { width, height } = this.#size;
    context.drawImage(this.#canvas, x + LEFT, y, width, height);
    context.drawImage(this.#over, x, y, width + LEFT, height + BOTTOM);
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

  #place(scene: Scene, first: boolean): void {
    const { data, row, axes, align, oneScale, spec } = scene;
    const { width, height } = this.#size;
    const key = [data, row, axes.join(), align, oneScale, width, height, oneScale && scene.version];
    if (row === null || key.every((value, n) => value === this.#placed[n])) return;
    const resized = this.#placed[1] === row && (this.#placed[5] !== width || this.#placed[6] !== height);
    this.#placed = key;
    const placed = data.place(row, axes, align);
    if (!placed) return;
    const aspect = width / height;
    const square = spec.n_given === 0;
    const half = oneScale ? this.#largestHalf(scene, aspect) : null;
    this.#frame = frameOf(placed, aspect, square, half);
    const next = framed(placed, this.#frame);
    const still = first || resized || this.#u.length !== next.u.length || data.count > STILL || prefersStill();
    if (still) {
      this.#move = null;
      [this.#u, this.#v] = [next.u, next.v];
    } else {
      // From where points are now, which may be on their way already.
      this.#u = this.#u.slice();
      this.#v = this.#v.slice();
      this.#move = { u: next.u, v: next.v, since: performance.now() };
    }
    this.#buckets = null;
  }

  #largestHalf({ data, axes, align, spec }: Scene, aspect: number): number {
    const halves = data.rows.map((row) => {
      const placed = data.place(row, axes, align);
      return placed ? frameOf(placed, aspect, spec.n_given === 0).halfHeight : 0;
    });
    return Math.max(1e-9, ...halves);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = requestAnimationFrame(() => {
      this.#scheduled = 0;
      this.#paint();
    });
  }

  /** Where points are, or are on their way to. */
  #target(): { u: Float32Array; v: Float32Array } {
    return this.#move ?? { u: this.#u, v: this.#v };
  }

  #now(): { u: Float32Array; v: Float32Array } {
    const move = this.#move;
    if (!move) return { u: this.#u, v: this.#v };
    const time = Math.min(1, (performance.now() - move.since) / MOVE);
    if (time >= 1) {
      [this.#u, this.#v] = [move.u, move.v];
      this.#move = null;
      return move;
    }
    const share = time * time * (3 - 2 * time);
    const n = move.u.length;
    const [u, v] = [new Float32Array(n), new Float32Array(n)];
    for (let point = 0; point < n; point++) {
      u[point] = this.#u[point] + (move.u[point] - this.#u[point]) * share;
      v[point] = this.#v[point] + (move.v[point] - this.#v[point]) * share;
    }
    return { u, v };
  }

  #paint(): void {
    const scene = this.#scene;
    if (!scene) return;
    const { width, height } = this.#size;
    // A density needs no fine pixels, and on a fine screen they would be four times as many to fill.
    const scale = Math.min(scene.data.count > DENSE ? 1 : MOST_SCALE, devicePixelRatio || 1);
    const [wide, tall] = [Math.round(width * scale), Math.round(height * scale)];
    const canvas = this.#canvas;
    if (canvas.width !== wide || canvas.height !== tall) {
      [canvas.width, canvas.height] = [wide, tall];
      canvas.style.cssText = `left:${LEFT}px;width:${width}px;height:${height}px`;
    }
    const context = canvas.getContext("2d");
    if (!context) return;
    if (this.#image?.width !== wide || this.#image.height !== tall) this.#image = context.createImageData(wide, tall);
    const { u, v } = this.#now();
    const image = this.#image;
    const sheet = { words: new Uint32Array(image.data.buffer), width: wide, height: tall };
    const background = this.#background(scene);
    sheet.words.fill(background);
    if (scene.spec.method === "PCA") this.#zeros(sheet, scene);
    if (scene.row !== null && u.length === scene.data.count) this.#points(scene, sheet, { u, v }, background, scale);
    context.putImageData(image, 0, 0);
    const { x, y, halfWidth, halfHeight } = this.#frame;
    const { zoom, left, top } = this.#plane;
    canvas.dataset.frame = [x, y, halfWidth, halfHeight, zoom, left, top].join(" ");
    this.#overlay(scene, u, v);
    if (this.#move) this.#schedule();
  }

  #zeros({ words, width, height }: Sheet, { palette }: Scene): void {
    const [x, y] = zeros(this.#frame, this.#plane);
    const [column, row] = [Math.floor(x * width), Math.floor(y * height)];
    const line = word(palette.line);
    if (row >= 0 && row < height) words.fill(line, row * width, (row + 1) * width);
    if (column < 0 || column >= width) return;
    for (let at = column; at < words.length; at += width) words[at] = line;
  }

  #points(
    scene: Scene,
    sheet: Sheet,
    { u, v }: { u: Float32Array; v: Float32Array },
    background: number,
    scale: number,
  ): void {
    const { coloring, chosen, data } = scene;
    const { zoom, left, top } = this.#plane;
    const drawn = Uint8Array.from(coloring.words, (_, kind) => Number(!scene.hidden.has(kind)));
    const [scaleX, scaleY] = [zoom * sheet.width, zoom * sheet.height];
    const place = { scaleX, shiftX: -left * scaleX, scaleY, shiftY: -top * scaleY };
    const cloud: Cloud = { u, v, of: coloring.of, words: coloring.words, shapes: coloring.shapes, drawn, ...place };
    if (data.count > DENSE) {
      this.#density.draw(sheet, cloud, background, chosen, scale);
      return;
    }
    const { rest, chosen: front } = this.#order;
    const radius = radiusOf(data.count) * Math.min(1.8, zoom ** 0.25) * scale;
    const look = { radius, rim: radius > 2.2 * scale ? 0.9 * scale : 0 };
    if (chosen) {
      const faded = Uint32Array.from(coloring.words, (color) => blend(background, color, FADED));
      splat(sheet, { ...cloud, words: faded }, rest, background, { radius, rim: 0 });
      splat(sheet, cloud, front, background, look);
    } else splat(sheet, cloud, rest, background, look);
  }

  /** The colour that the page has behind the plot, which may be the host's. */
  #background({ palette }: Scene): number {
    const behind = getComputedStyle(this.element.closest(".iw-view") ?? this.element).backgroundColor;
    const [r, g, b, alpha = 1] = (behind.match(/[\d.]+/g) ?? []).map(Number);
    if (!behind.startsWith("rgb") || b === undefined || alpha < 1) return word(palette.bg);
    return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  }

  #overlay(scene: Scene, u: Float32Array, v: Float32Array): void {
    const { width, height } = this.#size;
    const context = prepare(this.#over, width + LEFT, height + BOTTOM);
    if (!context) return;
    const { palette } = scene;
    const style = getComputedStyle(this.element);
    const font = (size: number) => `${size}px ${style.fontFamily || "sans-serif"}`;
    drawAxes(context, scene, { ...this.#size, frame: this.#frame, plane: this.#plane, font });
    context.save();
    context.beginPath();
    context.rect(LEFT, 0, width, height);
    context.clip();
    const ring = (point: number | null, radius: number, dash: number[]) => {
      if (point === null || point >= u.length) return;
      const [x, y] = this.#at(u[point], v[point]);
      context.setLineDash(dash);
      context.beginPath();
      context.arc(x + LEFT, y, radius, 0, 2 * Math.PI);
      context.strokeStyle = palette.bg;
      context.lineWidth = 4;
      context.stroke();
      context.strokeStyle = palette.fg;
      context.lineWidth = 1.75;
      context.stroke();
    };
    const radius = radiusOf(scene.data.count) + 4.5;
    for (const point of this.#ghosts) ring(point, radius + 1, [3, 3]);
    ring(this.#pointed ?? scene.cursor, radius, []);
    if (this.#line && this.#line.length > 1) {
      context.setLineDash([]);
      context.beginPath();
      for (const [x, y] of this.#line) context.lineTo(x + LEFT, y);
      context.closePath();
      context.globalAlpha = 0.12;
      context.fillStyle = palette.fg;
      context.fill();
      context.globalAlpha = 1;
      context.strokeStyle = palette.fg;
      context.lineWidth = 1.25;
      context.stroke();
    }
    context.restore();
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
    const { u, v } = this.#target();
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
        const { u, v } = this.#target();
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
    const { u, v } = this.#target();
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
    const { u, v } = this.#target();
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
    const { u, v } = this.#target();
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
    const { u, v } = this.#target();
    this.#tip.hide();
    if (!scene || point === null || point >= u.length || this.#line) return;
    const [x, y] = this.#at(u[point], v[point]);
    if (x < 0 || y < 0 || x > this.#size.width || y > this.#size.height) return;
    const box = this.#area.getBoundingClientRect();
    const beside = new DOMRect(box.left + LEFT + x - 6, box.top + y - 6, 12, 12);
    this.#tip.show(tipOf(scene, point), beside, box, this.element);
  }
}

function blend(from: number, to: number, share: number): number {
  const channel = (shift: number) => {
    const [a, b] = [(from >>> shift) & 255, (to >>> shift) & 255];
    return Math.round(a + (b - a) * share) << shift;
  };
  return ((255 << 24) | channel(16) | channel(8) | channel(0)) >>> 0;
}

function prefersStill(): boolean {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
