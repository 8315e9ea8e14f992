import { h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import type { Head, Scene } from "./scene";
import { nameOf } from "./words";

/** What is known of a head: each score beside what a head that does nothing of the kind has. */
export function tipOf({ spec, scores, score, data }: Scene, head: Head): Node[] {
  const [row, column] = [spec.layers.indexOf(head.layer), spec.heads.indexOf(head.head)];
  const badges = scores.badges(row, column);
  const nodes: Node[] = [h("strong", {}, nameOf(head))];
  if (!data.isRead(row)) nodes.push(h("div", { class: "iw-quiet" }, "Not read yet."));
  if (badges.length) nodes.push(h("div", {}, badges.map(({ head: called }) => called).join(", ")));
  if (!scores.any) return nodes;
  const lines = scores.terms.map((term) => {
    const { value, low, high } = scores.of(term.name, row, column);
    const baseline = scores.baseline(term.name);
    const interval = Number.isNaN(low) ? "" : `${formatNumber(low)} to ${formatNumber(high)}`;
    return h(
      "tr",
      { class: term.name === score || badges.includes(term) ? "iw-own" : null },
      h("th", {}, term.badge),
      h("td", {}, Number.isNaN(value) ? "…" : formatNumber(value)),
      h("td", { class: "iw-quiet" }, interval),
      h("td", { class: "iw-quiet" }, baseline === null ? "" : formatNumber(baseline)),
    );
  });
  const head_ = h("tr", { class: "iw-quiet" }, ...["score", "", "95%", "baseline"].map((name) => h("th", {}, name)));
  nodes.push(h("table", { class: "iw-tip-scores" }, head_, ...lines));
  return nodes;
}
