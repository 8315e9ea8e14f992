import { changeDetector, fill, h } from "../../core/dom";
import { colorsOf, fillKeys, key, scaleBar } from "../../core/legend";
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
    const chance = spec.chance[measure];
    const low = measure === 0 ? "majority class" : "chance";
    fill(
      this.#scale,
      h("span", { class: "iw-end" }, low),
      scaleBar(colorsOf(palette, false), [formatShare(chance), "", "1"]),
      h("span", { class: "iw-end" }, "all right"),
    );
    const keys: HTMLElement[] = [];
    const { rows, columns } = data.size;
    const cells = Array.from({ length: rows * columns }, (_, at) => ({
      row: Math.floor(at / columns),
      column: at % columns,
    }));
    if (cells.some((cell) => data.figures(measure, kind, cell).value < chance - 0.005))
      keys.push(key("below", `below ${low}`, palette.scale.css[Math.round(DivergingScale.HALF / 2)]));
    if (spec.columns.some(({ untested }) => untested)) keys.push(key("dot", "not tested"));
    if (cells.some((cell) => !spec.columns[cell.column].untested && !data.isComputed(cell)))
      keys.push(key("pending", job.state === "running" ? "still to come" : "not computed"));
    fillKeys(this.#keys, keys);
  }
}
