import { h } from "../../core/dom";
import { tokenElement } from "../../core/labels";
import { Tables, table } from "../../core/tables";
import type { Scene } from "./scene";
import { formatInterval, formatShare, isToken, rowLabels } from "./words";

/** The grid as tables: the measure with its interval, and the control's. */
export const tableView = () =>
  new Tables<Scene>({
    label: "probes as tables",
    of: ({ data, kind, measure, selected }) => [data, kind, measure, selected?.row, selected?.column],
    make: (scene) => {
      const { spec, kind, measure } = scene;
      const name = `${spec.measures[measure].label}, ${spec.kinds[kind].label}`;
      const own = tableOf(scene, `${name}, with its 95% interval`, false);
      return [own, spec.control ? tableOf(scene, `${name}, control task`, true) : null];
    },
  });

function tableOf(scene: Scene, caption: string, control: boolean): HTMLElement {
  const { spec, data, kind, measure, selected } = scene;
  const labels = rowLabels(spec);
  const head = spec.columns.map((column) =>
    h("th", { scope: "col" }, tokenElement(column.label), isToken(column) ? ` ${column.pos}` : null),
  );
  const body = spec.rows.map((_, row) => {
    const cells = spec.columns.map(({ untested }, column) => {
      const figures = data.figures(measure, kind, { row, column });
      const interval = control ? "" : formatInterval(figures);
      const value = control ? figures.control : figures.value;
      const text = untested ? "not tested" : Number.isNaN(value) ? "–" : formatShare(value);
      const current = row === selected?.row && column === selected?.column && "true";
      return h("td", { "aria-current": current }, text, interval && h("span", { class: "iw-quiet" }, ` ${interval}`));
    });
    return h("tr", {}, h("th", { scope: "row" }, labels[row]), ...cells);
  });
  return table(`${caption}.`, ["layer", ...head], body.reverse());
}
