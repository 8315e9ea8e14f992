import { changeDetector, fill, h } from "../../core/dom";
import { formatCount, formatDuration } from "../../core/format";
import type { JobStatus } from "../../protocol/common";
import type { Actions, Scene } from "./scene";

/** How far the computation is, with a way to stop it; and what became of it if it did not end well. */
export class JobStrip {
  readonly element = h("div", { class: "iw-job" });
  #bar = h("span", { class: "iw-progress-done" });
  #track = h(
    "div",
    {
      class: "iw-progress",
      role: "progressbar",
      "aria-label": "cells computed",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
    },
    this.#bar,
  );
  #text = h("span");
  #cancel = h("button", { type: "button", class: "iw-cancel" }, "Cancel");
  #newState = changeDetector();
  #ran = false;

  constructor(
    private readonly actions: Actions,
    private readonly live: boolean,
  ) {
    this.#cancel.addEventListener("click", () => {
      this.#cancel.disabled = true;
      fill(this.#cancel, "Cancelling…");
      actions.cancel();
    });
  }

  update({ job, data }: Scene): void {
    const { state, done, total, eta, error, note } = job;
    const cells = `${done.toLocaleString("en-US")} of ${formatCount(total, "cell")}`;
    this.#ran ||= state === "running";
    if (this.#newState(state, error, data)) this.#show(job, cells);
    if (state !== "running") return;
    const share = total > 0 ? done / total : 0;
    this.#bar.style.width = `${100 * share}%`;
    this.#track.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    const left = eta === null ? null : `about ${formatDuration(eta)} left`;
    fill(this.#text, [cells, left, note].filter(Boolean).join(" · "));
  }

  #show({ state, error, seconds }: JobStatus, cells: string): void {
    // What was watched stays, so that the grid does not jump under the reader's hand when the last row is in.
    this.element.hidden = state === "done" && !this.#ran;
    this.element.dataset.state = state;
    if (state === "running") {
      this.#cancel.disabled = false;
      fill(this.#cancel, "Cancel");
      fill(this.element, this.#track, this.#text, this.live ? this.#cancel : null);
    } else if (state === "cancelled") {
      fill(this.element, h("span", {}, `Cancelled: ${cells} computed, the rest is not.`));
      this.actions.announce(`Cancelled: ${cells} computed.`);
    } else if (state === "failed") {
      const what = h("div", { role: "alert" }, h("strong", {}, "The computation failed. "), error ?? "");
      fill(this.element, what, h("div", { class: "iw-quiet" }, `${cells} were computed before and are shown.`));
    } else fill(this.element, `Done in ${formatDuration(seconds)}.`);
  }
}
