import { changeDetector, fill, h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { tokenElement } from "../../core/labels";
import type { CircuitName } from "../../protocol/head_circuits";
import type { Scene } from "./scene";
import { nameOf, UNITS } from "./words";

const MOST = 60;

/** Copying scores of all heads, and the largest entries of both maps of the head that is shown. */
export class TableView {
  readonly element = h("div", {
    class: "iw-tables",
    tabindex: 0,
    role: "region",
    "aria-label": "tables",
    hidden: true,
  });
  readonly #changed = changeDetector();

  update(scene: Scene): void {
    if (this.element.hidden) return;
    const { data, shown } = scene;
    if (!this.#changed(data, shown.layer, shown.head)) return;
    fill(this.element, scores(scene), entries(scene, "qk"), entries(scene, "ov"));
  }
}

function scores({ spec, data }: Scene): HTMLElement {
  const cell = (layer: number, head: number) => {
    const score = data.copying({ layer, head });
    return h("td", {}, Number.isNaN(score) ? "·" : formatNumber(score, { plus: true }));
  };
  return h(
    "table",
    { class: "iw-table" },
    h("caption", {}, "Copying: the sum of the eigenvalues of OV over the sum of their sizes, by layer and head."),
    h("thead", {}, h("tr", {}, ...["layer", ...spec.heads.map(String)].map((name) => h("th", { scope: "col" }, name)))),
    h(
      "tbody",
      {},
      ...spec.layers.map((layer) =>
        h("tr", {}, h("th", { scope: "row" }, String(layer)), ...spec.heads.map((head) => cell(layer, head))),
      ),
    ),
  );
}

function entries({ spec, data, shown }: Scene, circuit: CircuitName): HTMLElement {
  const top = data.top(circuit, shown, MOST);
  const names = circuit === "qk" ? ["attends", "to"] : ["attending to", "promotes"];
  const all = (spec.labels.length ** 2).toLocaleString("en-US");
  const missing = data.arrays.missing[circuit];
  const what = missing ? `Not known: ${missing}` : `The ${top.length} largest of ${all} entries. CSV has all of them.`;
  return h(
    "table",
    { class: "iw-table" },
    h("caption", {}, `${circuit.toUpperCase()} of ${nameOf(shown)}. ${what}`),
    h("thead", {}, h("tr", {}, ...[...names, UNITS[circuit]].map((name) => h("th", { scope: "col" }, name)))),
    h(
      "tbody",
      {},
      ...top.map(({ row, column, value }) => {
        const [first, second] = circuit === "qk" ? [column, row] : [row, column];
        return h(
          "tr",
          {},
          h("td", {}, tokenElement(spec.labels[first])),
          h("td", {}, tokenElement(spec.labels[second])),
          h("td", {}, formatNumber(value, { plus: true })),
        );
      }),
    ),
  );
}
