import type { WireValues } from "../protocol/common";
import { prepare } from "./canvas";
import { changeDetector, fill, h, setAttributes } from "./dom";
import { hasRightToLeft, runningToken, runningTokens } from "./labels";
import type { Shading } from "./shading";
import { breakLines, lineOf } from "./token_lines";
import css from "./token_strip.css";

/** The looks of strips, for the style sheet of a view that has one. */
export const stripCss = css;

/** A row of bars under the text: another number at each token. */
export interface StripRow {
  name: string;
  title: string;
  values: Float32Array;
  shading: Shading;
}

/** What a strip shows. Values are one a token, NaN where nothing has been read. */
export interface StripContent {
  labels: readonly string[];
  /** The first token of each document. */
  starts: readonly number[];
  values: Float32Array;
  shading: Shading;
  rows: readonly StripRow[];
  held: number | null;
  /** Tokens that stand out for another reason than their value. */
  marked?: ReadonlySet<number>;
  /** A token as a screen reader says it. */
  describe(token: number): string;
}

/** What a reader does with a strip. */
export interface StripHandlers {
  /** Points at a token with the pointer or the keyboard, or at none. */
  point(token: number | null): void;
  /** Chooses a token, or lets go of it. */
  hold(token: number | null): void;
}

const TEXT = 23;
const ROW = 13;
const BAR = 10;
const GAP = 9;
const PAD = 2;
const AHEAD = 3;
const CHARACTER = 7.9;
const OVERVIEW = 14;

/**
 * A text as tokens coloured by a number, of any length: only lines in sight are elements. It is one tab stop, in which
 * arrows move from token to token; "[" and "]" go to the next token that has a value.
 */
export class TokenStrip {
  readonly element: HTMLElement;
  readonly #scroller: HTMLElement;
  readonly #inner = h("div", { class: "iw-strip-inner", role: "none" });
  readonly #overview = h("canvas", { class: "iw-strip-overview", "aria-hidden": "true" });
  readonly #lines = new Map<number, HTMLElement>();
  readonly #widths = new Map<string, number>();
  readonly #looks = new WeakMap<HTMLElement, string>();
  readonly #newLayout = changeDetector();
  readonly #newFrame = changeDetector();
  #content: StripContent | null = null;
  #tokenWidths: number[] = [];
  #starts: Int32Array = Int32Array.of(0, 0);
  #gutter = 0;
  #width = 0;
  #height = 0;
  #frame = 0;
  #ink = "";
  #font = "";
  #cursor: number | null = null;
  #ghost: number | null = null;

