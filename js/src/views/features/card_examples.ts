import { h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { Shading } from "../../core/shading";
import { shortStrip } from "../../core/token_strip";
import type { WireCard } from "../../protocol/features";
import { section } from "./card_section";
import type { Scene } from "./scene";
import { formatShare } from "./words";

/** The stretches of a corpus where the latent is strongest, on one scale of their own. */
export function exampleSection({ spec, palette }: Scene, card: WireCard): HTMLElement | null {
  const { examples, density, corpus } = card;
  if (examples === null) return null;
  const most = examples.reduce((most, { values }) => Math.max(most, ...values.map(Math.abs)), 0) || 1;
  const shading = new Shading(palette, most, spec.dictionary.signed);
  const items = examples.map((example) =>
    h(
      "li",
      {},
      h("span", { class: "iw-value" }, formatNumber(example.values[example.peak])),
      shortStrip(example, shading),
    ),
  );
  const where = [corpus, density === null ? "" : `fires on ${formatShare(density)} of tokens`]
    .filter(Boolean)
    .join("; ");
  const none = examples.length ? null : h("p", { class: "iw-quiet" }, "It does not fire in the corpus.");
  return section("examples", "Top examples", where, h("ul", { class: "iw-examples" }, ...items), none);
}
