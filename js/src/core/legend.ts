import { fill, h } from "./dom";
import { DivergingScale } from "./scales";
import type { Palette } from "./theme";

/** The colours from −limit to +limit, or from 0 to the limit. */
export function colorsOf({ scale }: Pick<Palette, "scale">, signed: boolean): string[] {
  return signed ? scale.css : scale.css.slice(DivergingScale.HALF);
}

/** Colours in a row, from the low end to the high one. */
export function ramp(colors: readonly string[]): HTMLElement {
  const bar = h("div", { class: "iw-ramp", "aria-hidden": "true" });
  // A gradient through a few of many colours looks as one through all.
  const step = Math.max(1, Math.floor(colors.length / 16));
  const shown = colors.filter((_, n) => n % step === 0 || n === colors.length - 1);
  bar.style.background = `linear-gradient(to right, ${shown.join(", ")})`;
  return bar;
}

/** A ramp with its numbers below: at both ends, and in the middle where there is one. */
export function scaleBar(colors: readonly string[], ticks: readonly [string, string, string]): HTMLElement {
  const numbers = h("div", { class: "iw-ticks" }, ...ticks.map((text) => h("span", {}, text)));
  return h("div", { class: "iw-rampbox" }, ramp(colors), numbers);
}

/** Numbers below a ramp that ends at a limit. */
export function ticksTo(limit: string, signed: boolean): [string, string, string] {
  return signed ? [`−${limit}`, "0", `+${limit}`] : ["0", "", limit];
}

/** A swatch and what it means. `color` is for swatches that have none from the style sheet. */
export function key(kind: string, text: string, color = ""): HTMLElement {
  const swatch = h("i", { class: `iw-swatch iw-swatch-${kind}`, "aria-hidden": "true" });
  if (color) swatch.style.background = color;
  return h("span", { class: "iw-key" }, swatch, text);
}

/** What a legend lists; it takes no room where there is nothing to list. */
export function fillKeys(element: HTMLElement, keys: readonly Node[]): void {
  element.hidden = keys.length === 0;
  fill(element, ...keys);
}
