import type { Theme } from "../protocol/common";
import { fill, h } from "./dom";
import own from "./frame.css";
import parts from "./parts.css";
import readout from "./readout.css";
import { applyPalette, hostTheme, type Palette, palettes, watchHostTheme } from "./theme";
import tooltip from "./tooltip.css";

/** The looks of every view. */
export const frameCss = own + parts + readout + tooltip;

const FALLBACK_WIDTH = 760;
// Without it JupyterLab takes keys typed here as commands: "d d" would delete the cell.
const KEEPS_KEYS = "data-lm-suppress-shortcuts";

export type Size = "narrow" | "middle" | "wide";

/** How a view looks at one moment. */
export interface Look {
  palette: Palette;
  theme: Theme;
  size: Size;
  /** Width of the content in CSS pixels. */
  width: number;
}

/** The root of a view: its style sheets, its theme and size, the keys it keeps, and what it says to those who listen. */
export class Frame {
  readonly element: HTMLElement;
  readonly #live = h("div", { class: "iw-hidden", "aria-live": "polite" });
  #look: Look | null = null;

  constructor(label: string, ownCss: string, ...parts: HTMLElement[]) {
    this.element = h(
      "div",
      { class: "iw-view", role: "group", "aria-label": label, [KEEPS_KEYS]: "true" },
      h("style", {}, frameCss, ownCss),
      ...parts,
      this.#live,
    );
  }

  /** Calls `changed` when the host's theme or the room changes, until the signal says stop. */
  watch(changed: () => void, signal: AbortSignal): void {
    // JupyterLab's commands match the focused element first, so the attribute of an element around it comes too late.
    this.element.addEventListener("focusin", ({ target }) => (target as Element).setAttribute(KEEPS_KEYS, "true"));
    const unwatch = watchHostTheme(changed);
    const sizes = new ResizeObserver(changed);
    sizes.observe(this.element);
    signal.addEventListener("abort", () => {
      unwatch();
      sizes.disconnect();
    });
  }

  /** Takes on the host's theme and size, and tells what they are. */
  look(theme: Theme): Look {
    const palette = palettes[theme === "auto" ? hostTheme(this.element) : theme];
    if (this.#look?.palette !== palette || this.#look.theme !== theme) applyPalette(this.element, palette, theme);
    // By the outer width, which the padding that a size brings does not change.
    const outer = this.element.offsetWidth || FALLBACK_WIDTH;
    const size = outer < 600 ? "narrow" : outer < 940 ? "middle" : "wide";
    this.element.dataset.size = size;
    const style = getComputedStyle(this.element);
    const inner =
      this.element.clientWidth - Number.parseFloat(style.paddingLeft) - Number.parseFloat(style.paddingRight);
    this.#look = { palette, theme, size, width: inner > 0 ? inner : FALLBACK_WIDTH };
    return this.#look;
  }

  say(text: string): void {
    fill(this.#live, text);
  }
}
