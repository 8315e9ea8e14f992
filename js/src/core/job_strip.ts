import type { JobStatus } from "../protocol/common";
import { changeDetector, fill, h } from "./dom";
import { formatCount, formatDuration } from "./format";

interface Words {
  /** What is counted: "cell", "step". */
  noun: string;
  /** What became of them: "computed". */
  done: string;
}

/** How far the work is, with a way to stop it; and what became of it if it did not end well. */
export class JobStrip {
  readonly element = h("div", { class: "iw-job" });
  #bar = h("span", { class: "iw-progress-done" });
  #track: HTMLElement;
  #text = h("span");
  #cancel = h("button", { type: "button", class: "iw-cancel" }, "Cancel");
  #newState = changeDetector();
  #ran = false;

  constructor(
    private readonly words: Words,
    private readonly actions: { cancel(): void; announce(text: string): void },
    private readonly live: boolean,
  ) {
    const about = {
      class: "iw-progress",
      role: "progressbar",
      "aria-label": `${words.noun}s ${words.done}`,
      "aria-valuemin": 0,
      "aria-valuemax": 100,
    };
    this.#track = h("div", about, this.#bar);
    this.#cancel.addEventListener("click", () => {
      this.#cancel.disabled = true;
      fill(this.#cancel, "Cancelling…");
      actions.cancel();
    });
  }

  update(job: JobStatus): void {
    const { state, done, total, eta, error, note } = job;
    const count = `${done.toLocaleString("en-US")} of ${formatCount(total, this.words.noun)}`;
    this.#ran ||= state === "running";
    if (this.#newState(state, error, state === "running" || count)) this.#show(job, count);
    if (state !== "running") return;
    const share = total > 0 ? done / total : 0;
    this.#bar.style.width = `${100 * share}%`;
    this.#track.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    const left = eta === null ? null : `about ${formatDuration(eta)} left`;
    fill(this.#text, [count, left, note].filter(Boolean).join(" · "));
  }

  #show({ state, error, seconds }: JobStatus, count: string): void {
    // What was watched stays, so that nothing jumps under the reader's hand when the work is done.
    this.element.hidden = state === "done" && !this.#ran;
    this.element.dataset.state = state;
    if (state === "running") {
      this.#cancel.disabled = false;
      fill(this.#cancel, "Cancel");
      fill(this.element, this.#track, this.#text, this.live ? this.#cancel : null);
    } else if (state === "cancelled") {
      fill(this.element, h("span", {}, `Cancelled: ${count} ${this.words.done}, the rest is not.`));
      this.actions.announce(`Cancelled: ${count} ${this.words.done}.`);
    } else if (state === "failed") {
      const what = h("div", { role: "alert" }, h("strong", {}, "The computation failed. "), error ?? "");
      fill(
        this.element,
        what,
        h("div", { class: "iw-quiet" }, `${count} were ${this.words.done} before and are shown.`),
      );
    } else fill(this.element, `Done in ${formatDuration(seconds)}.`);
  }
}
