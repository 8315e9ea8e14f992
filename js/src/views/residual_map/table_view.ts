import { h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { tokenElement } from "../../core/labels";
import { Tables, table } from "../../core/tables";
import type { Scene } from "./scene";
import { coordinatesOf, formatShare, layerName } from "./words";

const MOST = 500;

/** The same as tables: layers with the variance along their axes, and points with their places. */
export const tableView = () =>
  new Tables<Scene>({
    label: "points as tables",
    of: ({ data, version, row, axes, align, selected }) => [data, version, row, axes.join(), align, selected],
    make: (scene) => [layerTable(scene), pointTable(scene)],
  });

function layerTable({ spec, data, align }: Scene): HTMLElement {
  const rows = spec.layers.map((layer, row) => {
    const known = data.layers.get(row);
    const shares = known && (align ? known.turned_shares : known.shares);
    const cells = spec.axes.map((_, axis) => h("td", {}, percent(shares?.[axis])));
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, String(layer)),
      ...cells,
      h("td", {}, known ? formatNumber(known.spread) : "—"),
    );
  });
  return table(
    "Layers: share of the variance along each axis, and the spread in all dimensions (standard deviation)",
    ["layer", ...spec.axes, "spread"],
    rows,
  );
}

function pointTable(scene: Scene): HTMLElement {
  const { data, spec, axes, selected, row } = scene;
  const points = selected.length
    ? selected.slice(0, MOST)
    : Array.from({ length: Math.min(MOST, data.count) }, (_, n) => n);
  const grouped = spec.labels.length > 0;
  const rows = points.map((point) => {
    const place = coordinatesOf(scene, point);
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, String(point)),
      h("td", {}, tokenElement(data.label(point))),
      h("td", {}, String(data.prompt[point])),
      h("td", {}, String(data.position(point))),
      grouped && h("td", {}, data.groupName(point)),
      ...axes.map((_, n) => h("td", {}, place ? formatNumber(place[n]) : "—")),
    );
  });
  const which = selected.length ? "selected points" : "points";
  const all = selected.length || data.count;
  const part =
    all > points.length
      ? `the first ${points.length} of ${all.toLocaleString("en-US")} ${which}`
      : `${all.toLocaleString("en-US")} ${which}`;
  const where = row === null ? "" : ` in ${layerName(scene, row)}`;
  const heads = [
    "point",
    "token",
    "prompt",
    "position",
    ...(grouped ? ["label"] : []),
    ...axes.map((axis) => spec.axes[axis]),
  ];
  return table(`Points: ${part}${where}`, heads, rows);
}

function percent(share: number | null | undefined): string {
  return share === null || share === undefined ? "—" : formatShare(share);
}
