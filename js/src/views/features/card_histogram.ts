import { h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import type { WireCard } from "../../protocol/features";
import { section } from "./card_section";
import { formatShare } from "./words";

/** How often the latent fires how strongly, in a corpus: on a logarithmic scale, for strong ones are rare. */
export function histogramSection({ histogram, density }: WireCard): HTMLElement | null {
  if (histogram === null || histogram.counts.length === 0) return null;
  const { edges, counts } = histogram;
  const most = Math.max(1, ...counts);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const bars = counts.map((count, n) => {
    const range = `${formatNumber(edges[n])} to ${formatNumber(edges[n + 1])}: ${count.toLocaleString("en-US")} tokens`;
    const bar = h("i", { title: range });
    bar.style.height = `${count === 0 ? 0 : Math.max(4, (100 * Math.log1p(count)) / Math.log1p(most))}%`;
    return bar;
  });
  const said = `${total.toLocaleString("en-US")} activations from ${formatNumber(edges[0])} to ${formatNumber(edges[edges.length - 1])}`;
  return section(
    "histogram",
    "Activations",
    density === null ? "in the corpus, log scale" : `density ${formatShare(density)}, log scale`,
    h("div", { class: "iw-histogram", role: "img", "aria-label": said }, ...bars),
    h(
      "div",
      { class: "iw-ticks" },
      h("span", {}, formatNumber(edges[0])),
      h("span", {}, ""),
      h("span", {}, formatNumber(edges[edges.length - 1])),
    ),
  );
}
