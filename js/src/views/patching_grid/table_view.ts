import { h } from "../../core/dom";
import { formatEffect } from "../../core/format";
import { tokenElement } from "../../core/labels";
import { mean } from "../../core/statistics";
import { Tables, table } from "../../core/tables";
import { type CellIndex, isEstimate, nameCell, Status, sameCell } from "./data";
import type { Scene } from "./scene";
import { axisNames, columnLabel, metricValue, rowLabel, tokenLabel, whyNot, whySo } from "./words";

const MOST_CELLS = 3000;
const STRONGEST = 200;

/** The same cells as tables: one a site with every cell, or one of the strongest where that would be too long. */
export const tableView = () =>
  new Tables<Scene>({
    label: "cells as a table",
    of: (scene) => {
      const { grid, version, spec, job, selected, strips } = scene;
      // Sorting a long list for every row that streams in would hold up the page.
      const moment = isLong(scene) && job.state === "running" ? 0 : version;
      const pins = [selected && grid.at(selected), strips?.selected && strips.grid.at(strips.selected)];
      return [spec, grid, moment, job.state, strips?.grid, ...pins];
    },
    make: (scene) => {
      const tables = isLong(scene) ? [strongestTable(scene)] : panelTables(scene);
      return [...tables, ...(scene.strips ? panelTables(scene.strips) : [])];
    },
  });

function isLong(scene: Scene): boolean {
  return countOf(scene) > MOST_CELLS;
}

function countOf({ data }: Scene): number {
  return data.panels.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
}

function panelTables(scene: Scene): HTMLElement[] {
  return scene.spec.panels.map((_, panel) => panelTable(scene, panel));
}

function panelTable(scene: Scene, panel: number): HTMLElement {
  const { spec, data, pair } = scene;
  const { term, columns: kind, notes } = spec.panels[panel];
  const size = data.panels[panel];
  const names = axisNames(spec, panel);
  const columns = Array.from({ length: size.columns }, (_, column) => {
    const { text } = columnLabel(spec, pair, panel, column);
    const title = kind === "pos" ? `position ${column}` : notes[column];
    return h("th", { scope: "col", title }, kind === "pos" ? tokenElement(text) : text || "effect");
  });
  const rows = Array.from({ length: size.rows }, (_, above) => {
    const row = size.rows - 1 - above;
    const cells = columns.map((_column, column) => effectCell(scene, { panel, row, column }));
    return h("tr", {}, h("th", { scope: "row" }, rowLabel(spec, panel, row)), ...cells);
  });
  const axes = names.columns ? `${names.rows} and ${names.columns}` : names.rows;
  const caption = [h("strong", {}, term.label), ` ${term.meaning ? `${term.meaning}: ` : ""}effect by ${axes}`];
  return table(caption, [names.rows, ...columns], rows, { "data-site": term.name });
}

function effectCell(scene: Scene, cell: CellIndex): HTMLElement {
  const { grid } = scene;
  const at = grid.at(cell);
  const current = sameCell(cell, scene.selected) && "true";
  const reason = whyNot(scene, cell);
  if (reason)
    return h(
      "td",
      { class: "iw-quiet", title: reason, "aria-current": current },
      h("span", { "aria-hidden": "true" }, "·"),
      h("span", { class: "iw-hidden" }, reason),
    );
  const why = whySo(scene, cell);
  const guess = estimateOf(scene, cell);
  const title = why ?? `${metricValue(scene, grid.value(cell))}${guess && `, estimated ${guess}`}`;
  const estimate = isEstimate(grid.status[at]) ? "≈ " : "";
  return h(
    "td",
    { class: why ? "iw-quiet" : null, title, "aria-current": current },
    `${estimate}${formatEffect(grid.effect[at])}`,
  );
}

/** What a cell was estimated to be, in the metric's unit; nothing where it was not. */
function estimateOf(scene: Scene, cell: CellIndex): string {
  const { data, grid, metric } = scene;
  const estimates = grid.pairs.map((pair) => data.estimateAt(metric, pair, grid.at(cell)));
  const value = mean(estimates.filter((estimate) => !Number.isNaN(estimate)));
  return Number.isNaN(value) ? "" : metricValue(scene, value);
}

const PARTS = [
  ["layer", "layer"],
  ["head", "head"],
  ["latent", "latent"],
  ["pos", "position"],
  ["neuron", "neuron"],
  ["role", "role"],
] as const;

function strongestTable(scene: Scene): HTMLElement {
  const { spec, grid, pair, metric } = scene;
  const tokens = spec.panels.some(({ columns }) => columns === "pos");
  const tokenOf = (pos: number | undefined) =>
    pos === undefined ? null : tokenElement(tokenLabel(spec, pair, pos).text);
  const estimates = scene.data.hasEstimates && spec.metrics[metric].term.name === spec.asked;
  const order = [...grid.effect.keys()].filter(
    (at) => grid.status[at] !== Status.pending && !Number.isNaN(grid.effect[at]),
  );
  order.sort((a, b) => Math.abs(grid.effect[b]) - Math.abs(grid.effect[a]));
  const cells = order.slice(0, STRONGEST).map((at) => grid.cellAt(at));
  const named = cells.map((cell) => nameCell(spec, cell));
  const parts = PARTS.filter(([key]) => named.some((cell) => cell[key] !== undefined));
  const called = ({ panel, row }: CellIndex) => {
    const { name } = spec.panels[panel].lines[row];
    return name ? h("bdi", {}, ` ${name}`) : null;
  };
  const rows = cells.map((cell, number) =>
    h(
      "tr",
      { "aria-current": sameCell(cell, scene.selected) && "true" },
      h("th", { scope: "row" }, spec.panels[cell.panel].term.label),
      ...parts.map(([key]) => h("td", {}, String(named[number][key] ?? ""), key === "latent" && called(cell))),
      tokens ? h("td", {}, tokenOf(named[number].pos)) : null,
      h("td", {}, formatEffect(grid.effect[grid.at(cell)])),
      h("td", {}, metricValue(scene, grid.value(cell))),
      estimates ? h("td", {}, estimateOf(scene, cell)) : null,
    ),
  );
  const all = countOf(scene).toLocaleString("en-US");
  const head = ["site", ...parts.map(([, name]) => name), ...(tokens ? ["token"] : []), "effect"];
  head.push(spec.metrics[metric].term.label);
  if (estimates) head.push("estimate");
  return table(`The ${rows.length} strongest of ${all} cells, in either direction. CSV has all of them.`, head, rows);
}
