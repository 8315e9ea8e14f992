import { h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { tokenElement } from "../../core/labels";
import { Tables, table } from "../../core/tables";
import type { CircuitName } from "../../protocol/head_circuits";
import type { Scene } from "./scene";
import { nameOf, UNITS } from "./words";

const MOST = 60;

/** Copying scores of all heads, and the largest entries of both maps of the head that is shown. */
export const tableView = () =>
  new Tables<Scene>({
    label: "tables",
    of: ({ data, shown }) => [data, shown.layer, shown.head],
    make: (scene) => [scores(scene), entries(scene, "qk"), entries(scene, "ov")],
  });

function scores({ spec, data }: Scene): HTMLElement {
  const cell = (layer: number, head: number) => {
    const score = data.copying({ layer, head });
    return h("td", {}, Number.isNaN(score) ? "·" : formatNumber(score, { plus: true }));
  };
  const rows = spec.layers.map((layer) =>
    h("tr", {}, h("th", { scope: "row" }, String(layer)), ...spec.heads.map((head) => cell(layer, head))),
  );
  const caption = "Copying: the sum of the eigenvalues of OV over the sum of their sizes, by layer and head.";
  return table(caption, ["layer", ...spec.heads.map(String)], rows);
}

function entries({ spec, data, shown }: Scene, circuit: CircuitName): HTMLElement {
  const top = data.top(circuit, shown, MOST);
  const names = circuit === "qk" ? ["attends", "to"] : ["attending to", "promotes"];
  const all = (spec.labels.length ** 2).toLocaleString("en-US");
  const missing = data.arrays.missing[circuit];
  const what = missing ? `Not known: ${missing}` : `The ${top.length} largest of ${all} entries. CSV has all of them.`;
  const rows = top.map(({ row, column, value }) => {
    const [first, second] = circuit === "qk" ? [column, row] : [row, column];
    const cells = [tokenElement(spec.labels[first]), tokenElement(spec.labels[second])];
    return h("tr", {}, ...[...cells, formatNumber(value, { plus: true })].map((cell) => h("td", {}, cell)));
  });
  return table(`${circuit.toUpperCase()} of ${nameOf(shown)}. ${what}`, [...names, UNITS[circuit]], rows);
}
