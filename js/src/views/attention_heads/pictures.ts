import { thinLabels } from "../../core/axes";
import { prepare } from "../../core/canvas";
import { changeDetector, fill, h, setAttributes } from "../../core/dom";
import { hatch } from "../../core/hatch";
import { paintTile } from "../../core/pattern_paint";
import { type Fonts, fontsOf } from "../../core/picture";
import { listen } from "../../core/pointer";
import { type Actions, atOf, type Head, limitOf, type Scene, sameHead } from "./scene";
import { spokenHead } from "./words";

/** Where a head's picture is. */
export interface Placed extends Head {
  x: number;
  y: number;
}

export interface Layout {
  size: number;
  width: number;
  height: number;
  placed: Placed[];
  /** Pictures in a row. */
  columns: number;
  /** Room under each picture for words. */
  caption: number;
  /** Room between a picture and what marks it. */
  rim: number;
  /** Whether captions name the head, for where it stands does not. */
  named: boolean;
  byScore: boolean;
  /** How many heads there are, shown or not. */
  all: number;
}

const [GUTTER, FOOT, EDGE] = [26, 18, 6];
const [SMALLEST, LARGEST, CAPTION] = [11, 118, 15];
const CAPTIONED = 46;
const MOST_ROWS = 10;

/** Pixels that the pictures of all heads take at least. */
export function leastWidth({ spec }: Pick<Scene, "spec">): number {
  const { layers, heads } = spec;
  const wrapped = Math.ceil((heads.length * layers.length) / MOST_ROWS) * (CAPTIONED + 8);
  return GUTTER + 2 * EDGE + Math.min(heads.length * (SMALLEST + 2), wrapped);
}
const SORTED = { size: 74, most: 96 };

/** Where pictures go: layers upwards and heads to the right, or the highest scores first. */
export function layOut(scene: Scene, width: number): Layout {
  const { spec, scores, score, order } = scene;
  const { layers, heads } = spec;
  const all = layers.length * heads.length;
  if (order === "score" && score !== null && scores.terms.some(({ name }) => name === score)) {
    const ranked = layers.flatMap((layer, row) =>
      heads.map((head, column) => ({ layer, head, value: scores.of(score, row, column).value })),
    );
    ranked.sort((a, b) => (Number.isNaN(b.value) ? -1 : Number.isNaN(a.value) ? 1 : b.value - a.value));
    const shown = ranked.slice(0, SORTED.most);
    const columns = Math.max(1, Math.floor((width - 2 * EDGE) / (SORTED.size + 10)));
    const step = (width - 2 * EDGE) / columns;
    const size = Math.min(LARGEST, step - 10);
    const tall = size + CAPTION + 8;
    const placed = shown.map(({ layer, head }, n) => ({
      layer,
      head,
      x: EDGE + (n % columns) * step,
      y: EDGE + Math.floor(n / columns) * tall,
    }));
    const height = 2 * EDGE + Math.ceil(shown.length / columns) * tall;
    return { size, width, height, placed, columns, caption: CAPTION, rim: 4, named: true, byScore: true, all };
  }
  const whole = width - GUTTER - 2 * EDGE;
  // Heads of few layers take several rows a layer, rather than be too small to be seen.
  const wanted = Math.max(1, Math.min(heads.length, Math.floor(whole / (CAPTIONED + 8))));
  const rows = Math.ceil(heads.length / wanted);
  const wrapped = rows > 1 && rows * layers.length <= MOST_ROWS;
  const columns = wrapped ? wanted : heads.length;
  const room = whole / columns;
  const gap = room > 40 ? 8 : room > 20 ? 4 : 2;
  const size = Math.max(SMALLEST, Math.min(LARGEST, room - gap));
  const caption = wrapped || (size >= CAPTIONED && scores.any) ? CAPTION : 0;
  const [across, down] = [size + gap, size + gap + caption];
  const tall = (wrapped ? rows : 1) * down;
  const placed = layers.flatMap((layer, row) =>
    heads.map((head, column) => ({
      layer,
      head,
      x: GUTTER + EDGE + (column % columns) * across,
      // Layer 0 is at the bottom.
      y: EDGE + (layers.length - 1 - row) * tall + Math.floor(column / columns) * down,
    })),
  );
  return {
    size,
    width: GUTTER + 2 * EDGE + columns * across,
    height: 2 * EDGE + layers.length * tall + FOOT,
    placed,
    columns,
    caption,
    rim: gap >= 8 ? 4 : 1.5,
    named: wrapped,
    byScore: false,
    all,
  };
}