  constructor(
    private readonly id: string,
    label: string,
    private readonly handlers: StripHandlers,
    signal: AbortSignal,
  ) {
    this.#scroller = h(
      "div",
      { class: "iw-strip", role: "listbox", "aria-label": label, tabindex: 0, "aria-orientation": "horizontal" },
      this.#inner,
    );
    this.element = h("div", { class: "iw-strip-box" }, this.#scroller, this.#overview);
    const listen = this.#scroller.addEventListener.bind(this.#scroller);
    listen("scroll", () => this.#later(), { signal, passive: true });
    listen("pointerover", (event) => this.#over(event), { signal });
    listen("pointerleave", () => this.handlers.point(null), { signal });
    listen("click", (event) => this.#click(event), { signal });
    listen("keydown", (event) => this.#key(event), { signal });
    listen("focus", () => this.#moveTo(this.#cursor ?? this.#content?.held ?? this.firstSeen, false), { signal });
    listen("blur", () => this.#showCursor(null), { signal });
    const jump = (event: PointerEvent) => {
      if (event.type === "pointermove" && event.buttons !== 1) return;
      const box = this.#overview.getBoundingClientRect();
      const share = (event.clientX - box.left) / Math.max(1, box.width);
      this.#scrollTo(share * (this.#content?.labels.length ?? 0));
    };
    this.#overview.addEventListener("pointerdown", jump, { signal });
    this.#overview.addEventListener("pointermove", jump, { signal });
    signal.addEventListener("abort", () => cancelAnimationFrame(this.#frame));
  }

  get #lineHeight(): number {
    const rows = this.#content?.rows.length ?? 0;
    return TEXT + (rows ? rows * ROW + 3 : 0) + GAP;
  }

  update(content: StripContent, width: number, mostHeight: number): void {
    const before = this.#content;
    this.#content = content;
    const digits = String(content.labels.length).length;
    this.#gutter = Math.max(digits * 7, content.rows.length ? 44 : 0) + 10;
    // Where a host has not yet put the view into the page, its font is not known, and comes with a later update.
    const { fontSize, fontFamily } = getComputedStyle(this.#scroller);
    const font = `${fontSize} ${fontFamily}`;
    if (font !== this.#font) this.#widths.clear();
    this.#font = font;
    if (this.#newLayout(content.labels, width, this.#gutter, font)) {
      const at = before && this.firstSeen;
      this.#layOut(width);
      if (at) this.#scrollTo(at);
    }
    if (before && before.rows.length !== content.rows.length) this.#clear();
    const whole = (this.#starts.length - 1) * this.#lineHeight;
    this.#height = Math.min(whole, Math.max(mostHeight, 3 * this.#lineHeight));
    // Only where they change: a direction that is set anew has every token laid out again, whichever it is.
    if (this.#newFrame(content.labels, whole, this.#height)) {
      this.#scroller.style.height = `${this.#height + 4}px`;
      this.#inner.style.height = `${whole}px`;
      this.#overview.hidden = whole <= this.#height;
      this.#scroller.dir = content.labels.slice(0, 400).some(hasRightToLeft) ? "rtl" : "ltr";
    }
    // Asked for here, where nothing has changed yet: while scrolling it would have all lines laid out twice.
    this.#ink = getComputedStyle(this.#overview).color;
    this.#render();
    for (const line of this.#lines.keys()) this.#paint(line);
  }

  /** Outlines a token that is pointed at elsewhere, or none; it is not brought into sight. */
  ghost(token: number | null): void {
    this.#ghost = token;
    for (const other of this.#inner.querySelectorAll(".iw-tok-ghost")) other.classList.remove("iw-tok-ghost");
    if (token !== null) this.#elementOf(token)?.classList.add("iw-tok-ghost");
  }

  /** Brings a token into sight. */
  reveal(token: number): void {
    const top = lineOf(this.#starts, token) * this.#lineHeight;
    const { scrollTop } = this.#scroller;
    if (top < scrollTop) this.#scroller.scrollTop = Math.max(0, top - this.#lineHeight);
    else if (top + this.#lineHeight > scrollTop + this.#height)
      this.#scroller.scrollTop = top + 2 * this.#lineHeight - this.#height;
    this.#render();
  }

  #elementOf(token: number): HTMLElement | null {
    return this.#inner.querySelector(`[data-token="${token}"]`);
  }

  /** The next token with a value in a direction, around the end; null if there is none. */
  #nextWithValue(from: number, step: 1 | -1): number | null {
    const values = this.#content?.values ?? new Float32Array();
    for (let n = 1; n <= values.length; n++) {
      const at = (from + step * n + 2 * values.length) % values.length;
      if (values[at] !== 0 && !Number.isNaN(values[at])) return at;
    }
    return null;
  }

  #layOut(width: number): void {
    const labels = this.#content?.labels ?? [];
    this.#width = Math.max(60, width - this.#gutter - 12);
    const measure = this.#measure();
    this.#tokenWidths = labels.map((label) => {
      let own = this.#widths.get(label);
      if (own === undefined) {
        own = Math.ceil(measure(label.replaceAll("␣", " "))) + 2 * PAD;
        this.#widths.set(label, own);
      }
      return Math.min(own, this.#width);
    });
    this.#starts = breakLines(labels, this.#tokenWidths, this.#width, new Set(this.#content?.starts));
    this.#clear();
  }

  #clear(): void {
    this.#lines.clear();
    fill(this.#inner);
  }

  #measure(): (text: string) => number {
    const context = document.createElement("canvas").getContext("2d");
    if (!context) return (text) => text.length * CHARACTER;
    context.font = this.#font;
    return (text) => context.measureText(text).width;
  }

  #later(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#render());
  }

  /** The first token of the first line that is wholly in sight. */
  get firstSeen(): number {
    return this.#starts[Math.min(this.#starts.length - 2, Math.ceil(this.#scroller.scrollTop / this.#lineHeight))] ?? 0;
  }

  #scrollTo(token: number): void {
    this.#scroller.scrollTop = lineOf(this.#starts, token) * this.#lineHeight;
    this.#render();
  }

  /** Makes the lines in sight, and a few around them; the line of the cursor stays, for it is referred to. */
  #render(): void {
    const { scrollTop } = this.#scroller;
    const count = this.#starts.length - 1;
    const first = Math.max(0, Math.floor(scrollTop / this.#lineHeight) - AHEAD);
    const last = Math.min(count - 1, Math.ceil((scrollTop + this.#height) / this.#lineHeight) + AHEAD);
    const wanted = new Set<number>();
    for (let line = first; line <= last; line++) wanted.add(line);
    if (this.#cursor !== null && count > 0) wanted.add(lineOf(this.#starts, this.#cursor));
    for (const [line, element] of this.#lines) {
      if (wanted.has(line)) continue;
      this.#lines.delete(line);
      element.remove();
    }
    // In the order of the text, which is the order in which they are read out; what is there stays where it is.
    const below = [...this.#lines.keys()].sort((a, b) => a - b);
    for (const line of [...wanted].sort((a, b) => a - b)) {
      while (below.length && below[0] <= line) below.shift();
      if (this.#lines.has(line)) continue;
      const element = this.#line(line);
      this.#inner.insertBefore(element, (below.length && this.#lines.get(below[0])) || null);
      this.#lines.set(line, element);
      this.#paint(line);
    }
    this.#drawOverview(scrollTop);
  }

  #line(line: number): HTMLElement {
    const content = this.#content as StripContent;
    const [from, to] = [this.#starts[line], this.#starts[line + 1]];
    const names = content.rows.map(({ name, title }, row) => {
      const label = h("span", { class: "iw-strip-name", title }, name);
      label.style.top = `${TEXT + row * ROW}px`;
      return label;
    });
    const { starts } = content;
    const document = lineOf([...starts, content.labels.length], from);
    const position = String(from - starts[document]);
    const gutter = h("span", { class: "iw-strip-gutter", "aria-hidden": "true" }, position, ...names);
    gutter.style.width = `${this.#gutter}px`;
    const tokens: Node[] = [];
    for (let token = from; token < to; token++) {
      const text = runningToken(content.labels[token], { class: "iw-strip-text" });
      const cut = this.#tokenWidths[token] >= this.#width;
      const element = h(
        "span",
        {
          class: `iw-tok${cut ? " iw-tok-cut" : ""}${token === this.#ghost ? " iw-tok-ghost" : ""}`,
          role: "option",
          id: `${this.id}-${token}`,
          "data-token": token,
          "aria-posinset": token + 1,
          "aria-setsize": content.labels.length,
        },
        text,
      );
      element.style.width = `${this.#tokenWidths[token]}px`;
      tokens.push(element);
    }
    const first = document > 0 && from === starts[document];
    const element = h(
      "div",
      { class: `iw-strip-line${first ? " iw-strip-first" : ""}`, role: "none" },
      gutter,
      ...tokens,
    );
    element.style.top = `${line * this.#lineHeight}px`;
    element.style.height = `${this.#lineHeight}px`;
    return element;
  }

  /** Gives the tokens of a line the look of what is shown now. */
  #paint(line: number): void {
    const { values, shading, rows, held, marked } = this.#content as StripContent;
    for (const element of this.#lines.get(line)?.children ?? []) {
      if (!(element instanceof HTMLElement) || element.dataset.token === undefined) continue;
      const token = Number(element.dataset.token);
      const text = element.firstElementChild as HTMLElement;
      const value = values[token];
      const shade = shading.of(value);
      const bars = rows.length ? barsOf(rows, token) : "";
      const states = [token === held, marked?.has(token) ?? false, Number.isNaN(value), shading.beyond(value)];
      // Most tokens stay as they are while a pointer moves, and each change of a style costs.
      const look = [shade?.color, bars, ...states].join();
      if (this.#looks.get(element) === look) continue;
      this.#looks.set(element, look);
      text.style.background = shade?.color ?? "";
      text.style.color = shade?.ink ?? "";
      element.classList.toggle("iw-tok-unread", Number.isNaN(value));
      element.classList.toggle("iw-tok-beyond", shading.beyond(value));
      element.classList.toggle("iw-tok-marked", marked?.has(token) ?? false);
      setAttributes(element, { "aria-selected": String(token === held) });
      element.style.background = bars;
    }
  }

  #drawOverview(scrollTop: number): void {
    if (this.#overview.hidden || !this.#content) return;
    const { values, shading } = this.#content;
    const width = this.#gutter + this.#width;
    const context = prepare(this.#overview, width, OVERVIEW);
    if (!context) return;
    drawBars(context, values, shading, { x: 0, y: 1, width, height: OVERVIEW - 2 });
    const seen = [0, this.#height].map((offset) => {
      const line = Math.min(this.#starts.length - 1, Math.round((scrollTop + offset) / this.#lineHeight));
      return (this.#starts[line] / Math.max(1, values.length)) * width;
    });
    context.strokeStyle = this.#ink;
    context.strokeRect(seen[0] + 0.5, 0.5, Math.max(3, seen[1] - seen[0] - 1), OVERVIEW - 1);
  }

  #tokenAt(event: Event): number | null {
    const element = (event.target as Element).closest<HTMLElement>("[data-token]");
    return element ? Number(element.dataset.token) : null;
  }

  #over(event: PointerEvent): void {
    const token = this.#tokenAt(event);
    if (token !== null) this.handlers.point(token);
  }

  #click(event: MouseEvent): void {
    const token = this.#tokenAt(event);
    if (token === null || getSelection()?.isCollapsed === false) return;
    this.#cursor = token;
    this.#showCursor(token);
    this.handlers.hold(token === this.#content?.held ? null : token);
  }

  #key(event: KeyboardEvent): void {
    const count = this.#content?.labels.length ?? 0;
    if (count === 0 || event.altKey || event.metaKey) return;
    const at = this.#cursor ?? this.firstSeen;
    if (event.key === "Enter" || event.key === " ") this.handlers.hold(at === this.#content?.held ? null : at);
    else if (event.key === "Escape") this.handlers.hold(null);
    else {
      const to = this.#target(event.key, event.ctrlKey, at);
      if (to === null) return;
      this.#moveTo(Math.max(0, Math.min(count - 1, to)), true);
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #target(key: string, withControl: boolean, at: number): number | null {
    const last = this.#tokenWidths.length - 1;
    const line = lineOf(this.#starts, at);
    const page = Math.max(1, Math.floor(this.#height / this.#lineHeight) - 1);
    const forward = this.#scroller.dir === "rtl" ? -1 : 1;
    switch (key) {
      case "ArrowRight":
        return at + forward;
      case "ArrowLeft":
        return at - forward;
      case "ArrowDown":
        return this.#below(at, line + 1);
      case "ArrowUp":
        return this.#below(at, line - 1);
      case "PageDown":
        return this.#below(at, Math.min(this.#starts.length - 2, line + page));
      case "PageUp":
        return this.#below(at, Math.max(0, line - page));
      case "Home":
        return withControl ? 0 : this.#starts[line];
      case "End":
        return withControl ? last : this.#starts[line + 1] - 1;
      case "]":
        return this.#nextWithValue(at, 1);
      case "[":
        return this.#nextWithValue(at, -1);
      default:
        return null;
    }
  }

  /** The token of another line that is nearest below or above one. */
  #below(token: number, line: number): number {
    if (line < 0 || line > this.#starts.length - 2) return token;
    const middle = (at: number) => {
      let x = this.#tokenWidths[at] / 2;
      for (let before = this.#starts[lineOf(this.#starts, at)]; before < at; before++) x += this.#tokenWidths[before];
      return x;
    };
    const wanted = middle(token);
    let best = this.#starts[line];
    for (let at = best; at < this.#starts[line + 1]; at++)
      if (Math.abs(middle(at) - wanted) < Math.abs(middle(best) - wanted)) best = at;
    return best;
  }

  #moveTo(token: number, tell: boolean): void {
    if (!this.#content || token >= this.#content.labels.length) return;
    this.#cursor = token;
    this.reveal(token);
    this.#showCursor(token);
    if (tell) this.handlers.point(token);
  }

  #showCursor(token: number | null): void {
    for (const other of this.#inner.querySelectorAll(".iw-tok-cursor")) {
      other.classList.remove("iw-tok-cursor");
      other.removeAttribute("aria-label");
    }
    const element = token === null ? null : this.#elementOf(token);
    setAttributes(this.#scroller, { "aria-activedescendant": element?.id });
    if (!element || token === null) return;
    element.classList.add("iw-tok-cursor");
    element.setAttribute("aria-label", this.#content?.describe(token) ?? "");
  }
}

/** A bar for each row as a layer of a token's background, which stays aligned with it and adds no elements. */
function barsOf(rows: readonly StripRow[], token: number): string {
  const layers: string[] = [];
  rows.forEach(({ values, shading }, row) => {
    const shade = shading.of(values[token]);
    const foot = TEXT + (row + 1) * ROW;
    if (shade) {
      const height = Math.max(2, Math.round(shading.share(values[token]) * BAR));
      layers.push(
        `linear-gradient(${shade.color},${shade.color}) 1px ${foot - height}px/calc(100% - 2px) ${height}px no-repeat`,
      );
    }
    const base = Number.isNaN(values[token]) ? "var(--_faint)" : "var(--_line)";
    layers.push(`linear-gradient(${base},${base}) 0 ${foot}px/100% 1px no-repeat`);
  });
  return layers.join(",");
}

/** Draws values as bars in a small space, the strongest of those that share a pixel. */
export function drawBars(
  context: CanvasRenderingContext2D,
  values: Float32Array,
  shading: Shading,
  box: { x: number; y: number; width: number; height: number },
): void {
  const step = box.width / Math.max(1, values.length);
  const pixels = Math.max(1, Math.round(box.width));
  const pooled = new Float32Array(Math.min(pixels, values.length));
  for (let at = 0; at < values.length; at++) {
    const slot = step >= 1 ? at : Math.min(pooled.length - 1, Math.floor(at * step));
    if (Math.abs(values[at]) > Math.abs(pooled[slot])) pooled[slot] = values[at];
  }
  const wide = box.width / Math.max(1, pooled.length);
  pooled.forEach((value, at) => {
    const shade = shading.of(value);
    if (!shade) return;
    const height = Math.max(2, shading.share(value) * box.height);
    context.fillStyle = shade.color;
    context.fillRect(box.x + at * wide, box.y + box.height - height, Math.max(1, wide - (wide > 3 ? 1 : 0)), height);
  });
}

/** A short stretch of text in one piece, coloured, with its strongest token set off. */
export function shortStrip({ labels, values, peak }: WireValues, shading: Shading): HTMLElement {
  const tokens = runningTokens(labels, (at) => ({ class: at === peak ? "iw-short-peak" : "" }));
  tokens.forEach((token, at) => {
    const shade = shading.of(values[at]);
    if (!shade) return;
    token.style.background = shade.color;
    token.style.color = shade.ink;
  });
  return h("span", { class: "iw-short", dir: "auto" }, ...tokens);
}
