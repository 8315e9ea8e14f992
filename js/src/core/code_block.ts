import css from "./code_block.css";
import { changeDetector, fill, h } from "./dom";
import { copyText } from "./download";

/** The looks of a block of code, for the style sheet of a view that has one. */
export const codeCss = css;

/** Lines of code under a heading, with a button that copies them. */
export class CodeBlock {
  readonly element = h("div", { class: "iw-code", hidden: true });
  #changed = changeDetector();

  constructor(
    private readonly label: string,
    private readonly announce: (text: string) => void,
  ) {}

  /** Shows lines; where there are none, why that is. */
  update(heading: string, code: string, why = "This result came without code."): void {
    if (this.element.hidden || !this.#changed(heading, code, why)) return;
    if (!code) {
      fill(this.element, h("p", { class: "iw-quiet" }, why));
      return;
    }
    const pre = h("pre", { tabindex: 0, role: "region", "aria-label": this.label }, code);
    const copy = h("button", { type: "button", class: "iw-copy" }, "Copy");
    copy.addEventListener("click", async () => {
      const copied = await copyText(code, this.element);
      if (!copied) getSelection()?.selectAllChildren(pre);
      fill(copy, copied ? "Copied" : "Selected: press Ctrl+C");
      this.announce(copied ? "Code copied." : "Copying is refused here. The code is selected.");
      setTimeout(() => fill(copy, "Copy"), 2500);
    });
    fill(this.element, h("div", { class: "iw-code-head" }, h("span", {}, heading), copy), pre);
  }
}
