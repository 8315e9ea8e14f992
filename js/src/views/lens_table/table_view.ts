import { changeDetector, fill, h } from "../../core/dom";
import { formatPercent } from "../../core/format";
import { tokenElement } from "../../core/labels";
import { current, type Scene } from "./scene";
import { formatQuantity, QUANTITIES, rowName, sideOf } from "./words";

const MOST = 60;

/** The numbers as tables: all rows at the token that is read out, and the likeliest tokens of all cells around it. */
export class TableView {
  readonly element = h("div", {
    class: "iw-tables",
    hidden: true,
    tabindex: 0,
    role: "region",
    "aria-label": "tables",
  });
  readonly #changed = changeDetector();

  update(scene: Scene): void {
    const { spec, data, version, rows } = scene;
    const { pos, row, prompt } = current({ ...scene, pointed: null });
    if (this.element.hidden || !this.#changed(spec, data, version, rows, pos, row, prompt)) return;
    const prompts = spec.prompts.map((_, number) => number);
    fill(
      this.element,
      ...prompts.map((number) => column(scene, number, pos, row)),
      ...prompts.map((number) => whole(scene, number, pos)),
    );
  }
}

/** What becomes of the followed tokens at one position. */
function column(scene: Scene, prompt: number, pos: number, chosen: number): HTMLElement {
  const { spec, data, rows } = scene;
  const side = sideOf(scene, prompt);
  const head = [
    "place",
    "says",
    "probability",
    ...data.answers.flatMap((label) => [label, "rank"]),
    "entropy",
    "KL from the end",
  ];
  const body = [...rows].reverse().map((row) => {
    const at = data.at(prompt, row, pos);
    const [best] = data.top(at);
    const cells = best
      ? [
          tokenElement(best.label),
          formatPercent(best.prob),
          ...data.answers.flatMap((_, answer) => [
            formatQuantity("prob", Math.exp(data.logprob(at, answer))),
            formatQuantity("rank", data.rank(at, answer)),
          ]),
          formatQuantity("entropy", data.entropy(at)),
          formatQuantity("kl", data.kl(at)),
        ]
      : ["not read"];
    const name = h("th", { scope: "row" }, rowName(spec.rows[row]));
    return h("tr", { "aria-current": row === chosen && "true" }, name, ...cells.map((cell) => h("td", {}, cell)));
  });
  return h(
    "table",
    { class: "iw-table" },
    h("caption", {}, h("strong", {}, spec.prompts[prompt].labels[pos]), ` position ${pos}${side ? ` of ${side}` : ""}`),
    h("thead", {}, h("tr", {}, ...head.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, ...body),
  );
}

/** What is said everywhere; of a long prompt around a position. */
function whole(scene: Scene, prompt: number, pos: number): HTMLElement {
  const { spec, data, rows } = scene;
  const from = Math.max(0, Math.min(pos - MOST / 2, data.length - MOST));
  const part = Array.from({ length: Math.min(MOST, data.length) }, (_, n) => from + n);
  const { labels } = spec.prompts[prompt];
  const body = [...rows].reverse().map((row) => {
    const cells = part.map((at) => {
      const [best] = data.top(data.at(prompt, row, at));
      return h("td", {}, best ? tokenElement(best.label) : "", best ? ` ${formatPercent(best.prob)}` : "not read");
    });
    return h("tr", {}, h("th", { scope: "row" }, rowName(spec.rows[row])), ...cells);
  });
  const cut = part.length < data.length ? `, tokens ${from} to ${from + part.length - 1} of ${data.length}` : "";
  const side = sideOf(scene, prompt);
  return h(
    "table",
    { class: "iw-table" },
    h("caption", {}, `the likeliest token and its ${QUANTITIES.prob.text}${side ? `, ${side}` : ""}${cut}`),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, "place"),
        ...part.map((at) => h("th", { scope: "col" }, tokenElement(labels[at]))),
      ),
    ),
    h("tbody", {}, ...body),
  );
}
