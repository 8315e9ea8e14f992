import { changeDetector, fill, h } from "../../core/dom";
import { formatEffect } from "../../core/format";
import { tokenElement } from "../../core/labels";
import { type CellIndex, Status } from "./data";
import type { Scene } from "./scene";
import { axisLabel, metricValue, whyKnown, whyNot } from "./words";

const MOST_CELLS = 3000;
const STRONGEST = 200;

/** The same cells as tables: one a site with every cell, or one of the strongest where that would be too long. */
export class TableView {
  readonly element = h("div", {
    class: "iw-tables",
    hidden: true,
    tabindex: 0,
    role: "region",
    "aria-label": "cells as a table",
  });
  #changed = changeDetector();

  update(scene: Scene): void {
    if (this.element.hidden) return;
    const { grid, version, spec, job } = scene;
    const long = grid.effect.length > MOST_CELLS;
    // Sorting a long list for every row that streams in would hold up the page.
    const moment = long && job.state === "running" ? 0 : version;
    if (!this.#changed(spec, grid, moment, job.state)) return;
    if (!long) fill(this.element, ...spec.sites.map((_, site) => siteTable(scene, site)));
    else fill(this.element, strongestTable(scene));
  }
}

function siteTable(scene: Scene, site: number): HTMLElement {
  const { spec, data, pair } = scene;
  const tokens = Array.from({ length: data.positions }, (_, pos) =>
    h("th", { scope: "col", title: `position ${pos}` }, tokenElement(axisLabel(spec, pair, pos).text)),
  );
  const rows = [...spec.layers.keys()].reverse().map((layer) => {
    const cells = tokens.map((_, pos) => effectCell(scene, { site, layer, pos }));
    return h("tr", {}, h("th", { scope: "row" }, String(spec.layers[layer])), ...cells);
  });
  const { label, meaning } = spec.sites[site];
  return h(
    "table",
    { class: "iw-table", "data-site": spec.sites[site].name },
    h("caption", {}, h("strong", {}, label), ` ${meaning}: effect by layer and token`),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "layer"), ...tokens)),
    h("tbody", {}, ...rows),
  );
}

function effectCell(scene: Scene, cell: CellIndex): HTMLElement {
  const { grid } = scene;
  const at = grid.at(cell);
  const reason = whyNot(scene, cell);
  if (reason)
    return h(
      "td",
      { class: "iw-quiet", title: reason },
      h("span", { "aria-hidden": "true" }, "·"),
      h("span", { class: "iw-hidden" }, reason),
    );
  const known = whyKnown(scene, cell);
  const title = known ?? metricValue(scene, grid.value(cell));
  return h("td", { class: known ? "iw-quiet" : null, title }, formatEffect(grid.effect[at]));
}

function strongestTable(scene: Scene): HTMLElement {
  const { spec, grid, pair, metric } = scene;
  const order = [...grid.effect.keys()].filter(
    (at) => grid.status[at] !== Status.pending && !Number.isNaN(grid.effect[at]),
  );
  order.sort((a, b) => Math.abs(grid.effect[b]) - Math.abs(grid.effect[a]));
  const rows = order.slice(0, STRONGEST).map((at) => {
    const cell = grid.cellAt(at);
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, spec.sites[cell.site].label),
      h("td", {}, String(spec.layers[cell.layer])),
      h("td", {}, String(cell.pos)),
      h("td", {}, tokenElement(axisLabel(spec, pair, cell.pos).text)),
      h("td", {}, formatEffect(grid.effect[at])),
      h("td", {}, metricValue(scene, grid.value(cell))),
    );
  });
  const all = grid.effect.length.toLocaleString("en-US");
  const head = ["site", "layer", "position", "token", "effect", spec.metrics[metric].term.label];
  return h(
    "table",
    { class: "iw-table iw-list" },
    h("caption", {}, `The ${rows.length} strongest of ${all} cells, in either direction. CSV has all of them.`),
    h("thead", {}, h("tr", {}, ...head.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, ...rows),
  );
}
