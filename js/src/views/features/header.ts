import { changeDetector, fill, h } from "../../core/dom";
import { formatCount, formatNumber, formatPercent } from "../../core/format";
import type { WireFit } from "../../protocol/features";
import type { Scene } from "./scene";
import { noun, titleOf } from "./words";

/** What colour means, and what there is of it. */
export function meaningOf({ spec, data }: Pick<Scene, "spec" | "data">): string {
  const { dictionary } = spec;
  const word = noun(spec);
  const fires = `${data.firingCount.toLocaleString("en-US")} of ${formatCount(dictionary.n_latents, word)} fire here`;
  const signed = dictionary.signed ? " Warm is above 0, cool below." : "";
  const normalised = dictionary.normalised ? `, ${dictionary.normalised}` : "";
  const each = data.fit ? `, ${formatNumber(data.fit.l0)} on a token` : "";
  return `Colour is how strongly one ${word} fires at a token.${signed} Read from ${dictionary.reads}${normalised}: ${fires}${each}.`;
}

/** The question, what colour means, and how far the dictionary can be trusted on this text. */
export class Header {
  readonly element = h("div", { class: "iw-header" });
  #changed = changeDetector();

  /** In a page of its own the question is the page's heading; in a notebook it is none of its headings. */
  constructor(private readonly heading: Record<string, string>) {}

  update({ spec, data, version, job }: Scene): void {
    if (!this.#changed(spec, data, version, job.state)) return;
    fill(
      this.element,
      h("div", { class: "iw-title", ...this.heading }, titleOf(spec)),
      h("div", { class: "iw-subtitle" }, meaningOf({ spec, data })),
      data.fit && this.#fit(data.fit),
    );
  }

  #fit(fit: WireFit): HTMLElement {
    const said: string[] = [];
    if (fit.variance_explained !== null) said.push(`${formatPercent(fit.variance_explained)} of the variance`);
    if (fit.loss_recovered !== null) said.push(`${formatPercent(fit.loss_recovered)} of the loss`);
    const poor = (fit.variance_explained ?? 1) < 0.5 || (fit.loss_recovered ?? 1) < 0.5;
    const title = `loss ${formatNumber(fit.loss)}, ${formatNumber(fit.loss_with)} with the reconstruction, ${formatNumber(fit.loss_without)} with zeros`;
    return h(
      "div",
      { class: poor ? "iw-note iw-poor" : "iw-note", title },
      poor ? "Take care: " : "",
      `${poor ? "its" : "Its"} reconstruction keeps ${said.join(" and ")}`,
      poor ? ". That is little: it may belong to another model, place or kind of text." : ".",
    );
  }
}
