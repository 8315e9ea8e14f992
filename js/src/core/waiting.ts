import type { JobStatus, Theme } from "../protocol/common";
import { fill, h } from "./dom";
import { Frame } from "./frame";
import { type Model, observe } from "./model";

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
  readonly #frame: Frame;
  readonly #unobserve: () => void;

  /** Calls `ready` once, when the view can be drawn. */
  constructor(
    private readonly model: Model<State>,
    el: HTMLElement,
    label: string,
    ready: () => void,
  ) {
    this.#frame = new Frame(label, "", this.#strip);
    this.#cancel.addEventListener("click", () => {
      this.#cancel.disabled = true;
      model.send({ kind: "cancel" });
    });
    fill(el, this.#frame.element);
    this.#frame.look(model.get("theme") ?? "auto");
    this.#unobserve = observe(model, ["spec", "arrays", "job"], () => {
      if (!isWaiting(model)) ready();
      else this.#update();
    });
    this.#update();
  }

  destroy(): void {
    this.#unobserve();
    this.#frame.element.remove();
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
