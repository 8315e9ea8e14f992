import { h } from "../../core/dom";
import { bare, isolated, runningTokens, tokenElement } from "../../core/labels";
import { cssOf } from "./colors";
import type { Scene } from "./scene";
import { coordinatesOf, formatCoordinates } from "./words";

/** A point's token, the text around it, and where it lies. */
export function tipOf(scene: Scene, point: number): Node[] {
  const { data, coloring } = scene;
  const group = data.groupName(point);
  const { labels, at, cut } = data.around(point, 12, 6);
  const text = runningTokens(labels, (n): Record<string, string> => (n === at ? { class: "iw-here" } : {}));
  const chip = h("i", { class: "iw-dot", "aria-hidden": "true" });
  chip.style.background = cssOf(coloring, point);
  const place = coordinatesOf(scene, point);
  const where = `position ${data.position(point)} · prompt ${data.prompt[point].toLocaleString("en-US")}`;
  return [
    h("div", { class: "iw-map-tip" }, chip, tokenElement(data.label(point)), h("span", {}, group ?? "")),
    h("div", { class: "iw-tip-text" }, cut ? "…" : "", ...text),
    h("div", { class: "iw-quiet" }, where),
    ...(place ? [h("div", { class: "iw-quiet" }, `${namesOf(scene)}: ${formatCoordinates(...place)}`)] : []),
  ];
}

function namesOf({ spec, axes }: Scene): string {
  return axes.map((axis) => isolated(bare(spec.axes[axis]))).join(", ");
}
