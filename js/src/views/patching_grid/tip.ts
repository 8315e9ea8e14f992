import { h } from "../../core/dom";
import { formatEffect, formatNumber, formatProbability } from "../../core/format";
import { tokenElement } from "../../core/labels";
import { type CellIndex, positionOf } from "./data";
import type { Scene } from "./scene";
import {
  type Accent,
  hasTokens,
  intervalOf,
  labelsAt,
  placeOf,
  sideName,
  topOf,
  whyNot,
  whySo,
  withUnit,
} from "./words";

const MOST_LABELS = 8;

/** A cell's name in parts, with its token as an element. */
export function placeNodes(scene: Scene, cell: CellIndex): (Node | string)[] {
  const { site, row, column, token } = placeOf(scene, cell);
  const text = [site, row, column].filter(Boolean).join(" · ");
  return token === null ? [text] : [`${text} · `, tokenElement(token)];
}

/** What is known of a cell, briefly, for the note beside the pointer. */
export function tipContent(scene: Scene, cell: CellIndex): Node[] {
  const { spec, grid } = scene;
  const { term } = spec.metrics[scene.metric];
  const content: Node[] = [h("div", { class: "iw-tip-head" }, ...placeNodes(scene, cell))];
  const position = positionOf(spec, cell);
  if (position !== null)
    content.push(h("div", { class: "iw-tip-place" }, `position ${position}`, ...differing(scene, position)));
  const { note } = placeOf(scene, cell);
  if (note) content.push(h("div", { class: "iw-tip-place" }, note));
  const reason = whyNot(scene, cell);
  if (reason) return [...content, h("div", { class: "iw-tip-why" }, reason)];
  const facts = [
    ...fact("effect", h("strong", {}, formatEffect(grid.effect[grid.at(cell)]))),
    ...fact(term.label, withUnit(scene, grid.value(cell))),
  ];
  const uncertainty = grid.uncertainty(cell);
  if (uncertainty) {
    facts.push(...fact("95% interval", intervalOf(scene, cell) ?? ""));
    facts.push(
      ...fact("spread", `± ${formatNumber(uncertainty.spread)} between ${uncertainty.count} ${spec.story.noun}s`),
    );
  }
  content.push(h("div", { class: "iw-tip-facts" }, ...facts));
  const why = whySo(scene, cell);
  if (why) content.push(h("div", { class: "iw-tip-why" }, why));
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

function differing({ spec, pair }: Scene, pos: number): (Node | string)[] {
  const shown = pair === null ? spec.pairs : [spec.pairs[pair]];
  const noised = shown.some(
    ({ differs, clean, corrupt }) => differs.includes(pos) && clean.labels[pos] === corrupt.labels[pos],
  );
  if (noised) return [` · ${sideName(spec, "corrupt")}`];
  const clean = labelsAt(spec, pair, pos, "clean");
  const differs = hasTokens(spec, "corrupt") && shown.some((one) => one.differs.includes(pos));
  if (!differs && clean.length === 1) return [];
  const list = (side: Accent, labels: string[]) => [
    ` · ${sideName(spec, side)} `,
    ...labels
      .slice(0, MOST_LABELS)
      .flatMap((label, i) => [i ? " " : "", tokenElement(label, { class: differs ? `iw-${side}` : "" })]),
    labels.length > MOST_LABELS ? ` and ${labels.length - MOST_LABELS} more` : "",
  ];
  return differs
    ? [...list("clean", clean), ...list("corrupt", labelsAt(spec, pair, pos, "corrupt"))]
    : list("clean", clean).slice(1);
}
