import { thinLabels } from "../../core/axes";
import { prepare } from "../../core/canvas";
import { changeDetector, fill, h, setAttributes } from "../../core/dom";
import { fontsOf } from "../../core/picture";
import { listen } from "../../core/pointer";
import { type Box, paintBars, paintModel, tipOnScreen } from "./paint";
import { type Actions, focusOf, inPlane, type Place, type Scene } from "./scene";
import { onShare, spoken } from "./words";

const GUTTER = 30;
const HEAD = 18;
const REACH = 16;

export interface LargeLayout {
  picture: Box;
  bars: Box;
  width: number;
  height: number;
}

/** Where the picture and the bars beside it go. */
export function layoutLarge(width: number, plane: boolean): LargeLayout {
  const left = plane ? 0 : GUTTER;
  const gap = plane ? GUTTER + 14 : 14;
  const room = width - left - gap - 6;
  const side = Math.max(140, Math.min(360, room - Math.max(64, Math.min(150, width * 0.26))));
  const barsWidth = Math.max(60, Math.min(240, room - side));
  const picture = { x: left, y: HEAD, width: side, height: side };
  const bars = { x: left + side + gap, y: HEAD, width: barsWidth, height: side };
  return { picture, bars, width: bars.x + barsWidth + 4, height: HEAD + side + 4 };
}

/** Draws the picked model, the bars of its features, and their numbers. */
export function paintLarge(
  context: CanvasRenderingContext2D,
  scene: Scene,
  { picture, bars }: LargeLayout,
  { sans, mono }: { sans: string; mono: string },
): void {
  const { toys, level, palette, spec } = scene;
  const focus = focusOf(scene);
  const look = { toys, level, focus, palette };
  const font = `11px ${mono}`;
  paintModel(context, look, picture, font);
  // Few features keep together, so that the eye need not travel; many fill the height, in line with the rows of WᵀW.
  const rows = barRows(scene, { picture, bars, width: 0, height: 0 });
  paintBars(context, look, rows);
  const step = rows.height / toys.features;
  context.font = font;
  context.textBaseline = "middle";
  context.textAlign = "right";
  const x = (inPlane(spec) ? rows.x : picture.x) - 7;
  const chosen = thinLabels(toys.features, 13 / step, { first: focus === null ? [] : [focus], last: true });
  for (const feature of chosen) {
    const own = feature === focus;
    context.font = own ? `bold ${font}` : font;
    context.fillStyle = own ? palette.fg : palette.muted;
    context.fillText(String(feature), x, rows.y + (feature + 0.5) * step);
  }
  context.font = `11px ${sans}`;
  context.fillStyle = palette.muted;
  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  context.fillText("length", rows.x, rows.y - 6);
}

function barRows({ toys, spec }: Scene, { picture, bars }: LargeLayout): Box {
  if (!inPlane(spec)) return bars;
  const height = Math.min(picture.height, 26 * toys.features);
  return { ...bars, y: bars.y + (picture.height - height) / 2, height };
}

/** The picked model, with its features to point at, to walk along and to pin. */
export class Large {
  readonly element: HTMLElement;
  readonly #plot: HTMLElement;
  #head = h("div", { class: "iw-large-head" });
  #canvas = h("canvas", { class: "iw-large", "aria-hidden": "true" });
  #option: HTMLElement;
  #scene: Scene | null = null;
  #layout: LargeLayout = layoutLarge(400, true);
  #changed = changeDetector();
  #spokenChanged = changeDetector();

