import { changeDetector, fill, h } from "../../core/dom";
import type { Scene } from "./scene";
import { meaningOf } from "./words";

/** The question, and what a picture shows. */
export class Header {
  readonly element = h("div", { class: "iw-header" });
  readonly #changed = changeDetector();

  /** In a page of its own the question is the page's heading; in a notebook it is none of its headings. */
  constructor(private readonly heading: Record<string, string>) {}

  update({ spec, kind }: Scene): void {
    if (!this.#changed(spec, kind.side, kind.weighted)) return;
    fill(
      this.element,
      h("div", { class: "iw-title", ...this.heading }, spec.title),
      h("div", { class: "iw-subtitle" }, meaningOf({ spec, kind })),
    );
  }
}
