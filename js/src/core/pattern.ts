import { prepare } from "./canvas";
import { changeDetector, fill, h, setAttributes } from "./dom";
import css from "./pattern.css";
import { labelRoom, type PatternBox, paintAxes, paintNumbers } from "./pattern_paint";
import type { PatternSource } from "./pattern_source";
import { type Fonts, fontsOf } from "./picture";
import { listen } from "./pointer";
import { SquareView } from "./square_view";
import type { Palette } from "./theme";

/** The looks of a pattern, for the style sheet of a view that has one. */
export const patternCss = css;

/** A place in a pattern: the token that looks, and the one that it looks at; null for all of them. */
export interface PatternPlace {
  query: number | null;
  key: number | null;
}

/** What is shown of one head. */
export interface PatternContent {
  source: PatternSource;
  /** Tokens along both axes. */
  labels: readonly string[];
  palette: Palette;
  /** Where the colours end. */
  limit: number;
  /** Room in pixels for the square with its labels. */
  width: number;
  /** What the reader points at, here or in the text beside it. */
  spot: PatternPlace | null;
  /** The query that was chosen. */
  held: number | null;
  /** What somebody points at in another view. */
  ghost: PatternPlace | null;
  /** What this is, for those who listen. */
  label: string;
  /** A cell as a screen reader says it. */
  describe(query: number, key: number): string;
}

/** What a reader does with a pattern. */
export interface PatternHandlers {
  /** Points at a cell with the pointer or the keyboard, or at none. */
  point(spot: { query: number; key: number } | null): void;
  /** Chooses a query, or lets go of it. */
  hold(query: number | null): void;
}

const EDGE = 7;
const STEP = 1.6;

/**
 * One head's pattern: queries downwards, keys to the right, with a crosshair where the reader points. It is one tab stop, in
 * which arrows move from cell to cell, Enter holds the query, plus and minus zoom.
 */
export class Pattern {
  readonly element: HTMLElement;
  readonly #numbers = h("canvas", { class: "iw-pattern-numbers", "aria-hidden": "true" });
  readonly #overlay = h("canvas", { class: "iw-pattern-overlay", "aria-hidden": "true" });
  readonly #cell: HTMLElement;
  readonly #view = new SquareView();
  readonly #changed = changeDetector();
  readonly #relabelled = changeDetector();
  #content: PatternContent | null = null;
  #box: PatternBox = { x: 0, y: 0, side: 100 };
  #below = 0;
  #fonts: Fonts = { sans: "sans-serif", mono: "monospace" };
  /** Where the keyboard is. */
  #cursor: { query: number; key: number } | null = null;
  #moved = 0;

