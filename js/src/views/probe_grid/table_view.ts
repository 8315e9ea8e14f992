import { changeDetector, fill, h } from "../../core/dom";
import { tokenElement } from "../../core/labels";
import type { Scene } from "./scene";
import { formatInterval, formatShare, isToken, rowLabels } from "./words";

/** The grid as tables: the measure with its interval, and the control's. */
export class TableView {
  readonly element = h("div", {
    class: "iw-tables",
    hidden: true,
    tabindex: 0,
    role: "region",
    "aria-label": "probes as tables",
  });
  readonly #changed = changeDetector();

  update(scene: Scene): void {
    if (this.element.hidden) return;
    const { data, kind, measure, selected, spec } = scene;
    if (!this.#changed(data, kind, measure, selected?.row, selected?.column)) return;
    const name = `${spec.measures[measure].label}, ${spec.kinds[kind].label}`;
    const parts = [tableOf(scene, `${name}, with its 95% interval`, false)];
    if (spec.control) parts.push(tableOf(scene, `${name}, control task`, true));
    fill(this.element, ...parts);
  }
}

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
  return h(
    "table",
    { class: "iw-table" },
    h("caption", {}, `${caption}.`),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "layer"), ...head)),
    h("tbody", {}, ...body.reverse()),
  );
}