/** Draws all pictures, their frames and what heads are called. */
export function paintPictures(
  context: CanvasRenderingContext2D,
  scene: Scene,
  layout: Layout,
  fonts: Fonts,
  { x, y, scale }: { x: number; y: number; scale: number },
): void {
  const { spec, data, palette, scores, score } = scene;
  const { size, placed, caption, byScore, named } = layout;
  for (const place of placed) {
    const box = { x: x + place.x, y: y + place.y, width: size, height: size };
    const [row, column] = [spec.layers.indexOf(place.layer), spec.heads.indexOf(place.head)];
    const picture = data.picture(atOf(scene, place), Math.floor(size * scale));
    if (picture) paintTile(context, picture, { palette, limit: limitOf(scene, place) }, box);
    else hatch(context, palette, box);
    const term = scores.terms.find(({ name }) => name === score);
    const value = term ? scores.of(term.name, row, column).value : Number.NaN;
    const share = term && !Number.isNaN(value) ? Math.max(-1, Math.min(1, value / term.high)) : 0;
    // Faint scores leave the frame as quiet as it is without one.
    const strong = Math.abs(share) >= 0.1;
    const line = strong ? Math.max(1.25, Math.min(3.5, size / 16) * Math.abs(share)) : 1;
    context.setLineDash([]);
    context.lineWidth = line;
    context.strokeStyle = strong ? palette.scale.css[palette.scale.index(share, 1)] : palette.line;
    context.strokeRect(box.x - line / 2, box.y - line / 2, size + line, size + line);
    if (!caption) continue;
    const badges = scores.badges(row, column);
    const name = `${place.layer}.${place.head}`;
    const own = term && (byScore || strong) && !Number.isNaN(value) ? value.toFixed(2).replace("-", "−") : "";
    context.textBaseline = "middle";
    context.textAlign = "left";
    context.direction = "ltr";
    const middle = box.y + size + 4 + caption / 2;
    context.font = `10.5px ${fonts.sans}`;
    context.fillStyle = palette.muted;
    if (named) {
      context.fillText(name, box.x, middle);
      context.textAlign = "right";
      context.fillStyle = palette.fg;
      const free = size - context.measureText(`${name} `).width;
      context.fillText(own || cut(context, badges[0]?.badge ?? "", free), box.x + size, middle);
    } else if (badges.length) {
      const first = badges.find(({ name: called }) => called === score) ?? badges[0];
      const more = badges.length > 1 ? ` +${badges.length - 1}` : "";
      context.fillStyle = palette.fg;
      context.fillText(cut(context, first.badge, size - context.measureText(more).width) + more, box.x, middle);
    }
  }
  if (!byScore) paintNumbers(context, scene, layout, fonts, { x, y });
}

function cut(context: CanvasRenderingContext2D, text: string, width: number): string {
  if (context.measureText(text).width <= width) return text;
  let short = text;
  while (short && context.measureText(`${short}…`).width > width) short = short.slice(0, -1).trimEnd();
  return `${short}…`;
}

