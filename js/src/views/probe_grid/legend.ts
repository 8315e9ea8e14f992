import { changeDetector, fill, h } from "../../core/dom";
import { DivergingScale } from "../../core/scales";
import type { Scene } from "./scene";
import { formatShare } from "./words";

/** What the colours mean, and which marks occur. */
export class Legend {
  readonly element: HTMLElement;
  readonly #changed = changeDetector();
  readonly #scale = h("div", { class: "iw-scale" });
  readonly #keys = h("div", { class: "iw-keys" });

  constructor() {
    this.element = h("div", { class: "iw-legend" }, this.#scale, this.#keys);
  }

  update({ spec, data, kind, measure, palette, job }: Scene): void {
    if (!this.#changed(spec, data, kind, measure, palette, job.state)) return;
    const ramp = h("div", { class: "iw-ramp" });
    const colors = palette.scale.css.slice(DivergingScale.HALF).filter((_, n) => n % 16 === 0);
    ramp.style.background = `linear-gradient(to right, ${colors.join(", ")})`;
    const chance = spec.chance[measure];
    const ticks = [formatShare(chance), "", "1"].map((text) => h("span", {}, text));
    const low = measure === 0 ? "majority class" : "chance";
    fill(
      this.#scale,
      h("span", { class: "iw-end" }, low),
      h("div", { class: "iw-rampbox" }, ramp, h("div", { class: "iw-ticks" }, ...ticks)),
      h("span", { class: "iw-end" }, "all right"),
    );
    const keys: HTMLElement[] = [];
    const key = (name: string, text: string, color = "") => {
      const swatch = h("i", { class: `iw-swatch iw-swatch-${name}`, "aria-hidden": "true" });
      if (color) swatch.style.background = color;
      keys.push(h("span", { class: "iw-key" }, swatch, text));
    };
    const { rows, columns } = data.size;
    const cells = Array.from({ length: rows * columns }, (_, at) => ({
      row: Math.floor(at / columns),
      column: at % columns,
    }));
    if (cells.some((cell) => data.figures(measure, kind, cell).value < chance - 0.005))
      key("below", `below ${low}`, palette.scale.css[Math.round(DivergingScale.HALF / 2)]);
    if (spec.columns.some(({ untested }) => untested)) key("dot", "not tested");
    if (cells.some((cell) => !spec.columns[cell.column].untested && !data.isComputed(cell)))
      key("pending", job.state === "running" ? "still to come" : "not computed");
    this.#keys.hidden = keys.length === 0;
    fill(this.#keys, ...keys);
  }
}
