import { prepare } from "../../core/canvas";
import { changeDetector, h } from "../../core/dom";
import { fontsOf } from "../../core/picture";
import { listen } from "../../core/pointer";
import type { Box } from "./paint";
import { featureColor } from "./paint";
import { type Actions, focusOf, type Place, type Scene } from "./scene";
import { percent } from "./words";

const TOP = 22;
const BOTTOM = 40;
const LEFT = 34;
const LABEL = 12;
const REACH = 10;
const TALLEST = 400;
/** In a narrower chart, landmarks go by their fractions alone. */
const NARROW = 420;

interface Dot extends Place {
  x: number;
  y: number;
}

export interface ChartLayout {
  plot: Box;
  width: number;
  height: number;
  /** Middle of each sparsity's column. */
  columns: number[];
  /** Room of a column. */
  room: number;
}

/** Columns at even steps of the logarithm of the probability where they can be told apart, else at even steps. */
export function layoutChart({ spec, toys }: Pick<Scene, "spec" | "toys">, width: number, height: number): ChartLayout {
  const right = width < NARROW ? 40 : 130;
  const plot = { x: LEFT, y: TOP, width: width - LEFT - right, height: height - TOP - BOTTOM };
  const logs = spec.probabilities.map((probability) => -Math.log(probability));
  const [first, last] = [logs[0], logs[logs.length - 1]];
  const share = (at: number) => (last > first ? (logs[at] - first) / (last - first) : 0.5);
  const least = Math.min(...logs.slice(1).map((_, at) => share(at + 1) - share(at)), 1);
  const even = toys.levels > 1 && least < 0.35 / (toys.levels - 1);
  const inset = Math.min(plot.width / 2, Math.max(10, plot.width / (2 * toys.levels)));
  const columns = logs.map((_, at) => {
    const along = even ? at / (toys.levels - 1) : share(at);
    return plot.x + inset + along * (plot.width - 2 * inset);
  });
  const gaps = columns.slice(1).map((x, at) => x - columns[at]);
  return { plot, width, height, columns, room: Math.min(64, ...gaps, plot.width) * 0.84 };
}

/** Height on screen of a dimensionality. */
function heightOf({ plot }: ChartLayout, dimensionality: number): number {
  return plot.y + plot.height * (1 - dimensionality);
}

/** A dot for each feature; those that would lie on each other stand side by side. */
export function dotsOf(toys: Scene["toys"], layout: ChartLayout, level: number, radius: number): Dot[] {
  const rows = new Map<number, Dot[]>();
  for (let feature = 0; feature < toys.features; feature++) {
    const y = heightOf(layout, toys.facts(level, feature).dimensionality);
    const row = Math.round(y / (1.5 * radius));
    rows.set(row, [...(rows.get(row) ?? []), { level, feature, x: layout.columns[level], y }]);
  }
  for (const dots of rows.values()) {
    const step = Math.min(2 * radius + 1, layout.room / Math.max(1, dots.length));
    dots.forEach((dot, at) => {
      dot.x += (at - (dots.length - 1) / 2) * step;
    });
  }
  return [...rows.values()].flat();
}

/** Draws each feature's dimensionality by sparsity, over the values at which regular shapes sit. */
export function paintChart(
  context: CanvasRenderingContext2D,
  scene: Scene,
  layout: ChartLayout,
  { sans, mono }: { sans: string; mono: string },
): void {
  const { toys, level, palette } = scene;
  const { plot, columns, room } = layout;
  const radius = toys.features > 40 ? 2 : 3.2;
  const small = `11px ${sans}`;
  context.fillStyle = palette.line;
  context.globalAlpha = 0.5;
  const wide = Math.max(room, 12);
  context.fillRect(columns[level] - wide / 2, plot.y - 4, wide, plot.height + 8);
  context.globalAlpha = 1;
  paintLandmarks(context, scene, layout, small);
  context.font = `11px ${mono}`;
  context.fillStyle = palette.muted;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of [0, 0.5, 1]) context.fillText(String(value), plot.x - 8, heightOf(layout, value));
  paintShares(context, scene, layout, mono);
  context.font = small;
  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  context.fillText("dimensionality", 0, 11);
  context.textAlign = "center";
  context.fillText("share of the time that a feature is on", plot.x + plot.width / 2, layout.height - 6);
  paintOthers(context, scene, layout);
  const focus = focusOf(scene);
  const own: Dot[] = [];
  for (let at = 0; at < toys.levels; at++) {
    for (const dot of dotsOf(toys, layout, at, radius)) {
      if (dot.feature === focus) own.push(dot);
      else paintDot(context, dot, radius, chartColor(scene, dot.feature));
    }
  }
  if (!own.length) return;
  context.strokeStyle = palette.fg;
  context.lineWidth = 1.5;
  context.beginPath();
  own.forEach(({ x, y }, at) => {
    if (at) context.lineTo(x, y);
    else context.moveTo(x, y);
  });
  context.stroke();
  for (const dot of own) paintDot(context, dot, radius * 1.45, palette.fg, palette.bg);
}

/** By importance; beside the feature in focus the others step back. */
function chartColor({ toys, level, palette, pointed, pinned }: Scene, feature: number): string {
  if (focusOf({ pointed, pinned }) !== null) return palette.faint;
  return featureColor({ toys, level, focus: null, palette }, feature);
}

function paintDot(
  context: CanvasRenderingContext2D,
  { x, y }: Dot,
  radius: number,
  color: string,
  ring?: string,
): void {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = color;
  context.fill();
  if (!ring) return;
  context.strokeStyle = ring;
  context.lineWidth = 1.5;
  context.stroke();
}

