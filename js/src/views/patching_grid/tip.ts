import { h } from "../../core/dom";
import { formatEffect, formatNumber, formatProbability } from "../../core/format";
import { tokenElement } from "../../core/labels";
import type { CellIndex } from "./data";
import type { Scene } from "./scene";
import { axisLabel, labelsAt, topOf, whyKnown, whyNot, withUnit } from "./words";

const MOST_LABELS = 8;

/** What is known of a cell, briefly, for the note beside the pointer. */
export function tipContent(scene: Scene, cell: CellIndex): Node[] {
  const { spec, grid } = scene;
  const { term } = spec.metrics[scene.metric];
  const reason = whyNot(scene, cell);
  const content: Node[] = [
    h(
      "div",
      { class: "iw-tip-head" },
      `${spec.sites[cell.site].label} · layer ${spec.layers[cell.layer]} · `,
      tokenElement(axisLabel(spec, scene.pair, cell.pos).text),
    ),
    h("div", { class: "iw-tip-place" }, `position ${cell.pos}`, ...differing(scene, cell)),
  ];
  if (reason) return [...content, h("div", { class: "iw-tip-why" }, reason)];
  const spread = grid.spread(cell);
  const facts: (Node | null)[] = [
    ...fact("effect", h("strong", {}, formatEffect(grid.effect[grid.at(cell)]))),
    ...fact(term.label, withUnit(scene, grid.value(cell))),
    ...(Number.isNaN(spread)
      ? []
      : fact("spread", `± ${formatNumber(spread)} between ${grid.effects(cell).length} pairs`)),
  ];
  content.push(h("div", { class: "iw-tip-facts" }, ...facts));
  const known = whyKnown(scene, cell);
  if (known) content.push(h("div", { class: "iw-tip-why" }, known));
  const top = topOf(scene, cell);
  if (top.length)
    content.push(h("div", { class: "iw-tip-top" }, ...top.flatMap(({ label, prob }) => bar(label, prob))));
  return content;
}

function fact(name: string, value: string | Node): Node[] {
  return [h("span", { class: "iw-quiet" }, name), h("span", {}, value)];
}

function bar(label: string, prob: number): Node[] {
  const fillBar = h("span", { class: "iw-bar" });
  fillBar.style.setProperty("--_share", String(prob));
  return [tokenElement(label), fillBar, h("span", {}, formatProbability(prob))];
}

function differing({ spec, pair }: Scene, { pos }: CellIndex): (Node | string)[] {
  const clean = labelsAt(spec, pair, pos, "clean");
  const corrupt = labelsAt(spec, pair, pos, "corrupt");
  const differs = (pair === null ? spec.pairs : [spec.pairs[pair]]).some((one) => one.differs.includes(pos));
  if (!differs && clean.length === 1) return [];
  const list = (side: "clean" | "corrupt", labels: string[]) => [
    ` · ${side} `,
    ...labels
      .slice(0, MOST_LABELS)
      .flatMap((label, i) => [i ? " " : "", tokenElement(label, { class: differs ? `iw-${side}` : "" })]),
    labels.length > MOST_LABELS ? ` and ${labels.length - MOST_LABELS} more` : "",
  ];
  return differs ? [...list("clean", clean), ...list("corrupt", corrupt)] : list("clean", clean).slice(1);
}
