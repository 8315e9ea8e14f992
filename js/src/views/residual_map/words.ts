import { formatCount, formatNumber, formatPercent } from "../../core/format";
import { bare, isolated } from "../../core/labels";
import type { MapData } from "./data";
import type { Scene } from "./scene";

/** What an axis is, with the share of the variance along it. */
export function axisName({ spec, layer, align }: Scene, axis: number): string {
  const turned = align && !isPlain(layer?.turn);
  const shares = layer && (turned ? layer.turned_shares : layer.shares);
  const share = shares?.[axis];
  const name = turned && spec.method === "PCA" ? `${spec.axes[axis]}, turned` : spec.axes[axis];
  return share === null || share === undefined ? name : `${name} · ${formatShare(share)} of the variance`;
}

/** A share of the variance; what is little must not read as nothing. */
export function formatShare(share: number): string {
  return share > 0 && share < 0.005 ? "<1%" : formatPercent(share);
}

/** Whether a turn turns nothing. */
export function isPlain(turn: readonly number[][] | undefined): boolean {
  return !turn || turn.every((row, n) => row.every((value, m) => Math.abs(value - Number(n === m)) < 1e-6));
}

/** Where a point stands: its token, prompt and label. */
export function spoken(data: MapData, point: number): string {
  const group = data.groupName(point);
  const where = `token ${isolated(bare(data.label(point)))}, position ${data.position(point)} of prompt ${data.prompt[point]}`;
  return group === null ? where : `${where}, ${group}`;
}

/** Where a point lies along the drawn axes, in the layer's units. */
export function coordinatesOf(scene: Scene, point: number): [number, number] | null {
  if (scene.row === null) return null;
  const placed = scene.data.place(scene.row, scene.axes, scene.align);
  return placed && [placed.x[point], placed.y[point]];
}

/** Of how many kinds the selected points are, most first. */
export function breakdown({ selected, coloring, data }: Scene): string {
  const counts = new Map<string, number>();
  for (const point of selected) {
    const name = coloring.kinds[coloring.of[point]]?.name;
    if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const prompts = new Set(selected.map((point) => data.prompt[point])).size;
  const listed = [...counts].sort(([, a], [, b]) => b - a).slice(0, 4);
  const kinds = listed.map(([name, count]) => `${count.toLocaleString("en-US")} ${isolated(bare(name))}`);
  const more = counts.size > listed.length ? [`${counts.size - listed.length} further kinds`] : [];
  return [...kinds, ...more, `from ${formatCount(prompts, "prompt")}`].join(" · ");
}

/** How much of a layer the axes show, in words. */
export function explainedIn({ layer, spec }: Scene): string | null {
  if (!layer || layer.explained === null) return null;
  const axes = spec.axes.length === 2 ? "the two axes" : `the ${spec.axes.length} axes`;
  return `${formatPercent(layer.explained)} of the variance is along ${axes}`;
}

export function formatCoordinates(across: number, up: number): string {
  return `${formatNumber(across)}, ${formatNumber(up)}`;
}

/** The layer that is shown, as people name it. */
export function layerName({ spec }: Pick<Scene, "spec">, row: number): string {
  return `layer ${spec.layers[row]}`;
}
