import { changeDetector, fill, h } from "../../core/dom";
import { formatCount, formatNumber } from "../../core/format";
import { bare, isolated } from "../../core/labels";
import { GROUPS } from "./data";
import type { Actions, Scene } from "./scene";
import { answersOf, meaningOf, signed } from "./words";

const LONGEST = 60;

/** The question, what is measured, and which prompt and position are shown. */
export class Header {
  readonly element = h("div", { class: "iw-header" });
  readonly #title: HTMLElement;
  readonly #meaning = h("div", { class: "iw-subtitle" });
  readonly #choices = h("div", { class: "iw-choices" });
  readonly #prompt = h("select", { "aria-label": "prompt" });
  readonly #target = h("select", { "aria-label": "position whose prediction is taken apart" });
  readonly #sum = h("div", { class: "iw-sum", role: "status" });
  readonly #changed = changeDetector();

  constructor(heading: Record<string, string>, actions: Actions) {
    this.#title = h("div", { class: "iw-title", ...heading });
    this.#prompt.addEventListener("change", () =>
      actions.setPrompt(this.#prompt.value === "" ? null : Number(this.#prompt.value)),
    );
    this.#target.addEventListener("change", () => actions.setTarget(Number(this.#target.value)));
    this.element.append(this.#title, this.#meaning, this.#sum, this.#choices);
  }

  update(scene: Scene): void {
    const { spec, data, prompt, target, job } = scene;
    if (!this.#changed(spec, data, prompt, target, job.state)) return;
    fill(this.#title, ...title(scene));
    fill(this.#meaning, meaningOf(scene));
    fill(this.#sum, ...sum(scene));
    const several = data.prompts > 1;
    this.#choices.hidden = !several && data.targets < 2;
    if (several) {
      const options = Array.from({ length: data.prompts }, (_, at) => {
        const text = spec.text.labels
          .slice(data.offsets[at], data.offsets[at + 1])
          .join("")
          .replaceAll("␣", " ");
        return h(
          "option",
          { value: at },
          `${at} · ${shortened(text)}${data.done.includes(at) ? "" : job.state === "running" ? " (to come)" : " (not computed)"}`,
        );
      });
      fill(
        this.#prompt,
        h("option", { value: "" }, `mean over ${formatCount(data.done.length, "prompt")}`),
        ...options,
      );
      this.#prompt.value = prompt === null ? "" : String(prompt);
    }
    if (data.targets > 1) {
      const shown = prompt ?? 0;
      const options = Array.from({ length: data.targets }, (_, at) => {
        const position = data.position(shown, at);
        const label = spec.text.labels[data.offsets[shown] + position] ?? "";
        return h("option", { value: at }, `after ${isolated(label)} (position ${position})`);
      });
      fill(this.#target, ...options);
      this.#target.value = String(target);
    }
    fill(
      this.#choices,
      several && h("label", {}, h("span", { class: "iw-quiet" }, "shown "), this.#prompt),
      data.targets > 1 && h("label", {}, h("span", { class: "iw-quiet" }, "prediction "), this.#target),
    );
  }
}

function shortened(text: string): string {
  const characters = Array.from(text.trim());
  return characters.length > LONGEST ? `…${characters.slice(1 - LONGEST).join("")}` : characters.join("");
}

function title(scene: Scene): (Node | string)[] {
  const { answer, wrong, mean } = answersOf(scene);
  const right = answer === null ? h("span", { class: "iw-clean" }, "the answer") : named(answer, "iw-clean");
  if (mean) return ["What makes the model say ", right, "?"];
  const other = wrong === null ? h("span", { class: "iw-corrupt" }, "the wrong answer") : named(wrong, "iw-corrupt");
  return ["What makes the model say ", right, " rather than ", other, "?"];
}

function named(label: string, side: string): HTMLElement {
  return h("bdi", { class: side }, bare(label));
}

/** The sum in words: what each group adds, what that comes to, and by how much it misses the model's own. */
function sum({ data, prompt, target, job }: Scene): (Node | string)[] {
  const sums = data.sums(prompt, target);
  const logit = data.logit(prompt, target);
  if (Number.isNaN(logit))
    return [
      h(
        "span",
        { class: "iw-quiet" },
        `This prompt ${job.state === "running" ? "is still to come" : "was not computed"}.`,
      ),
    ];
  const total = [...sums.values()].reduce((all, value) => all + value, 0);
  const parts: Node[] = [];
  for (const group of GROUPS) {
    const value = sums.get(group);
    if (value === undefined) continue;
    const side = Math.abs(value) < 5e-4 ? "" : value > 0 ? "iw-clean" : "iw-corrupt";
    parts.push(
      h(
        "span",
        { class: "iw-term" },
        h("span", { class: "iw-quiet" }, `${group} `),
        h("b", { class: side }, signed(value)),
      ),
    );
  }
  const residue = data.residue(prompt, target);
  const missed = residue < 5e-8 ? "exactly that" : `that to within ${formatNumber(residue)}`;
  return [
    ...parts,
    h("span", { class: "iw-term iw-total" }, "= ", h("b", {}, signed(total)), " logits"),
    h("span", { class: "iw-quiet" }, `the model's own logit difference, ${signed(logit)}, is ${missed}`),
  ];
}
