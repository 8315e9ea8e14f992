import { fill, h } from "../../core/dom";
import { type Model, observe } from "../../core/model";
import type { GridState } from "../../core/protocol";
import { applyPalette, hostTheme, palettes } from "../../core/theme";
import css from "./style.css";

/** What is shown until a server has said what the grid is: how the job stands there, or why nothing will come. */
export class Waiting {
  readonly #text = h("span", { role: "status" });
  readonly #cancel = h("button", { type: "button", class: "iw-cancel" }, "Cancel");
  readonly #strip = h("div", { class: "iw-job" }, this.#text, this.#cancel);
  readonly #root = h("div", { class: "iw-view", role: "group", "aria-label": "patching grid" }, h("style", {}, css));
  readonly #unobserve: () => void;

  /** Calls `ready` once, when the grid can be drawn. */
  constructor(
    private readonly model: Model<GridState>,
    el: HTMLElement,
    ready: () => void,
  ) {
    this.#cancel.addEventListener("click", () => {
      this.#cancel.disabled = true;
      model.send({ kind: "cancel" });
    });
    this.#root.append(this.#strip);
    fill(el, this.#root);
    const theme = model.get("theme") ?? "auto";
    applyPalette(this.#root, palettes[theme === "auto" ? hostTheme(this.#root) : theme], theme);
    this.#unobserve = observe(model, ["spec", "arrays", "job"], () => {
      if (!isWaiting(model)) ready();
      else this.#update();
    });
    this.#update();
  }

  destroy(): void {
    this.#unobserve();
    this.#root.remove();
  }

  #update(): void {
    const { state, note, error } = this.model.get("job");
    this.#strip.dataset.state = state;
    this.#cancel.hidden = state !== "running" || this.model.frozen === true;
    if (state === "failed") {
      fill(this.#strip, h("div", { role: "alert" }, h("strong", {}, "The computation failed. "), error ?? ""));
    } else fill(this.#text, state === "running" ? `Waiting: ${note ?? "no answer yet"}` : "Cancelled before it began.");
  }
}

export function isWaiting(model: Model<GridState>): boolean {
  return !model.get("spec") || !model.get("arrays");
}
