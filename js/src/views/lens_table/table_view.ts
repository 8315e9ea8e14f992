import { h } from "../../core/dom";
import { formatPercent } from "../../core/format";
import { tokenElement } from "../../core/labels";
import { Tables, table } from "../../core/tables";
import { type Cell, current, type Scene } from "./scene";
import { formatQuantity, QUANTITIES, rowName, sideOf } from "./words";

const MOST = 60;

/** The numbers as tables: all rows at the token that is read out, and the likeliest tokens of all cells around it. */
export const tableView = () =>
  new Tables<Scene>({
    label: "tables",
    of: (scene) => {
      const { spec, data, version, rows } = scene;
      const { pos, row, prompt } = chosen(scene);
      return [spec, data, version, rows, pos, row, prompt];
    },
    make: (scene) => {
      const { pos, row } = chosen(scene);
      const prompts = scene.spec.prompts.map((_, number) => number);
      return [
        ...prompts.map((number) => column(scene, number, pos, row)),
        ...prompts.map((number) => whole(scene, number, pos)),
      ];
    },
  });

/** The cell that is selected, or the one at the end: tables do not follow the pointer. */
function chosen(scene: Scene): Cell {
  return current({ ...scene, pointed: null });
}

/** What becomes of the followed tokens at one position. */
function column(scene: Scene, prompt: number, pos: number, here: number): HTMLElement {
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
    return h("tr", { "aria-current": row === here && "true" }, name, ...cells.map((cell) => h("td", {}, cell)));
  });
  const place = ` position ${pos}${side ? ` of ${side}` : ""}`;
  return table([h("strong", {}, spec.prompts[prompt].labels[pos]), place], head, body);
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
  const heads = part.map((at) => h("th", { scope: "col" }, tokenElement(labels[at])));
  const caption = `the likeliest token and its ${QUANTITIES.prob.text}${side ? `, ${side}` : ""}${cut}`;
  return table(caption, ["place", ...heads], body);
}
