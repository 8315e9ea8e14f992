import { changeDetector, fill, h, setAttributes } from "../../core/dom";
import { Segmented } from "../../core/segmented";
import type { ColorBy } from "../../protocol/residual_map";
import { colorings } from "./colors";
import type { Actions, Scene, Tool } from "./scene";

const TOOLS: { value: Tool; text: string; title: string }[] = [
  { value: "move", text: "move", title: "dragging moves; with Shift it draws a lasso (m)" },
  { value: "lasso", text: "lasso", title: "dragging draws a line around points; Shift adds (l)" },
  { value: "box", text: "box", title: "dragging draws a box around points; Shift adds (b)" },
];

/** What colours say, what dragging does, which axes are drawn, and whether layers are turned onto each other. */
export class Controls {
  readonly element: HTMLElement;
  readonly #color: Segmented<ColorBy>;
  readonly #tool: Segmented<Tool>;
  readonly #align = h("button", { type: "button", role: "switch" }, "steady axes");
  readonly #scale = h("button", { type: "button", role: "switch" }, "one scale");
  readonly #across = h("select", { "aria-label": "axis across" });
  readonly #up = h("select", { "aria-label": "axis up" });
  readonly #axes: HTMLElement;
  readonly #layers: HTMLElement;
  #scene: Scene | null = null;
  #changed = changeDetector();

  constructor(actions: Actions) {
    this.#color = new Segmented("colour by", actions.setColorBy);
    this.#tool = new Segmented("dragging", actions.setTool);
    this.#align.title = "turn each layer onto the one before (orthogonal Procrustes): points move, axes do not";
    this.#scale.title = "draw all layers to one scale, so that growth is seen; else each fills the plot";
    this.#align.addEventListener("click", () => actions.setAlign(!this.#scene?.align));
    this.#scale.addEventListener("click", () => actions.setOneScale(!this.#scene?.oneScale));
    for (const select of [this.#across, this.#up]) {
      select.addEventListener("change", () => {
        const [across, up] = [Number(this.#across.value), Number(this.#up.value)];
        const before = this.#scene?.axes ?? [0, 1];
        // Where both would be the same, they change places.
        actions.setAxes(across === up ? [before[1], before[0]] : [across, up]);
      });
    }
    const part = (name: string, ...inside: HTMLElement[]) =>
      h("div", { class: "iw-control" }, h("span", { class: "iw-quiet", "aria-hidden": "true" }, name), ...inside);
    this.#axes = part("axes", this.#across, this.#up);
    this.#layers = part("layers", this.#align, this.#scale);
    this.element = h(
      "div",
      { class: "iw-controls" },
      part("colour", this.#color.element),
      part("drag", this.#tool.element),
      this.#layers,
      this.#axes,
    );
  }

  update(scene: Scene): void {
    this.#scene = scene;
    const { spec, data, align, oneScale, axes } = scene;
    this.#color.update(colorings(data), scene.coloring.by);
    this.#tool.update(TOOLS, scene.tool);
    this.#layers.hidden = spec.layers.length < 2;
    this.#align.hidden = spec.n_given > 0;
    setAttributes(this.#align, { "aria-checked": String(align) });
    setAttributes(this.#scale, { "aria-checked": String(oneScale) });
    this.#axes.hidden = spec.axes.length < 3;
    if (this.#changed(spec, axes.join())) {
      for (const [select, chosen] of [
        [this.#across, axes[0]],
        [this.#up, axes[1]],
      ] as const)
        fill(select, ...spec.axes.map((name, n) => h("option", { value: n, selected: n === chosen }, name)));
    }
  }
}
