import { changeDetector, fill, h } from "../../core/dom";
import { formatCount } from "../../core/format";
import { runningTokens } from "../../core/labels";
import { cssOf } from "./colors";
import type { Actions, Scene } from "./scene";
import { breakdown, spoken } from "./words";

const MOST = 60;

/** The selected points with the text around each; without any, how to select. */
export class Selection {
  readonly element = h("section", { class: "iw-selection", "aria-label": "selected points" });
  #changed = changeDetector();

  constructor(private readonly actions: Actions) {}

  update(scene: Scene): void {
    const { selected, coloring, data, palette } = scene;
    if (!this.#changed(selected, coloring, data, palette)) return;
    if (selected.length === 0) {
      const how = "Click a point, or drag a line around some with lasso, box, or Shift. In Python: view.selected.";
      fill(this.element, h("p", { class: "iw-quiet" }, how));
      return;
    }
    const clear = h("button", { type: "button" }, "clear");
    clear.addEventListener("click", () => this.actions.select([]));
    const list = h(
      "ul",
      { tabindex: 0, "aria-label": "selected points in their texts" },
      ...selected.slice(0, MOST).map((point) => this.#item(scene, point)),
      selected.length > MOST &&
        h("li", { class: "iw-quiet" }, `… and ${(selected.length - MOST).toLocaleString("en-US")} more`),
    );
    fill(
      this.element,
      h(
        "div",
        { class: "iw-selection-head" },
        h("strong", {}, `${formatCount(selected.length, "point")} selected`),
        clear,
      ),
      h("div", { class: "iw-quiet" }, breakdown(scene)),
      list,
    );
  }

  #item({ data, coloring }: Scene, point: number): HTMLElement {
    const dot = h("i", { class: "iw-dot", "aria-hidden": "true" });
    dot.style.background = cssOf(coloring, point);
    const { labels, at, cut } = data.around(point, 7, 3);
    const text = runningTokens(labels, (n): Record<string, string> => (n === at ? { class: "iw-here" } : {}));
    const button = h(
      "button",
      { type: "button", class: "iw-item", title: spoken(data, point) },
      dot,
      h("span", {}, cut ? "…" : "", ...text),
    );
    button.addEventListener("pointerenter", () => this.actions.point(point));
    button.addEventListener("focus", () => this.actions.point(point));
    button.addEventListener("click", () => this.actions.point(point));
    return h("li", {}, button);
  }
}
