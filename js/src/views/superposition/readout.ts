import { changeDetector, fill, h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { type Actions, inPlane, type Place, type Scene } from "./scene";
import { disturbers, explainFeature, explainModel, onShare, shareOfDimension } from "./words";

const MOST_DISTURBERS = 4;

/** The pinned feature in numbers and in words; without one, what the whole model does. */
export class Readout {
  readonly element = h("div", { class: "iw-readout" });
  #changed = changeDetector();

  constructor(private readonly actions: Actions) {}

  update(scene: Scene): void {
    const { toys, level, pinned } = scene;
    if (!this.#changed(toys, level, pinned)) return;
    fill(this.element, ...(pinned === null ? this.#model(scene) : this.#feature(scene, pinned)));
  }

  #feature({ toys, level, spec }: Scene, feature: number): Node[] {
    const label = "clear the pinned feature";
    const clear = h("button", { type: "button", class: "iw-clear", "aria-label": label, title: "clear (Escape)" }, "×");
    clear.addEventListener("click", () => this.actions.select(level, null));
    const { norm, dimensionality } = toys.facts(level, feature);
    const fact = (name: string, value: string) => h("span", {}, `${name} `, h("strong", {}, value));
    return [
      h(
        "div",
        { class: "iw-facts" },
        h("span", { class: "iw-where" }, h("strong", {}, `feature ${feature}`), ` ${onShare(spec, level)}`),
        fact("length", norm.toFixed(2)),
        fact("dimensionality", shareOfDimension(spec, dimensionality)),
        fact("importance", formatNumber(spec.importance[feature])),
      ),
      h("p", { class: "iw-words" }, explainFeature(toys, level, feature)),
      clear,
    ];
  }

  #model({ toys, level, spec, job }: Scene): Node[] {
    const words = explainModel(toys, level);
    const untrained = job.state === "running" && toys.trained === 0;
    return [
      h("div", { class: "iw-facts" }, h("strong", {}, `features ${onShare(spec, level)}`)),
      h(
        "p",
        { class: "iw-words" },
        untrained ? "Directions are random before training. " : `${words} `,
        `Click ${inPlane(spec) ? "an arrow" : "a row"} or a bar to pin a feature.`,
      ),
    ];
  }
}

/** What is known of a feature, briefly, for the note beside the pointer. */
export function tipContent({ toys, spec }: Scene, { level, feature }: Place): Node[] {
  const { norm, dimensionality, bias } = toys.facts(level, feature);
  const fact = (name: string, value: string, strong = false) => [
    h("span", { class: "iw-quiet" }, name),
    h(strong ? "strong" : "span", {}, value),
  ];
  const shape = toys.shapeOf(level, feature);
  const others = disturbers(toys, level, feature);
  const content = [
    h("div", { class: "iw-tip-head" }, `feature ${feature}`),
    h("div", { class: "iw-tip-place" }, `${onShare(spec, level)}${shape ? ` · ${shape.name}` : " · not kept"}`),
    h(
      "div",
      { class: "iw-tip-facts" },
      ...fact("dimensionality", shareOfDimension(spec, dimensionality), true),
      ...fact("length", norm.toFixed(2)),
      ...fact("importance", formatNumber(spec.importance[feature])),
      ...fact("bias", formatNumber(bias, { plus: true })),
    ),
  ];
  if (others.length) {
    const rest = others.length - MOST_DISTURBERS;
    content.push(
      h(
        "div",
        { class: "iw-tip-facts iw-tip-others" },
        h("span", { class: "iw-quiet iw-tip-wide" }, "lie along its direction"),
        ...others
          .slice(0, MOST_DISTURBERS)
          .flatMap(({ other, along }) => fact(`feature ${other}`, formatNumber(along, { plus: true }))),
        rest > 0 ? h("span", { class: "iw-quiet iw-tip-wide" }, `and ${rest} more`) : null,
      ),
    );
  }
  return content;
}

/** What is said of a place when it is pinned. */
export function said(scene: Scene, level: number, feature: number | null): string {
  const { toys, spec } = scene;
  if (feature === null) return `${onShare(spec, level)}. ${explainModel(toys, level)}`;
  return `Pinned feature ${feature}, ${onShare(spec, level)}. ${explainFeature(toys, level, feature)}`;
}
