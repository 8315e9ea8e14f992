import { changeDetector, fill, h } from "../../core/dom";
import { formatCount, formatPercent } from "../../core/format";
import { tokenElement } from "../../core/labels";
import { scaleBar } from "../../core/legend";
import type { Actions, Scene } from "./scene";
import { explainedIn, formatShare } from "./words";

const SHAPES = [
  "circle(44%)",
  "inset(10%)",
  "polygon(50% 8%, 96% 90%, 4% 90%)",
  "polygon(50% 0, 100% 50%, 50% 100%, 0 50%)",
  "polygon(50% 92%, 96% 10%, 4% 10%)",
  "polygon(34% 4%, 66% 4%, 66% 34%, 96% 34%, 96% 66%, 66% 66%, 66% 96%, 34% 96%, 34% 66%, 4% 66%, 4% 34%, 34% 34%)",
  "",
];

/** What colours mean, with a way to hide kinds; and how much of the layer the axes show. */
export class Legend {
  readonly element: HTMLElement;
  readonly #kinds = h("div", {
    class: "iw-kinds",
    role: "group",
    "aria-label": "kinds of points, which can be hidden",
  });
  readonly #scree = h("div", { class: "iw-scree" });
  #changed = changeDetector();
  #changedScree = changeDetector();

  constructor(private readonly actions: Actions) {
    this.element = h("div", { class: "iw-map-legend" }, this.#kinds, this.#scree);
  }

  update(scene: Scene): void {
    const { coloring, hidden, layer, spec, align, axes } = scene;
    if (this.#changed(coloring, [...hidden].join())) this.#drawKinds(scene);
    if (this.#changedScree(layer, spec, align, axes.join())) this.#drawScree(scene);
  }

  #drawKinds({ coloring, hidden }: Scene): void {
    if (coloring.ramp) {
      const { low, high, name, colors } = coloring.ramp;
      fill(this.#kinds, scaleBar(colors, [low, name, high]));
      return;
    }
    fill(
      this.#kinds,
      ...coloring.kinds.map(({ name, color, shape, count, isToken }, kind) => {
        const swatch = h("i", { class: shape === 6 ? "iw-shape iw-shape-ring" : "iw-shape", "aria-hidden": "true" });
        swatch.style.setProperty("--_kind", color);
        if (SHAPES[shape]) swatch.style.clipPath = SHAPES[shape];
        const off = hidden.has(kind);
        const button = h(
          "button",
          { type: "button", class: "iw-kind", "aria-pressed": String(!off), title: off ? "show" : "hide" },
          swatch,
          isToken ? tokenElement(name) : h("bdi", {}, name),
          h("span", { class: "iw-quiet" }, count.toLocaleString("en-US")),
        );
        button.addEventListener("click", () => this.actions.toggle(kind));
        return button;
      }),
    );
  }

  #drawScree(scene: Scene): void {
    const { layer, spec } = scene;
    this.#scree.hidden = !layer || layer.scree.length === 0;
    if (!layer) return;
    const shown = spec.method === "PCA" ? spec.axes.length - spec.n_given : 0;
    const bars = layer.scree.slice(0, 12);
    const most = Math.max(...bars, 1e-9);
    const row = h(
      "div",
      {
        class: "iw-scree-bars",
        role: "img",
        "aria-label": `shares of the variance: ${bars.map(formatPercent).join(", ")}`,
      },
      ...bars.map((share, n) => {
        const bar = h("i", {
          class: n < shown ? "iw-first" : "iw-rest",
          title: `PC ${n + 1}: ${formatShare(share)}`,
        });
        bar.style.height = `${Math.max(2, (100 * share) / most)}%`;
        return bar;
      }),
    );
    const said = explainedIn(scene);
    const angle = layer.cosines.length
      ? spec.axes
          .slice(0, spec.n_given)
          .flatMap((name, n) =>
            spec.axes.slice(n + 1, spec.n_given).map((other, m) => [name, other, layer.cosines[n][n + 1 + m]]),
          )
          .map(
            ([name, other, cosine]) =>
              `${name} and ${other}: cosine ${Number(cosine).toFixed(2).replace("-", "\u2212")}`,
          )
      : [];
    fill(
      this.#scree,
      h("div", { class: "iw-quiet" }, `Variance of ${formatCount(bars.length, "principal component")}`),
      row,
      h("div", { class: "iw-quiet" }, [said, ...angle].filter(Boolean).join(". ")),
    );
  }
}
