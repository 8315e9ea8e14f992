import { changeDetector, fill, h } from "../../core/dom";
import { formatCount, formatEffect, formatLimit } from "../../core/format";
import { fillKeys, key, scaleBar, ticksTo } from "../../core/legend";
import { niceLimit } from "../../core/scales";
import { type Option, Segmented } from "../../core/segmented";
import { canShowEach } from "./each_pair";
import type { Actions, PairChoice, Scene } from "./scene";
import type { Survey } from "./shown";
import { meanOf } from "./words";

const MOST_BUTTONS = 9;

/** The legend in words and numbers, with the marks that occur and where the scale ends. */
export class Legend {
  readonly element = h("div", { class: "iw-legend" });
  #changed = changeDetector();
  #scale = h("div", { class: "iw-scale" });
  #keys = h("div", { class: "iw-keys" });
  #limits: Segmented<number>;

  constructor(actions: Actions) {
    this.#limits = new Segmented("colour scale ends at", actions.setLimit, "iw-limits");
    fill(this.element, this.#scale, this.#limits.element, this.#keys);
  }

  update(scene: Scene): void {
    const { grid, strips, limit, job } = scene;
    if (!this.#changed(scene.spec, grid, strips?.grid, scene.version, limit, scene.palette, job.state)) return;
    const survey = surveyOf(scene);
    const { negative, positive } = scene.spec.story;
    const marks: Node[] = [];
    const mark = (kind: string, text: string) => marks.push(key(kind, text));
    if (limit !== 1) marks.push(h("span", {}, limitInWords(limit)));
    if (survey.beyond)
      mark("beyond", `${formatCount(survey.beyond, "cell")} beyond, up to ${formatEffect(survey.extreme)}`);
    if (survey.known) mark("known", "not run, known without it");
    if (survey.estimated) mark("estimated", "estimate");
    if (survey.pending) mark("pending", job.state === "running" ? "still to come" : "not computed");
    if (survey.undefined) mark("undefined", "no value");
    fill(
      this.#scale,
      h("span", { class: "iw-end" }, negative),
      scaleBar(rampOf(scene), ticksTo(formatLimit(limit), true)),
      h("span", { class: "iw-end" }, positive),
    );
    fillKeys(this.#keys, marks);
    const fit = niceLimit(survey.largest);
    const options = [
      { value: 1, text: "±1", title: "the scale ends at an effect of 1" },
      { value: fit, text: `fit ±${formatLimit(fit)}`, title: "the scale ends at the largest effect" },
    ];
    // A scale that ends not far above the largest effect is a fit already.
    if (fit === 1 || (fit < limit && limit <= 2.5 * fit)) options.pop();
    if (!options.some(({ value }) => value === limit))
      options.unshift({ value: limit, text: `±${formatLimit(limit)}`, title: limitInWords(limit) });
    this.#limits.element.hidden = options.length < 2;
    this.#limits.update(options, limit);
  }
}

export function limitInWords(limit: number): string {
  return `scale ends at ±${formatLimit(limit)}`;
}

/** What the legend tells of the grid and of its strips. */
export function surveyOf({ grid, strips, limit }: Scene): Survey {
  const own = grid.survey(limit);
  if (!strips) return own;
  const more = strips.grid.survey(limit);
  for (const count of ["beyond", "pending", "known", "estimated", "undefined"] as const) own[count] += more[count];
  return more.largest > own.largest ? { ...own, largest: more.largest, extreme: more.extreme } : own;
}

/** The colours of the scale from −limit to +limit. */
export function rampOf({ spec, palette }: Pick<Scene, "spec" | "palette">): string[] {
  return spec.story.host === 1 ? palette.scale.css : [...palette.scale.css].reverse();
}

/** Buttons that do what a pinch or the keys "+", "-" and "0" do on a plot. */
export function zoomButtons({ zoom }: Actions): HTMLElement {
  const button = (action: string, text: string, title: string, factor: number | "reset") => {
    const element = h("button", { type: "button", "data-action": action, "aria-label": title, title }, text);
    element.addEventListener("click", () => zoom(factor));
    return element;
  };
  return h(
    "div",
    { class: "iw-zoom", role: "group", "aria-label": "zoom" },
    button("zoom-out", "−", "zoom out", 1 / 1.5),
    button("zoom-reset", "1:1", "1:1, the whole grid", "reset"),
    button("zoom-in", "+", "zoom in", 1.5),
  );
}

/** Metric and pair. */
export class Controls {
  readonly element: HTMLElement;
  #metrics: Segmented<number>;
  #pairs = h("div", { class: "iw-pairs" });
  #pairButtons: Segmented<PairChoice>;
  #changed = changeDetector();
  #newPairs = changeDetector();

  constructor(private readonly actions: Actions) {
    this.#metrics = new Segmented("metric", actions.setMetric, "iw-metrics");
    this.#pairButtons = new Segmented("", actions.setPair);
    this.element = h("div", { class: "iw-controls" }, this.#metrics.element, this.#pairs);
  }

  update(scene: Scene): void {
    const { spec, metric, pair, each } = scene;
    if (!this.#changed(spec, metric, pair, each)) return;
    const metrics = spec.metrics.map(({ term }, value) => ({
      value,
      text: term.label,
      title: term.meaning,
      data: { "data-metric": term.name },
    }));
    this.#metrics.element.hidden = metrics.length < 2;
    this.#metrics.update(metrics, metric);
    this.#updatePairs(scene);
  }

  #updatePairs(scene: Scene): void {
    const { spec, pair, each } = scene;
    const count = spec.pairs.length;
    this.#pairs.hidden = count < 2;
    if (count < 2) return;
    const word = spec.story.noun;
    const few = count <= MOST_BUTTONS;
    const title = (number: number) => `${word} ${number + 1}`;
    const options: Option<PairChoice>[] = [{ value: null, text: "mean", title: meanOf(spec) }];
    if (canShowEach(scene.data))
      options.push({ value: "each", text: `each ${word}`, title: `a small grid for each ${word}` });
    for (const value of few ? spec.pairs.keys() : [])
      options.push({ value, text: String(value + 1), title: title(value) });
    if (this.#newPairs(spec)) {
      this.#pairButtons.element.setAttribute("aria-label", word);
      const label = few ? h("span", { class: "iw-quiet" }, word) : null;
      fill(this.#pairs, label, this.#pairButtons.element, few ? null : this.#choose(spec.pairs.length, word, title));
    }
    this.#pairButtons.update(options, each ? "each" : pair);
    const select = this.#pairs.querySelector("select");
    if (select) select.value = String(pair ?? "");
  }

  #choose(count: number, word: string, title: (number: number) => string): HTMLElement {
    const select = h(
      "select",
      { "aria-label": `one ${word}` },
      h("option", { value: "", disabled: true }, `one ${word} …`),
      ...Array.from({ length: count }, (_, number) => h("option", { value: number }, title(number))),
    );
    select.addEventListener("change", () => this.actions.setPair(Number(select.value)));
    return select;
  }
}