  constructor(
    id: string,
    private readonly handlers: PatternHandlers,
    signal: AbortSignal,
  ) {
    this.#cell = h("div", { role: "gridcell", id: `${id}-cell` });
    this.element = h(
      "div",
      { class: "iw-pattern", role: "grid", tabindex: 0, "aria-activedescendant": this.#cell.id },
      this.#numbers,
      this.#overlay,
      h("div", { role: "row", class: "iw-hidden" }, this.#cell),
    );
    listen(
      this.element,
      {
        hover: (x, y) => this.handlers.point(this.#at(x, y)),
        leave: () => this.handlers.point(null),
        click: (x, y) => {
          const at = this.#at(x, y);
          if (!at) return;
          this.#cursor = at;
          this.handlers.hold(at.query === this.#content?.held ? null : at.query);
        },
        drag: (dx, dy) => this.#moves(() => this.#view.panBy(dx, dy)),
        zoom: (factor, x, y) => {
          this.#moves(() => this.#view.zoomBy(factor, x - this.#box.x, y - this.#box.y));
        },
        reset: () => this.#moves(() => this.#view.reset()),
      },
      signal,
    );
    this.element.addEventListener("keydown", (event) => this.#key(event), { signal });
    this.element.addEventListener("blur", () => this.handlers.point(null), { signal });
  }

  /** Pixels of the square with its labels. */
  get width(): number {
    return this.#box.x + this.#box.side + EDGE;
  }

  update(content: PatternContent): void {
    this.#content = content;
    const { source, labels, palette, limit, width, label } = content;
    if (this.#relabelled(labels, width)) this.#measure();
    this.#view.resize(source.across, this.#box.side);
    setAttributes(this.element, {
      "aria-label": label,
      "aria-rowcount": labels.length,
      "aria-colcount": labels.length,
    });
    if (this.#changed(source, labels, palette, limit, width, this.#moved, devicePixelRatio)) this.#draw();
    this.#drawOverlay();
    this.#speak();
  }

  /** Draws again, now that tiles have come which were not here. */
  refresh(): void {
    if (this.#content) this.#draw();
  }

  #measure(): void {
    const { labels, width } = this.#content as PatternContent;
    this.#fonts = fontsOf(this.element);
    const context = document.createElement("canvas").getContext("2d");
    if (context) context.font = `bold 11px ${this.#fonts.mono}`;
    const room = labelRoom(labels.slice(0, 400), (text) => context?.measureText(text).width ?? 7 * text.length);
    const side = Math.max(80, Math.floor(width - room.left - EDGE));
    this.#box = { x: room.left, y: EDGE, side };
    this.#below = room.below;
    const height = EDGE + side + room.below;
    Object.assign(this.element.style, { width: `${this.width}px`, height: `${height}px` });
  }

  #draw(): void {
    const { source, palette, limit } = this.#content as PatternContent;
    const context = prepare(this.#numbers, this.width, EDGE + this.#box.side + this.#below);
    const { cell, left, top } = this.#view;
    // Where things are, for those who look for them from outside.
    Object.assign(this.#numbers.dataset, {
      x0: String(this.#box.x - left * cell),
      y0: String(this.#box.y - top * cell),
      cell: String(cell / source.block),
    });
    if (context) paintNumbers(context, source, { palette, limit }, this.#view, this.#box, devicePixelRatio || 1);
  }

  /** Draws what changes as the reader moves: the crosshair and the names of its tokens. */
  #drawOverlay(): void {
    const { source, labels, palette, spot, held, ghost } = this.#content as PatternContent;
    const context = prepare(this.#overlay, this.width, EDGE + this.#box.side + this.#below);
    if (!context) return;
    const query = spot?.query ?? held;
    const key = spot?.key ?? null;
    paintAxes(
      context,
      labels,
      source.block,
      this.#view,
      this.#box,
      { palette, fonts: this.#fonts },
      {
        query,
        key,
      },
    );
    const { x, y, side } = this.#box;
    context.save();
    context.beginPath();
    context.rect(x - EDGE, y - EDGE, side + 2 * EDGE, side + 2 * EDGE);
    context.clip();
    if (ghost) this.#cross(context, ghost, palette.corrupt, [4, 3]);
    this.#cross(context, { query: held, key: null }, palette.fg, []);
    if (spot) this.#cross(context, spot, palette.muted, []);
    if (spot && spot.query !== null && spot.key !== null) {
      const [row, column] = [this.#place(spot.query, this.#view.top), this.#place(spot.key, this.#view.left)];
      const size = Math.max(4, this.#view.cell);
      this.#rect(context, x + column, y + row, size, size, palette.fg, []);
    }
    context.restore();
  }

  /** Outlines a row and a column. */
  #cross(context: CanvasRenderingContext2D, { query, key }: PatternPlace, color: string, dash: number[]): void {
    const { x, y, side } = this.#box;
    const thick = Math.max(3, this.#view.cell);
    if (query !== null) this.#rect(context, x, y + this.#place(query, this.#view.top), side, thick, color, dash);
    if (key !== null) this.#rect(context, x + this.#place(key, this.#view.left), y, thick, side, color, dash);
  }

  #rect(
    context: CanvasRenderingContext2D,
    x: number,
    y: number,
    width: number,
    height: number,
    color: string,
    dash: number[],
  ): void {
    context.setLineDash(dash);
    context.strokeStyle = color;
    context.lineWidth = 1.5;
    context.strokeRect(x - 0.25, y - 0.25, width + 0.5, height + 0.5);
  }

  /** Where a token's row or column starts, from the edge of the square. */
  #place(token: number, first: number): number {
    const block = this.#content?.source.block ?? 1;
    return (Math.floor(token / block) - first) * this.#view.cell;
  }

  #at(x: number, y: number): { query: number; key: number } | null {
    const content = this.#content;
    const { side } = this.#box;
    const [right, down] = [x - this.#box.x, y - this.#box.y];
    if (!content || right < 0 || down < 0 || right >= side || down >= side) return null;
    const { source, labels } = content;
    // Of tokens that share a number the first one stands for all.
    const token = (distance: number, first: number) =>
      Math.min(labels.length - 1, Math.floor(first + distance / this.#view.cell) * source.block);
    return { query: token(down, this.#view.top), key: token(right, this.#view.left) };
  }

  #moves(move: () => unknown): boolean {
    const before = [this.#view.zoom, this.#view.left, this.#view.top].join();
    move();
    const moved = [this.#view.zoom, this.#view.left, this.#view.top].join() !== before;
    if (moved && this.#content) {
      this.#moved++;
      this.update(this.#content);
    }
    return moved;
  }

  #key(event: KeyboardEvent): void {
    const content = this.#content;
    if (!content || event.altKey || event.ctrlKey || event.metaKey) return;
    const last = content.labels.length - 1;
    const { block } = content.source;
    const from = this.#cursor ?? { query: content.held ?? last, key: content.held ?? last };
    const at = { query: Math.min(last, from.query), key: Math.min(last, from.key) };
    const page = block * Math.max(2, Math.round((last + 1) / block / 8));
    const moves: Record<string, [number, number]> = {
      ArrowUp: [-block, 0],
      ArrowDown: [block, 0],
      ArrowLeft: [0, -block],
      ArrowRight: [0, block],
      PageUp: [-page, 0],
      PageDown: [page, 0],
      Home: [0, -last],
      End: [0, last],
    };
    if (event.key in moves) {
      const [down, right] = moves[event.key];
      const within = (token: number) => Math.max(0, Math.min(last, token));
      // The first arrow shows where one is, and does not leave from there yet.
      const to = this.#cursor ? { query: within(at.query + down), key: within(at.key + right) } : at;
      this.#cursor = to;
      this.#moves(() => this.#view.reveal(Math.floor(to.query / block), Math.floor(to.key / block)));
      this.handlers.point(to);
    } else if (event.key === "Enter" || event.key === " ") {
      this.handlers.hold(at.query === content.held ? null : at.query);
    } else if (event.key === "Escape") {
      this.handlers.point(null);
      this.handlers.hold(null);
    } else if (event.key === "+" || event.key === "=" || event.key === "-") {
      const [row, column] = [at.query, at.key].map((token) => Math.floor(token / block));
      this.#moves(() => {
        this.#view.zoomBy(event.key === "-" ? 1 / STEP : STEP);
        if (this.#cursor) this.#view.reveal(row, column);
      });
    } else if (event.key === "0") this.#moves(() => this.#view.reset());
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #speak(): void {
    const { spot, held, describe } = this.#content as PatternContent;
    const there = spot && spot.query !== null && spot.key !== null;
    setAttributes(this.#cell, {
      "aria-rowindex": there ? (spot.query as number) + 1 : null,
      "aria-colindex": there ? (spot.key as number) + 1 : null,
      "aria-selected": there ? String(spot.query === held) : null,
    });
    fill(this.#cell, there ? describe(spot.query as number, spot.key as number) : "no cell yet, use the arrow keys");
  }
}
