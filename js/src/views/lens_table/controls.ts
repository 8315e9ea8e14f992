import { changeDetector, fill, h } from "../../core/dom";
import { isolated } from "../../core/labels";
import { colorsOf, fillKeys, key, scaleBar } from "../../core/legend";
import { Segmented } from "../../core/segmented";
import type { LensQuantity, LensRows } from "../../protocol/lens_table";
import type { Difference, Scale } from "./scale";
import type { Actions, Scene } from "./scene";
import { colourOf, QUANTITIES, quantitiesOf } from "./words";

/** Which token colour is about, what of it, and which rows there are; a token more can be asked for. */
export class Controls {
  readonly element: HTMLElement;
  readonly #tokens: Segmented<number | null>;
  readonly #quantities: Segmented<LensQuantity>;
  readonly #rows: Segmented<LensRows>;
  readonly #rowBox: HTMLElement;
  readonly #input = h("input", {
    type: "text",
    class: "iw-lens-follow",
    placeholder: "+ token",
    "aria-label": "follow one more token",
    title: "type a token and press Enter; it is taken with the space before it if there is such a token",
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 80,
  });
  readonly #said = h("span", { class: "iw-quiet", role: "status" });

  constructor(actions: Actions, signal: AbortSignal) {
    this.#tokens = new Segmented("token that colour is about", actions.setAnswer);
    this.#quantities = new Segmented("what colour shows", actions.setMetric);
    this.#rows = new Segmented("rows", actions.setRows);
    this.#input.addEventListener(
      "keydown",
      (event) => {
        event.stopPropagation();
        if (event.key !== "Enter" || !this.#input.value.trim()) return;
        actions.follow({ text: this.#input.value, token: null });
        this.#input.value = "";
      },
      { signal },
    );
    const box = (name: string, ...parts: HTMLElement[]) =>
      h("div", { class: "iw-lens-control" }, h("span", { class: "iw-quiet", "aria-hidden": "true" }, name), ...parts);
    this.#rowBox = box("after", this.#rows.element);
    this.element = h(
      "div",
      { class: "iw-lens-controls" },
      box("token", this.#tokens.element, this.#input, this.#said),
      box("colour", this.#quantities.element),
      this.#rowBox,
    );
  }

  update(scene: Scene): void {
    const { data, spec, answer, metric, choice, live, asked } = scene;
    const tokens = data.answers.map((label, value) => ({
      value: value as number | null,
      text: isolated(label),
      title: `colour is about ${isolated(label)}`,
    }));
    const likeliest = { value: null, text: "likeliest", title: "colour is about what is said, whichever token it is" };
    this.#tokens.update([likeliest, ...tokens], answer);
    this.#quantities.update(
      quantitiesOf(answer).map((value) => ({ value, ...QUANTITIES[value], data: { "data-metric": value } })),
      metric,
    );
    this.#rowBox.hidden = !spec.rows.some(({ site }) => site === "resid_mid");
    this.#rows.update(
      [
        {
          value: "all",
          text: "attention and MLP",
          title: "each layer in two rows: after its attention and after its MLP",
        },
        { value: "layers", text: "layers", title: "one row for each layer" },
      ],
      choice,
    );
    this.#input.hidden = !live || !spec.follows;
    this.#input.disabled = asked === "waiting";
    fill(this.#said, asked === "waiting" ? "reading…" : (asked?.error ?? ""));
  }
}

/** What the colours and marks mean. */
export class Legend {
  readonly element: HTMLElement;
  readonly #scales = [0, 1].map(() => h("div", { class: "iw-scale" }));
  readonly #keys = h("div", { class: "iw-keys" });
  readonly #changed = changeDetector();

  constructor() {
    this.element = h("div", { class: "iw-legend iw-lens-legend" }, ...this.#scales, this.#keys);
  }

  update(scene: Scene, scale: Scale, difference: Difference | null): void {
    const { spec, data, version, metric, answer, palette, job } = scene;
    if (!this.#changed(spec, data, version, metric, answer, palette, job.state, scale.ticks.join(), difference?.text))
      return;
    const draw = (element: HTMLElement, { signed, ticks }: Scale, text: string) =>
      fill(element, h("span", {}, text), scaleBar(colorsOf(palette, signed), ticks));
    draw(this.#scales[0], scale, colourOf(scene));
    this.#scales[1].hidden = difference === null;
    if (difference) draw(this.#scales[1], difference, difference.text);
    const keys = [key("hit", "the token that follows in the prompt")];
    if (!data.complete) keys.push(key("pending", job.state === "running" ? "still to come" : "not read"));
    fillKeys(this.#keys, keys);
  }
}