/** The models that started elsewhere and came out worse, faint. */
function paintOthers(context: CanvasRenderingContext2D, { toys, spec, palette }: Scene, layout: ChartLayout): void {
  context.strokeStyle = palette.faint;
  context.lineWidth = 1;
  const most = Math.max(1, Math.floor(4000 / (toys.features * toys.levels)));
  for (let level = 0; level < toys.levels; level++) {
    for (let model = 0; model < Math.min(spec.n_models, most); model++) {
      if (model === toys.best(level)) continue;
      for (let feature = 0; feature < toys.features; feature++) {
        const y = heightOf(layout, toys.facts(level, feature, model).dimensionality);
        context.beginPath();
        context.moveTo(layout.columns[level] - layout.room / 2, y);
        context.lineTo(layout.columns[level] - layout.room / 2 + 4, y);
        context.stroke();
      }
    }
  }
}

function paintLandmarks(context: CanvasRenderingContext2D, scene: Scene, layout: ChartLayout, font: string): void {
  const { palette, spec } = scene;
  const { plot, width } = layout;
  const marks = [...spec.landmarks, { share: 0, label: "0", name: "not kept" }];
  context.strokeStyle = palette.line;
  context.lineWidth = 1;
  const right = plot.x + plot.width;
  // From the top down, each name at least a line below the one before it.
  let before = Number.NEGATIVE_INFINITY;
  const lines = marks.map(({ share }) => {
    const y = heightOf(layout, share);
    before = Math.max(y, before + LABEL);
    return { y, label: before };
  });
  context.font = font;
  context.textBaseline = "middle";
  context.textAlign = "left";
  lines.forEach(({ y, label }, at) => {
    context.beginPath();
    context.moveTo(plot.x, Math.round(y) + 0.5);
    context.lineTo(right, Math.round(y) + 0.5);
    context.lineTo(right + 6, label);
    context.stroke();
    const { label: fraction, name } = marks[at];
    context.fillStyle = palette.muted;
    const words = ["0", "1"].includes(fraction) ? name : `${fraction} ${name}`;
    context.fillText(width < NARROW ? fraction : words, right + 9, label);
  });
}

function paintShares(context: CanvasRenderingContext2D, scene: Scene, layout: ChartLayout, mono: string): void {
  const { spec, level, palette } = scene;
  const { plot, columns } = layout;
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  const taken: [number, number][] = [];
  const order = [level, ...spec.probabilities.keys()];
  for (const at of new Set(order)) {
    const text = percent(spec.probabilities[at]);
    context.font = `${at === level ? "bold " : ""}11px ${mono}`;
    const half = context.measureText(text).width / 2 + 4;
    const [from, to] = [columns[at] - half, columns[at] + half];
    if (taken.some(([start, end]) => from < end && to > start)) continue;
    taken.push([from, to]);
    context.fillStyle = at === level ? palette.fg : palette.muted;
    context.fillText(text, columns[at], plot.y + plot.height + 18);
  }
}

/** Dimensionality of every feature by sparsity; clicks and pointing do what they do on the pictures. */
export class Chart {
  readonly element: HTMLElement;
  #canvas = h("canvas", { class: "iw-chart" });
  #scene: Scene | null = null;
  #layout: ChartLayout | null = null;
  #changed = changeDetector();

  constructor(
    private readonly actions: Actions,
    signal: AbortSignal,
  ) {
    const about = "Dimensionality of each feature against sparsity; the table has its numbers.";
    this.element = h("div", { class: "iw-plot iw-chart-plot", role: "img", "aria-label": about }, this.#canvas);
    listen(
      this.element,
      {
        hover: (x, y) => {
          const dot = this.#at(x, y);
          if (!dot) return this.actions.point(null);
          const { left, top, width, height } = this.element.getBoundingClientRect();
          this.actions.point(
            { level: dot.level, feature: dot.feature },
            new DOMRect(left + dot.x - 5, top + dot.y - 5, 10, 10),
            new DOMRect(left, top, width, height),
          );
        },
        leave: () => this.actions.point(null),
        click: (x, y) => {
          const dot = this.#at(x, y);
          const level = dot?.level ?? this.#column(x);
          if (level !== null && this.#scene) this.actions.select(level, dot?.feature ?? this.#scene.pinned);
        },
        drag: () => false,
        zoom: () => {},
        reset: () => {},
      },
      signal,
    );
  }

  update(scene: Scene, width: number, height: number): void {
    this.#scene = scene;
    const { toys, level, palette } = scene;
    if (!this.#changed(toys, level, palette, width, height, focusOf(scene), devicePixelRatio)) return;
    this.#layout = layoutChart(scene, width, Math.min(height, TALLEST));
    Object.assign(this.element.style, { width: `${width}px`, height: `${this.#layout.height}px` });
    const context = prepare(this.#canvas, width, this.#layout.height);
    if (context) paintChart(context, scene, this.#layout, fontsOf(this.element));
  }

  #column(x: number): number | null {
    const layout = this.#layout;
    if (!layout || x < layout.plot.x || x > layout.plot.x + layout.plot.width) return null;
    const away = layout.columns.map((column) => Math.abs(column - x));
    return away.indexOf(Math.min(...away));
  }

  #at(x: number, y: number): Dot | null {
    const [scene, layout] = [this.#scene, this.#layout];
    const column = this.#column(x);
    if (!scene || !layout || column === null) return null;
    const dots = dotsOf(scene.toys, layout, column, scene.toys.features > 40 ? 2 : 3.2);
    const away = dots.map((dot) => Math.hypot(dot.x - x, dot.y - y));
    const nearest = Math.min(...away);
    return nearest <= REACH ? dots[away.indexOf(nearest)] : null;
  }
}
