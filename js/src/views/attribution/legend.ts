import { changeDetector, fill, h } from "../../core/dom";
import { formatCount, formatLimit, formatNumber } from "../../core/format";
import { colorsOf, fillKeys, key, scaleBar, ticksTo } from "../../core/legend";
import { Segmented } from "../../core/segmented";
import { type Actions, limitOf, type Scene } from "./scene";

/** What the colours mean, where they end, and which marks occur. */
export class Legend {
  readonly element: HTMLElement;
  readonly #scale = h("div", { class: "iw-scale" });
  readonly #keys = h("div", { class: "iw-keys" });
  readonly #limits: Segmented<number | null>;
  readonly #changed = changeDetector();

  constructor(actions: Actions) {
    this.#limits = new Segmented("colour scale ends at", actions.setLimit, "iw-limits");
    this.element = h("div", { class: "iw-legend" }, this.#scale, this.#limits.element, this.#keys);
  }

  update({ palette, limit, ownLimit, values, job, spec }: Scene): void {
    if (!this.#changed(palette, limit, ownLimit, values, job.state)) return;
    fill(
      this.#scale,
      h("span", { class: "iw-end" }, "against the answer"),
      scaleBar(colorsOf(palette, true), ticksTo(formatLimit(limit), true)),
      h("span", { class: "iw-end" }, "for it, in logits"),
    );
    const keys: HTMLElement[] = [];
    const beyond = values.filter((value) => Math.abs(value) > limit * (1 + 1e-6));
    const most = beyond.reduce((all, value) => Math.max(all, Math.abs(value)), 0);
    if (beyond.length)
      keys.push(key("beyond", `${formatCount(beyond.length, "component")} beyond, up to ${formatNumber(most)}`));
    const biases = [
      ["attn_bias", "bA: bias of attention"],
      ["mlp_bias", "bM: bias of the MLP"],
    ].filter(([site]) => spec.components.some((part) => part.site === site));
    keys.push(...biases.map(([, text]) => h("span", { class: "iw-key" }, text)));
    if (values.some(Number.isNaN))
      keys.push(key("pending", job.state === "running" ? "still to come" : "not computed"));
    fillKeys(this.#keys, keys);
    const heads = limitOf(values.filter((_, at) => spec.components[at].kind === "head"));
    const options = [
      { value: null as number | null, text: "to the largest", title: "colours end at the largest contribution" },
    ];
    if (spec.n_heads && heads < limitOf(values))
      options.push({ value: heads, text: `to the largest head, ${formatLimit(heads)}`, title: "to tell heads apart" });
    if (ownLimit !== null && ownLimit !== heads)
      options.push({ value: ownLimit, text: `to ${formatLimit(ownLimit)}`, title: "set from Python" });
    this.#limits.element.hidden = options.length < 2;
    this.#limits.update(options, ownLimit);
  }
}
