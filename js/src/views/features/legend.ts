import { changeDetector, fill, h } from "../../core/dom";
import { formatCount, formatLimit, formatNumber } from "../../core/format";
import { fillKeys, key, scaleBar, ticksTo } from "../../core/legend";
import { niceLimit } from "../../core/scales";
import { Segmented } from "../../core/segmented";
import { type Actions, type Scene, shadingOf } from "./scene";
import { missing, nameOf, noun } from "./words";

/** What the colours mean, where the scale ends, which marks occur, and what of the latent is not here. */
export class Legend {
  readonly element: HTMLElement;
  #changed = changeDetector();
  #scale = h("div", { class: "iw-scale" });
  #keys = h("div", { class: "iw-keys" });
  #missing = h("div", { class: "iw-note iw-missing", role: "status" });
  #limits: Segmented<number | null>;
  #step: HTMLElement;
  #count = h("span");

  constructor(actions: Actions) {
    this.#limits = new Segmented("colour scale ends at", actions.setLimit, "iw-limits");
    const button = (text: string, title: string, direction: 1 | -1) => {
      const element = h("button", { type: "button", "data-step": direction, "aria-label": title, title }, text);
      element.addEventListener("click", () => actions.step(direction));
      return element;
    };
    this.#step = h(
      "div",
      { class: "iw-step", role: "group", "aria-label": "tokens on which it fires" },
      this.#count,
      button("‹", "the token before on which it fires", -1),
      button("›", "the next token on which it fires", 1),
    );
    const line = h("div", { class: "iw-legend" }, this.#scale, this.#limits.element, this.#keys, this.#step);
    this.element = h("div", { class: "iw-legend-box" }, line, this.#missing);
  }

  update(scene: Scene): void {
    const { spec, data, version, shown, pinned, limit, palette, job, names } = scene;
    if (!this.#changed(spec, data, version, shown, pinned.join(), limit, palette, job.state, names, scene.live)) return;
    this.element.hidden = shown === null;
    if (shown === null) return;
    this.#drawScale(scene, shown);
    const largest = Math.max(...[shown, ...pinned].map((latent) => data.largest(latent)));
    const shared = niceLimit(largest);
    const options: { value: number | null; text: string; title: string }[] = [
      { value: null, text: "own maximum", title: `each ${noun(spec)} has a scale up to its own maximum` },
      { value: shared, text: `all to ${formatLimit(shared)}`, title: "one scale for all that are shown" },
    ];
    if (limit !== null && limit !== shared)
      options.push({ value: limit, text: `all to ${formatLimit(limit)}`, title: "set from Python, or for others" });
    this.#limits.element.hidden = pinned.every((latent) => latent === shown) && limit === null;
    this.#limits.update(options, limit);
    const fires = data.fires(shown);
    const read = data.spec.texts.reduce((sum, _, text) => sum + data.read(text), 0);
    fill(this.#count, `fires on ${fires.toLocaleString("en-US")} of ${formatCount(read, "token")}`);
    for (const button of this.#step.querySelectorAll("button")) button.disabled = fires === 0;
    const lack = missing(scene, shown);
    this.#missing.hidden = lack === null;
    fill(this.#missing, lack);
  }

  #drawScale(scene: Scene, shown: number): void {
    const { data, job } = scene;
    const shading = shadingOf(scene, shown);
    fill(
      this.#scale,
      h("strong", { class: "iw-shown" }, nameOf(scene, shown)),
      scaleBar(shading.ramp, ticksTo(formatLimit(shading.limit), shading.signed)),
    );
    const keys: Node[] = [];
    const beyond = data.column(shown).values.filter((value) => shading.beyond(value)).length;
    if (beyond)
      keys.push(key("beyond", `${formatCount(beyond, "token")} beyond, up to ${formatNumber(data.largest(shown))}`));
    if (data.computed.includes(0)) keys.push(key("pending", job.state === "running" ? "still to come" : "not read"));
    fillKeys(this.#keys, keys);
  }
}
