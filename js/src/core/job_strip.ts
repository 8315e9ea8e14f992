import { changeDetector, fill, h } from "./dom";
import { formatCount, formatDuration } from "./format";
import type { JobStatus } from "./protocol";

interface Actions {
  cancel(): void;
  announce(text: string): void;
}

/** How far the work is, with a way to stop it; and what became of it if it did not end well. */
export class JobStrip {
  readonly element = h("div", { class: "iw-job" });
  readonly #bar = h("span", { class: "iw-progress-done" });
  readonly #track: HTMLElement;
  readonly #text = h("span");
  readonly #cancel = h("button", { type: "button", class: "iw-cancel" }, "Cancel");
  readonly #newState = changeDetector();
  #ran = false;

  constructor(
    /** What is counted: "cell". */
    private readonly noun: string,
    private readonly verb: string,
    private readonly actions: Actions,
    private readonly live: boolean,
  ) {
    const role = { role: "progressbar", "aria-label": `${noun}s ${verb}`, "aria-valuemin": 0, "aria-valuemax": 100 };
    this.#track = h("div", { class: "iw-progress", ...role }, this.#bar);
    this.#cancel.addEventListener("click", () => {
      this.#cancel.disabled = true;
      fill(this.#cancel, "Cancelling…");
      actions.cancel();
    });
  }

  update(job: JobStatus): void {
    const { state, done, total, eta, error } = job;
    const said = `${done.toLocaleString("en-US")} of ${formatCount(total, this.noun)}`;
    this.#ran ||= state === "running";
    if (this.#newState(state, error)) this.#show(job, said);
    if (state !== "running") return;
    const share = total > 0 ? done / total : 0;
    this.#bar.style.width = `${100 * share}%`;
    this.#track.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    fill(this.#text, eta === null ? said : `${said} · about ${formatDuration(eta)} left`);
  }

  #show({ state, error, seconds }: JobStatus, said: string): void {
    // What was watched stays, so that nothing jumps under the reader's hand when the work ends.
    this.element.hidden = state === "done" && !this.#ran;
    this.element.dataset.state = state;
    if (state === "running") {
      this.#cancel.disabled = false;
      fill(this.#cancel, "Cancel");
      fill(this.element, this.#track, this.#text, this.live ? this.#cancel : null);
    } else if (state === "cancelled") {
      fill(this.element, h("span", {}, `Cancelled: ${said} ${this.verb}, the rest is not.`));
      this.actions.announce(`Cancelled: ${said} ${this.verb}.`);
    } else if (state === "failed") {
      const what = h("div", { role: "alert" }, h("strong", {}, "The computation failed. "), error ?? "");
      fill(this.element, what, h("div", { class: "iw-quiet" }, `${said} were ${this.verb} before and are shown.`));
    } else fill(this.element, `Done in ${formatDuration(seconds)}.`);
  }
}