function paintNumbers(
  context: CanvasRenderingContext2D,
  { spec, palette, shown }: Scene,
  { size, placed, height, named }: Layout,
  { mono }: Fonts,
  { x, y }: { x: number; y: number },
): void {
  const { layers, heads } = spec;
  const step = layers.length > 1 ? placed[0].y - placed[heads.length].y : size;
  const across = heads.length > 1 ? placed[1].x - placed[0].x : size;
  context.textBaseline = "middle";
  const write = (number: number, own: boolean, left: number, top: number) => {
    context.font = `${own ? "bold " : ""}11px ${mono}`;
    context.fillStyle = own ? palette.fg : palette.muted;
    context.fillText(String(number), left, top);
  };
  context.textAlign = "right";
  const [row, column] = [layers.indexOf(shown?.layer ?? -1), heads.indexOf(shown?.head ?? -1)];
  for (const n of thinLabels(layers.length, 14 / step, { first: row < 0 ? [] : [row] })) {
    write(layers[n], n === row, x + GUTTER - 5, y + placed[n * heads.length].y + size / 2);
  }
  context.textAlign = "center";
  if (named) return;
  for (const n of thinLabels(heads.length, 20 / across, { first: column < 0 ? [] : [column] })) {
    write(heads[n], n === column, x + placed[n].x + size / 2, y + height - FOOT / 2);
  }
}

/** Small pictures of all heads: one tab stop, in which arrows move and Enter shows a head large. */
export class Pictures {
  readonly element: HTMLElement;
  readonly #plot: HTMLElement;
  readonly #canvas = h("canvas", { class: "iw-heads", "aria-hidden": "true" });
  readonly #overlay = h("canvas", { class: "iw-overlay", "aria-hidden": "true" });
  readonly #cell: HTMLElement;
  readonly #note = h("div", { class: "iw-note", hidden: true });
  readonly #changed = changeDetector();
  #scene: Scene | null = null;
  #layout: Layout | null = null;
  #cursor: Head | null = null;