  constructor(
    id: string,
    private readonly actions: Actions,
    signal: AbortSignal,
  ) {
    this.#option = h("div", { role: "option", id: `${id}-feature`, class: "iw-hidden", "aria-selected": "false" });
    this.#plot = h(
      "div",
      { class: "iw-plot", role: "listbox", tabindex: 0, "aria-activedescendant": this.#option.id },
      this.#canvas,
      this.#option,
    );
    this.element = h("div", {}, this.#head, this.#plot);
    listen(
      this.#plot,
      {
        hover: (x, y) => {
          const place = this.#at(x, y);
          const { picture } = this.#layout;
          this.actions.point(place, ...(place ? this.#onScreen(place, x > picture.x + picture.width) : []));
        },
        leave: () => this.actions.point(null),
        click: (x, y) => {
          const place = this.#at(x, y);
          if (place && this.#scene) this.actions.select(place.level, place.feature);
        },
        drag: () => false,
        zoom: () => {},
        reset: () => {},
      },
      signal,
    );
    this.#plot.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    this.#plot.addEventListener("blur", () => this.actions.point(null), { signal });
  }

  get width(): number {
    return this.#layout.width;
  }

  get height(): number {
    return this.#layout.height;
  }

  update(scene: Scene): void {
    this.#scene = scene;
    const { toys, level, palette, width, spec } = scene;
    const focus = focusOf(scene);
    this.#speak(scene);
    if (!this.#changed(toys, level, palette, width, focus, devicePixelRatio)) return;
    fill(this.#head, h("strong", {}, `Features ${onShare(spec, level)}`), ` · ${toys.geometry(level)}`);
    this.#layout = layoutLarge(width, inPlane(spec));
    const { width: wide, height } = this.#layout;
    // Long words about it wrap, rather than push the chart aside.
    this.element.style.width = `${wide}px`;
    Object.assign(this.#plot.style, { width: `${wide}px`, height: `${height}px` });
    const context = prepare(this.#canvas, wide, height);
    Object.assign(this.#canvas.dataset, { level: String(level), ...this.#spots(scene) });
    if (context) paintLarge(context, scene, this.#layout, fontsOf(this.#plot));
  }

  /** Where things are, for those who look for them from outside. */
  #spots({ toys, level }: Scene): Record<string, string> {
    const { picture } = this.#layout;
    const tips = Array.from({ length: Math.min(toys.features, 60) }, (_, feature) => {
      const { x, y } = tipOnScreen(toys, level, feature, picture);
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    });
    return { tips: tips.join(" "), x: String(picture.x), y: String(picture.y), side: String(picture.width) };
  }

  #speak({ toys, level, pinned, pointed }: Scene): void {
    const feature = pointed?.feature ?? pinned;
    if (!this.#spokenChanged(toys, level, feature, pinned)) return;
    setAttributes(this.#plot, { "aria-label": `features ${onShare(toys.spec, level)}: ${toys.geometry(level)}` });
    setAttributes(this.#option, { "aria-selected": String(feature !== null && feature === pinned) });
    fill(this.#option, feature === null ? "no feature yet, use the arrow keys" : spoken(toys, level, feature));
  }

  #onKey(event: KeyboardEvent): void {
    const scene = this.#scene;
    if (!scene || event.altKey || event.ctrlKey || event.metaKey) return;
    const { toys, level, pinned } = scene;
    const at = focusOf(scene);
    const last = toys.features - 1;
    const go = (feature: number) => {
      const place = { level, feature: Math.max(0, Math.min(last, feature)) };
      this.actions.point(place, ...this.#onScreen(place));
    };
    const page = Math.max(2, Math.round(toys.features / 6));
    if (event.key === "ArrowDown") go(at === null ? 0 : at + 1);
    else if (event.key === "ArrowUp") go(at === null ? last : at - 1);
    else if (event.key === "PageDown") go((at ?? 0) + page);
    else if (event.key === "PageUp") go((at ?? last) - page);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(last);
    else if (event.key === "ArrowRight") this.actions.select(Math.min(toys.levels - 1, level + 1), pinned);
    else if (event.key === "ArrowLeft") this.actions.select(Math.max(0, level - 1), pinned);
    else if (event.key === "Enter" || event.key === " ") this.actions.select(level, at);
    else if (event.key === "Escape" && at !== null) {
      this.actions.point(null);
      this.actions.select(level, null);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #at(x: number, y: number): Place | null {
    const scene = this.#scene;
    if (!scene) return null;
    const { toys, level, spec } = scene;
    const { picture } = this.#layout;
    const bars = barRows(scene, this.#layout);
    const row = (box: Box) => {
      const feature = Math.floor(((y - box.y) / box.height) * toys.features);
      return feature >= 0 && feature < toys.features ? { level, feature } : null;
    };
    if (x > picture.x + picture.width) return row(bars);
    if (!inPlane(spec)) return x >= 0 ? row(picture) : null;
    let [nearest, distance] = [-1, REACH];
    const middle = { x: picture.x + picture.width / 2, y: picture.y + picture.height / 2 };
    for (let feature = 0; feature < toys.features; feature++) {
      const away = toArrow({ x, y }, middle, tipOnScreen(toys, level, feature, picture));
      if (away < distance) [nearest, distance] = [feature, away];
    }
    return nearest < 0 ? null : { level, feature: nearest };
  }

  /** A feature's height in the picture, or in the bars, and all of either: what is said beside it hides neither. */
  #onScreen({ level, feature }: Place, inBars = false): [DOMRect, DOMRect] {
    const scene = this.#scene as Scene;
    const { left, top } = this.#plot.getBoundingClientRect();
    const { picture } = this.#layout;
    const box = inBars ? barRows(scene, this.#layout) : picture;
    const all = new DOMRect(left + box.x, top + box.y, box.width, box.height);
    const step = box.height / scene.toys.features;
    if (inBars || !inPlane(scene.spec)) return [new DOMRect(all.x, all.y + feature * step, box.width, step), all];
    const { y } = tipOnScreen(scene.toys, level, feature, picture);
    return [new DOMRect(all.x, top + y - 8, box.width, 16), all];
  }
}

/** How far a point is from an arrow; its end counts for more than its shaft, so that crowded ones can be told apart. */
function toArrow(
  point: { x: number; y: number },
  from: { x: number; y: number },
  tip: { x: number; y: number },
): number {
  const [dx, dy] = [tip.x - from.x, tip.y - from.y];
  const square = dx * dx + dy * dy;
  const end = Math.hypot(point.x - tip.x, point.y - tip.y);
  if (square < 100) return end;
  const along = ((point.x - from.x) * dx + (point.y - from.y) * dy) / square;
  if (along < 0.25 || along > 1) return end;
  const aside = Math.abs((point.x - from.x) * dy - (point.y - from.y) * dx) / Math.sqrt(square);
  return Math.min(end, aside * 2 + 3);
}
