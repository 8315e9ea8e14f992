import { changeDetector, fill, h } from "../../core/dom";
import { Segmented } from "../../core/segmented";
import type { AttentionSide, ColorScale, HeadOrder } from "../../protocol/attention_heads";
import type { Actions, Scene } from "./scene";
import { baselineInWords } from "./words";

const SIDES: Record<AttentionSide, string> = { clean: "clean", corrupt: "corrupt", difference: "difference" };

/** What is shown of the patterns, and by which score heads are told apart. */
export class Controls {
  readonly element: HTMLElement;
  readonly #changed = changeDetector();
  readonly #side: Segmented<AttentionSide>;
  readonly #weighted: Segmented<boolean>;
  readonly #order: Segmented<HeadOrder>;
  readonly #scale: Segmented<ColorScale>;
  readonly #score = h("select", { "aria-label": "score" });
  readonly #scoring: HTMLElement;
  readonly #about = h("div", { class: "iw-note iw-about", hidden: true });

  constructor(actions: Actions) {
    this.#side = new Segmented<AttentionSide>("prompt", actions.setSide);
    this.#weighted = new Segmented<boolean>("what a number is", actions.setWeighted);
    this.#order = new Segmented<HeadOrder>("order of heads", actions.setOrder);
    this.#scale = new Segmented<ColorScale>("where colours end", actions.setScale);
    this.#score.addEventListener("change", () => actions.setScore(this.#score.value || null));
    this.#scoring = h("span", { class: "iw-scoring" }, h("span", { class: "iw-quiet" }, "heads by"), this.#score);
    const line = [this.#side, this.#weighted, this.#scale].map(({ element }) => element);
    this.element = h(
      "div",
      { class: "iw-controls-box" },
      h("div", { class: "iw-controls" }, ...line, this.#scoring, this.#order.element),
      this.#about,
    );
  }

  update({ spec, kind, scores, score, order, scale, job }: Scene): void {
    if (!this.#changed(spec, kind.side, kind.weighted, scores, score, order, scale, job.state)) return;
    this.#side.element.hidden = spec.sides_shown.length < 2;
    this.#side.update(
      spec.sides_shown.map((side) => ({ value: side, text: SIDES[side], data: { "data-side": side } })),
      kind.side,
    );
    this.#weighted.element.hidden = !spec.weighted;
    this.#weighted.update(
      [
        { value: false, text: "attention", title: "how much each query takes from each key" },
        { value: true, text: "× |v W_O|", title: "times the length of what the head would add for that key" },
      ],
      kind.weighted,
    );
    this.#scale.update(
      [
        {
          value: "shared",
          text: kind.weighted || kind.side === "difference" ? "one scale" : "scale to 1",
          title: "one scale for all heads",
        },
        { value: "own", text: "own maximum", title: "the scale of each head ends at its largest number" },
      ],
      scale,
    );
    this.#scoring.hidden = !scores.any;
    fill(
      this.#score,
      h("option", { value: "" }, "no score"),
      ...scores.terms.map(({ name, badge }) => h("option", { value: name }, badge)),
    );
    this.#score.value = score ?? "";
    this.#order.element.hidden = score === null || !scores.any;
    this.#order.update(
      [
        { value: "layer", text: "by layer" },
        { value: "score", text: "highest first" },
      ],
      order,
    );
    const term = scores.terms.find(({ name }) => name === score);
    this.#about.hidden = !term;
    if (!term) return;
    const baseline = baselineInWords(scores, term);
    const sample = term.sample ? `; mean over ${term.sample}, with its 95% interval` : "";
    fill(
      this.#about,
      h("strong", {}, term.badge),
      `: ${term.meaning}${sample}. Baseline${baseline ? ` ${baseline}` : ""}: ${term.baseline}. ${term.source}. `,
      `Frames tell it, and a head is called so from ${term.named} on.`,
    );
  }
}