  constructor(
    id: string,
    private readonly actions: Actions,
    signal: AbortSignal,
  ) {
    this.#cell = h("div", { role: "gridcell", id: `${id}-head` });
    this.#plot = h(
      "div",
      {
        class: "iw-plot",
        role: "grid",
        tabindex: 0,
        "aria-label": "heads by layer: arrows move, Enter shows one large",
        "aria-activedescendant": this.#cell.id,
      },
      this.#canvas,
      this.#overlay,
      h("div", { role: "row", class: "iw-hidden" }, this.#cell),
    );
    this.element = h("div", { class: "iw-pictures" }, h("div", { class: "iw-scrolls" }, this.#plot), this.#note);
    listen(
      this.#plot,
      {
        hover: (x, y) => this.#point(this.#at(x, y)),
        leave: () => this.#point(null),
        click: (x, y) => {
          const head = this.#at(x, y);
          if (!head) return;
          this.#cursor = head;
          this.actions.choose(head);
        },
        drag: () => false,
        zoom: () => {},
        reset: () => {},
      },
      signal,
    );
    this.#plot.addEventListener("keydown", (event) => this.#key(event), { signal });
    this.#plot.addEventListener("blur", () => this.#point(null), { signal });
  }

  update(scene: Scene, width: number): void {
    this.#scene = scene;
    const { version, scores, kind, score, order, scale, palette, shown, data } = scene;
    if (
      this.#changed(data, version, scores, kind.side, kind.weighted, score, order, scale, palette, width) ||
      this.#shownMoved(shown)
    ) {
      const layout = layOut(scene, width);
      this.#layout = layout;
      Object.assign(this.#plot.style, { width: `${layout.width}px`, height: `${layout.height}px` });
      const context = prepare(this.#canvas, layout.width, layout.height);
      const first = layout.placed[0];
      // Where things are, for those who look for them from outside.
      Object.assign(this.#canvas.dataset, {
        size: String(layout.size),
        places: layout.placed
          .slice(0, 400)
          .map(({ layer, head, x, y }) => `${layer}.${head}:${x.toFixed(1)},${y.toFixed(1)}`)
          .join(" "),
      });
      if (context && first)
        paintPictures(context, scene, layout, fontsOf(this.#plot), { x: 0, y: 0, scale: devicePixelRatio || 1 });
      const rest = layout.all - layout.placed.length;
      this.#note.hidden = rest <= 0;
      const all = layout.all.toLocaleString("en-US");
      fill(this.#note, `The ${layout.placed.length} with the highest scores of ${all} heads.`);
      this.#reveal(layout, shown);
      setAttributes(this.#plot, {
        "aria-rowcount": Math.ceil(layout.placed.length / layout.columns),
        "aria-colcount": layout.columns,
      });
    }
    this.#drawOverlay(scene);
    this.#speak(scene);
  }

  #was: Head | null = null;

  /** Where pictures are wider than the view, brings the one that is large into sight. */
  #reveal({ placed, size }: Layout, shown: Head | null): void {
    const place = placed.find((other) => sameHead(other, shown));
    const scrolls = this.#plot.parentElement;
    if (!place || !scrolls) return;
    const { scrollLeft, clientWidth } = scrolls;
    if (place.x < scrollLeft || place.x + size > scrollLeft + clientWidth)
      scrolls.scrollLeft = place.x - clientWidth / 2;
  }

  #shownMoved(shown: Head | null): boolean {
    const moved = !sameHead(this.#was, shown);
    this.#was = shown;
    return moved;
  }

  #drawOverlay({ shown, pointed, ghost, palette }: Scene): void {
    const layout = this.#layout;
    if (!layout) return;
    const context = prepare(this.#overlay, layout.width, layout.height);
    if (!context) return;
    const { size, rim } = layout;
    const outline = (head: Head, width: number, color: string, dash: number[]) => {
      const place = layout.placed.find((other) => sameHead(other, head));
      if (!place) return;
      context.setLineDash(dash);
      context.lineWidth = width;
      context.strokeStyle = color;
      context.strokeRect(place.x - rim, place.y - rim, size + 2 * rim, size + 2 * rim);
    };
    if (ghost && ghost.layer !== null) {
      const { layer, head } = ghost;
      for (const place of layout.placed)
        if (place.layer === layer && (head === null || place.head === head))
          outline(place, 1.5, palette.corrupt, [4, 3]);
    }
    if (shown) outline(shown, 2, palette.fg, []);
    if (pointed && !sameHead(pointed, shown)) outline(pointed, 1.25, palette.muted, []);
  }

  #speak(scene: Scene): void {
    const head = scene.pointed ?? scene.shown;
    setAttributes(this.#cell, { "aria-selected": head && String(sameHead(head, scene.shown)) });
    fill(this.#cell, head ? spokenHead(scene, head) : "no head yet");
  }

  #at(x: number, y: number): Head | null {
    const layout = this.#layout;
    if (!layout) return null;
    const { size, caption } = layout;
    const place = layout.placed.find(
      (other) => x >= other.x - 2 && x < other.x + size + 2 && y >= other.y - 2 && y < other.y + size + caption + 2,
    );
    return place ? { layer: place.layer, head: place.head } : null;
  }

  #point(head: Head | null): void {
    const place = head && this.#layout?.placed.find((other) => sameHead(other, head));
    if (!head || !place || !this.#layout) {
      this.actions.pointHead(null);
      return;
    }
    const { left, top } = this.#plot.getBoundingClientRect();
    const { size } = this.#layout;
    const box = new DOMRect(left + place.x, top + place.y, size, size);
    this.actions.pointHead(head, box, this.#plot.getBoundingClientRect());
  }

  #key(event: KeyboardEvent): void {
    const [scene, layout] = [this.#scene, this.#layout];
    if (!scene || !layout || event.altKey || event.ctrlKey || event.metaKey) return;
    const head = this.#cursor ?? scene.shown ?? layout.placed[0];
    const at = Math.max(
      0,
      layout.placed.findIndex((other) => sameHead(other, head)),
    );
    // By layer the rows of the list go upwards, by score downwards.
    const down = layout.byScore ? layout.columns : -layout.columns;
    const steps: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: down, ArrowUp: -down };
    if (event.key in steps || event.key === "Home" || event.key === "End") {
      const last = layout.placed.length - 1;
      let to = event.key === "Home" ? 0 : event.key === "End" ? last : at + steps[event.key];
      if (to < 0 || to > last) to = at;
      this.#cursor = layout.placed[to];
      this.#point(this.#cursor);
    } else if (event.key === "Enter" || event.key === " ") this.actions.choose({ layer: head.layer, head: head.head });
    else if (event.key === "Escape") this.#point(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
