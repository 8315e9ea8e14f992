import { changeDetector, fill, h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import type { Scene } from "./scene";
import { percent, shareOfDimension } from "./words";

const MOST_ROWS = 800;
const HEAD = ["on", "feature", "importance", "length", "dimensionality", "interference", "bias", "shape"];

/** The features of all models that are shown as a table; where that would be too long, of the large one. */
export class TableView {
  readonly element = h("div", {
    class: "iw-tables",
    hidden: true,
    tabindex: 0,
    role: "region",
    "aria-label": "features as a table",
  });
  #changed = changeDetector();

  update(scene: Scene): void {
    if (this.element.hidden) return;
    const { toys, level, pinned } = scene;
    if (!this.#changed(toys, level, pinned)) return;
    const all = toys.levels * toys.features <= MOST_ROWS;
    const levels = all ? [...Array(toys.levels).keys()] : [level];
    const rows = levels.flatMap((at) => Array.from({ length: toys.features }, (_, feature) => row(scene, at, feature)));
    const which = all ? "Features of every model." : "Features of the model that is shown large. CSV has all models.";
    fill(
      this.element,
      h(
        "table",
        { class: "iw-table" },
        h("caption", {}, `${which} Interference is what others put on a feature’s direction.`),
        h("thead", {}, h("tr", {}, ...HEAD.map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, ...rows),
      ),
    );
  }
}

function row({ toys, spec, level, pinned }: Scene, at: number, feature: number): HTMLElement {
  const { norm, dimensionality, interference, bias } = toys.facts(at, feature);
  const values = [
    String(feature),
    formatNumber(spec.importance[feature]),
    norm.toFixed(2),
    shareOfDimension(spec, dimensionality),
    interference.toFixed(2),
    formatNumber(bias, { plus: true }),
    toys.shapeOf(at, feature)?.name ?? "not kept",
  ];
  return h(
    "tr",
    { "aria-current": at === level && feature === pinned && "true" },
    h("th", { scope: "row" }, percent(spec.probabilities[at])),
    ...values.map((value) => h("td", {}, value)),
  );
}
