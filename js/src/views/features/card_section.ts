import { h } from "../../core/dom";

/** A part of a card: what it is, what that means, and its content. */
export function section(kind: string, name: string, meaning: string, ...content: (Node | null)[]): HTMLElement {
  return h(
    "div",
    { class: `iw-section iw-section-${kind}` },
    h(
      "div",
      { class: "iw-panel-name", title: meaning },
      name,
      meaning ? h("span", { class: "iw-quiet" }, ` ${meaning}`) : null,
    ),
    ...content,
  );
}
