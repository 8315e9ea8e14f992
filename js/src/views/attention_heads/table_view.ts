import { h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { tokenElement } from "../../core/labels";
import { Tables, table } from "../../core/tables";
import { atOf, type Scene, sameHead } from "./scene";
import { baselineInWords, nameOf, scoreInWords, unitOf } from "./words";

const MOST_HEADS = 400;
const MOST_TOKENS = 300;
const MOST_KEYS = 5;

/** The same as tables: what heads do, what the scores mean, and where each token looks in the head that is large. */
export const tableView = () =>
  new Tables<Scene>({
    label: "attention as tables",
    of: ({ data, version, scores, score, kind, shown }) => [
      ...[data, version, scores, score, kind.side, kind.weighted, shown?.layer, shown?.head],
    ],
    make: (scene) => [
      scene.scores.any ? headTable(scene) : null,
      scene.scores.any ? termTable(scene) : null,
      scene.shown ? patternTable(scene) : null,
    ],
  });

function headTable({ spec, scores, score, shown }: Scene): HTMLElement {
  const heads = spec.layers.flatMap((layer, row) => spec.heads.map((head, column) => ({ layer, head, row, column })));
  if (score !== null) {
    const value = ({ row, column }: { row: number; column: number }) => scores.of(score, row, column).value;
    heads.sort((a, b) => (value(b) || 0) - (value(a) || 0));
  }
  const rows = heads.slice(0, MOST_HEADS).map(({ layer, head, row, column }) =>
    h(
      "tr",
      { "aria-current": sameHead(shown, { layer, head }) && "true" },
      h("th", { scope: "row" }, nameOf({ layer, head })),
      h(
        "td",
        { class: "iw-called" },
        scores
          .badges(row, column)
          .map(({ badge }) => badge)
          .join(", "),
      ),
      ...scores.terms.map((term) => h("td", {}, scoreInWords(scores, term, row, column))),
    ),
  );
  const all = heads.length > rows.length ? `The first ${rows.length} of ${heads.length} heads` : "Heads";
  return table(
    [`${all}, scores with 95% intervals.`],
    ["head", "called", ...scores.terms.map(({ badge }) => badge)],
    rows,
  );
}

function termTable({ spec, scores }: Scene): HTMLElement {
  const rows = spec.terms.map((term) => {
    const why = scores.missing[term.name];
    const baseline = baselineInWords(scores, term);
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, term.badge),
      h("td", { class: "iw-words" }, why ? `Not computed: ${why}` : term.meaning),
      h("td", { class: "iw-words" }, `${baseline ? `${baseline}: ` : ""}${term.baseline}`),
      h("td", {}, String(term.named)),
      h("td", { class: "iw-words" }, term.source),
    );
  });
  return table(["What the scores are."], ["score", "definition", "baseline", "called so from", "source"], rows);
}

function patternTable(scene: Scene): HTMLElement {
  const { data, kind, shown } = scene;
  if (!shown) return h("div");
  const labels = data.labels(kind.side);
  const rows: HTMLElement[] = [];
  for (let query = 0; query < Math.min(labels.length, MOST_TOKENS); query++) {
    const source = data.spec.whole ? data.lines(atOf(scene, shown), query) : null;
    if (!source) continue;
    const strongest = Array.from(source.to.keys())
      .filter((at) => source.to[at] !== 0)
      .sort((a, b) => Math.abs(source.to[b]) - Math.abs(source.to[a]))
      .slice(0, MOST_KEYS);
    rows.push(
      h(
        "tr",
        {},
        h("td", {}, String(query)),
        h("th", { scope: "row" }, tokenElement(labels[query])),
        ...Array.from({ length: MOST_KEYS }, (_, n) => {
          const at = strongest[n];
          if (at === undefined) return h("td");
          const number = formatNumber(source.to[at], { plus: kind.side === "difference" });
          return h("td", {}, tokenElement(labels[at]), ` ${at}: ${number}`);
        }),
      ),
    );
  }
  if (rows.length === 0) {
    const what = "Rows of long prompts are not here as a whole. In Python, result.looks_at() tells them.";
    return h("p", { class: "iw-quiet" }, what);
  }
  const cut = labels.length > rows.length ? ` The first ${rows.length} of ${labels.length} tokens.` : "";
  return table(
    [h("strong", {}, nameOf(shown)), `: where each token looks most, ${unitOf(scene)}.${cut}`],
    ["position", "token", "most", ...Array.from({ length: MOST_KEYS - 1 }, (_, n) => `${n + 2}.`)],
    rows,
  );
}
