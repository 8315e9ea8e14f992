import type { JobStatus, Theme } from "../protocol/common";
import { fill, h } from "./dom";
import { type Model, observe } from "./model";
import { applyPalette, hostTheme, palettes } from "./theme";

/** The part of a view's state that says whether there is something to draw. */
export interface Awaited {
  spec: unknown;
  arrays: unknown;
  job: JobStatus;
  theme: Theme;
}

/** What is shown until a server has said what there is: how the job stands there, or why nothing will come. */
export class Waiting<State extends Awaited> {
  readonly #text = h("span", { role: "status" });
  readonly #cancel = h("button", { type: "button", class: "iw-cancel" }, "Cancel");
  readonly #strip = h("div", { class: "iw-job" }, this.#text, this.#cancel);
  readonly #root: HTMLElement;
  readonly #unobserve: () => void;

  /** Calls `ready` once, when the view can be drawn. */
  constructor(
    private readonly model: Model<State>,
    el: HTMLElement,
    { label, css }: { label: string; css: string },
    ready: () => void,
  ) {
    this.#root = h("div", { class: "iw-view", role: "group", "aria-label": label }, h("style", {}, css));
    this.#cancel.addEventListener("click", () => {
      this.#cancel.disabled = true;
      model.send({ kind: "cancel" });
    });
    this.#root.append(this.#strip);
    fill(el, this.#root);
    const theme: Theme = model.get("theme") ?? "auto";
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

export function isWaiting<State extends Awaited>(model: Model<State>): boolean {
  return !model.get("spec") || !model.get("arrays");
}
