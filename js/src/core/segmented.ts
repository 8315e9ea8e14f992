import { changeDetector, fill, h, setAttributes } from "./dom";
import { moveOption } from "./keyboard";

export interface Option<Value> {
  value: Value;
  text: string;
  title?: string;
  data?: Record<string, string>;
}

/** One of a few options, side by side: a radio group in which only the chosen one, or the first, is a tab stop. */
export class Segmented<Value> {
  readonly element: HTMLElement;
  #options: Option<Value>[] = [];
  #buttons: HTMLButtonElement[] = [];
  #changed = changeDetector();

  constructor(
    label: string,
    private readonly pick: (value: Value) => void,
    className = "",
  ) {
    this.element = h("div", { class: `iw-segmented ${className}`.trim(), role: "radiogroup", "aria-label": label });
    this.element.addEventListener("keydown", (event) => {
      const at = this.#buttons.indexOf(event.target as HTMLButtonElement);
      const to = at < 0 ? null : moveOption(event.key, at, this.#buttons.length);
      if (to === null) return;
      event.preventDefault();
      event.stopPropagation();
      this.#buttons[to].focus();
      this.pick(this.#options[to].value);
    });
  }

  update(options: Option<Value>[], current: Value): void {
    this.#options = options;
    if (this.#changed(options.map(({ text }) => text).join("\n"))) {
      this.#buttons = options.map(({ text, title, data = {} }, i) => {
        const button = h("button", { type: "button", role: "radio", title, ...data }, text);
        button.addEventListener("click", () => this.pick(this.#options[i].value));
        return button;
      });
      fill(this.element, ...this.#buttons);
    }
    const chosen = options.findIndex(({ value }) => Object.is(value, current));
    this.#buttons.forEach((button, i) => {
      setAttributes(button, { "aria-checked": String(i === chosen), tabindex: i === Math.max(0, chosen) ? 0 : -1 });
    });
  }
}
