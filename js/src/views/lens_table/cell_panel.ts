import { changeDetector, fill, h } from "../../core/dom";
import { formatNumber, formatProbability } from "../../core/format";
import { tokenElement } from "../../core/labels";
import { type Actions, type Cell, current, type Scene } from "./scene";
import { formatQuantity, rowName, sideOf } from "./words";

/** What is said in the cell that is pointed at, or selected, or at the end. */
export class CellPanel {
  readonly element = h("section", { class: "iw-lens-cell", "aria-label": "the cell that is read out" });
  readonly #changed = changeDetector();

  constructor(private readonly actions: Actions) {
    this.element.addEventListener("click", (event) => {
      const button = (event.target as Element).closest<HTMLElement>("button[data-token]");
      if (!button) return;
      const [token, answer] = [Number(button.dataset.token), button.dataset.answer];
      if (answer) this.actions.setAnswer(Number(answer));
      else this.actions.follow({ text: "", token });
    });
  }

  update(scene: Scene): void {
    const { spec, data, version, job, live, answer } = scene;
    const cell = current(scene);
    if (!this.#changed(spec, data, version, cell.prompt, cell.row, cell.pos, job.state, live, answer)) return;
    fill(this.element, ...cellContent(scene, cell, { buttons: true }));
  }
}

/** The likeliest tokens of a cell, those that are followed, and how sure it is. */
export function cellContent(scene: Scene, cell: Cell, { buttons }: { buttons: boolean }): Node[] {
  const { spec, data, live, answer } = scene;
  const { prompt, row, pos } = cell;
  const at = data.at(prompt, row, pos);
  const side = sideOf(scene, prompt);
  const head = h(
    "div",
    { class: "iw-lens-place" },
    h("strong", {}, rowName(spec.rows[row])),
    " at ",
    tokenElement(spec.prompts[prompt].labels[pos]),
    h("span", { class: "iw-quiet" }, ` position ${pos}${side ? ` of ${side}` : ""}`),
  );
  const top = data.top(at);
  if (!top.length) {
    const why = scene.job.state === "running" ? "Not read yet." : "Not read.";
    return [head, h("p", { class: "iw-quiet" }, why)];
  }
  const next = data.next(prompt, pos);
  const rows = top.map(({ token, label, prob }) => {
    const followed = data.answers.indexOf(label);
    const about = followed >= 0 ? "colour the table by it" : live && spec.follows ? "follow it through the layers" : "";
    const name =
      buttons && about
        ? h(
            "button",
            {
              type: "button",
              class: "iw-link",
              "data-token": token,
              "data-answer": followed >= 0 ? followed : null,
              title: about,
              "aria-current": followed >= 0 && followed === answer && "true",
            },
            tokenElement(label),
          )
        : tokenElement(label);
    return line(name, prob, formatProbability(prob), token === next?.token);
  });
  const known = new Set(top.map(({ label }) => label));
  const others = data.answers.flatMap((label, number) => {
    if (known.has(label)) return [];
    const prob = Math.exp(data.logprob(at, number));
    return [line(tokenElement(label), prob, formatProbability(prob), false, data.rank(at, number))];
  });
  const facts = [`entropy ${formatNumber(data.entropy(at))} nats`, `KL from the end ${formatNumber(data.kl(at))}`];
  if (data.prompts > 1) facts.push(`KL(clean ‖ corrupt) ${formatNumber(data.apart(row, pos))}`);
  const follows = next && h("p", { class: "iw-quiet" }, "In the prompt follows ", tokenElement(next.label), ".");
  return [
    head,
    h("ul", { class: "iw-lens-top" }, ...rows, ...others),
    h("p", { class: "iw-quiet iw-lens-facts" }, ...facts.map((fact) => h("span", {}, fact))),
    ...(follows ? [follows] : []),
  ];
}

function line(name: Node, prob: number, text: string, follows: boolean, rank: number | null = null): HTMLElement {
  const bar = h("span", { class: "iw-bar", "aria-hidden": "true" });
  bar.style.setProperty("--_share", String(prob));
  const note = rank === null ? (follows ? "follows" : "") : `rank ${formatQuantity("rank", rank)}`;
  return h(
    "li",
    { class: follows ? "iw-lens-follows" : null },
    h("span", { class: "iw-lens-token" }, name),
    bar,
    h("span", { class: "iw-value" }, text),
    h("span", { class: "iw-quiet" }, note),
  );
}
