import { changeDetector, fill, h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { tokenElement } from "../../core/labels";
import type { WireCard } from "../../protocol/features";
import { exampleSection } from "./card_examples";
import { histogramSection } from "./card_histogram";
import { linkSection, neighbourSection, weightSection } from "./card_weights";
import { Dial } from "./dial";
import type { Actions, Scene } from "./scene";
import { formatShare, noun, placeOf, spotOf } from "./words";

const SETTLE = 700;

/** The latent that is shown: what it does here, what else is known of it, and what people call it and wrote. */
export class Card {
  readonly element = h("section", { class: "iw-card", "aria-label": "the latent that is shown" });
  readonly #head = h("div", { class: "iw-card-head" });
  readonly #number = h("strong", { class: "iw-card-number" });
  readonly #name = h("input", { type: "text", class: "iw-card-name", maxlength: 80, autocomplete: "off" });
  readonly #pin = h("button", { type: "button", class: "iw-card-pin" });
  readonly #here = h("div", { class: "iw-card-here" });
  readonly #dial: Dial;
  readonly #sections = h("div", { class: "iw-card-sections" });
  readonly #note = h("textarea", { rows: 2, maxlength: 4000 });
  readonly #noteBox = h("label", { class: "iw-card-note" }, h("span", { class: "iw-panel-name" }, "Note"), this.#note);
  readonly #changed = changeDetector();
  readonly #moved = changeDetector();
  #latent: number | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly actions: Actions,
    signal: AbortSignal,
  ) {
    this.#dial = new Dial(actions, signal);
    fill(this.#head, this.#number, this.#name, this.#pin);
    fill(this.element, this.#head, this.#here, this.#dial.element, this.#sections, this.#noteBox);
    for (const field of [this.#name, this.#note]) {
      field.addEventListener("keydown", (event) => this.#typed(field, event as KeyboardEvent));
      field.addEventListener("input", () => this.#soon());
      field.addEventListener("change", () => this.#save());
    }
    this.#pin.addEventListener("click", () => this.#latent !== null && this.actions.pin(this.#latent));
    this.element.addEventListener("click", (event) => {
      const target = (event.target as Element).closest<HTMLElement>("[data-latent]");
      if (target) this.actions.choose(Number(target.dataset.latent));
    });
    signal.addEventListener("abort", () => clearTimeout(this.#timer));
  }

  update(scene: Scene): void {
    const { shown, spec, data, version, cards, names, notes, pinned, palette, asked, job, live } = scene;
    this.element.hidden = shown === null;
    if (shown === null) return;
    if (this.#latent !== shown) this.#save();
    const moved = this.#latent !== shown;
    this.#latent = shown;
    this.#dial.update(scene, shown);
    const card = cards[shown];
    const state = asked.get(shown);
    if (this.#moved(shown, spec, data, version)) fill(this.#here, ...here(scene, shown));
    if (!this.#changed(shown, spec, card, names, notes, pinned, palette, state, job.state, live)) return;
    const word = noun(spec);
    fill(this.#number, `${word[0].toUpperCase()}${word.slice(1)} ${shown}`);
    this.#show(this.#name, names[shown] ?? "", moved);
    this.#show(this.#note, notes[shown] ?? "", moved);
    this.#name.placeholder = "give it a name";
    this.#name.setAttribute("aria-label", `name of ${word} ${shown}`);
    this.#note.placeholder = "What do you think it is? Saved with the result.";
    // A saved page has nowhere to keep what is typed.
    for (const field of [this.#name, this.#note]) field.readOnly = !live;
    this.#name.hidden = !live && !names[shown];
    this.#noteBox.hidden = !live && !notes[shown];
    const isPinned = pinned.includes(shown);
    fill(this.#pin, isPinned ? "◆ pinned" : "◇ pin");
    this.#pin.title = isPinned ? "take the row away" : "draw as a row under the text";
    this.#pin.setAttribute("aria-pressed", String(isPinned));
    const parts = card ? sectionsOf(scene, card) : [this.#without(scene, shown)];
    if (card && state === "waiting") parts.push(h("p", { class: "iw-quiet", role: "status" }, "Finding out more…"));
    fill(this.#sections, ...parts);
  }

  /** Shows what is saved, unless the reader is writing there. */
  #show(field: HTMLInputElement | HTMLTextAreaElement, text: string, moved: boolean): void {
    if (moved || !field.matches(":focus")) field.value = text;
  }

  #typed(field: HTMLElement, event: KeyboardEvent): void {
    event.stopPropagation();
    if (event.key === "Enter" && field === this.#name) this.#save();
    if (event.key === "Escape") field.blur();
  }

  #soon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#save(), SETTLE);
  }

  #save(): void {
    clearTimeout(this.#timer);
    if (this.#latent === null) return;
    this.actions.rename(this.#latent, this.#name.value);
    this.actions.write(this.#latent, this.#note.value);
  }

  #without({ spec, asked, live, job }: Scene, latent: number): HTMLElement {
    const state = asked.get(latent);
    if (state === "waiting") return h("p", { class: "iw-quiet" }, "Finding out what else is known of it…");
    const ask = h("button", { type: "button", "data-action": "ask" }, state ? "Try again" : "Find out more");
    ask.addEventListener("click", () => this.actions.ask(latent));
    if (state)
      return h("div", { class: "iw-card-failed" }, h("p", { role: "alert" }, `Not found out: ${state.error}`), ask);
    const why = live
      ? spec.answers
        ? `Examples, a histogram and what it promotes are found out when you ask${job.state === "running" ? ", while the text is read" : ""}.`
        : "This result came without a card of it, and without a model to make one."
      : "This saved page has no card of it.";
    return h("div", {}, h("p", { class: "iw-quiet" }, why), live && spec.answers ? ask : null);
  }
}

/** What the latent does on the texts: where it is strongest, how often it fires. */
function here({ data, spec }: Scene, latent: number): Node[] {
  return spec.texts.map(({ name }, text) => {
    const { maximum, total, fires } = data.statistics(latent, text);
    const read = data.read(text);
    const side = spec.texts.length > 1 ? h("span", { class: `iw-${text ? "corrupt" : "clean"}` }, `${name} `) : null;
    if (fires === 0) return h("div", {}, side, h("span", { class: "iw-quiet" }, "does not fire"));
    const at = strongest(data.values(latent, text));
    const token = at === null ? 0 : data.offsets[text] + at;
    const share = formatShare(fires / Math.max(1, read));
    return h(
      "div",
      {},
      side,
      h("span", { class: "iw-quiet" }, "strongest "),
      h("strong", {}, formatNumber(maximum)),
      ...(at === null
        ? []
        : [
            " at ",
            tokenElement(spec.texts[text].labels[at]),
            h("span", { class: "iw-quiet" }, ` (${placeOf({ data, spec }, token)})`),
          ]),
      h("span", { class: "iw-quiet" }, " · mean "),
      formatNumber(total / Math.max(1, read)),
      h("span", { class: "iw-quiet" }, " · fires on "),
      `${fires.toLocaleString("en-US")} of ${read.toLocaleString("en-US")} tokens (${share})`,
    );
  });
}

function strongest(values: Float32Array): number | null {
  let best: number | null = null;
  values.forEach((value, at) => {
    if (value !== 0 && Math.abs(value) > Math.abs(best === null ? 0 : values[best])) best = at;
  });
  return best;
}

/** Of all texts, the one token on which it was looked at what writes to a latent. */
function writtenWhere({ data }: Scene, { written_at }: WireCard): string {
  if (written_at === null || data.documents === 1 || written_at.document >= data.documents)
    return "where it is strongest here";
  return `where it is strongest: ${spotOf(data, written_at)}`;
}

/** The parts of a card that there are; a part more is a line more. */
function sectionsOf(scene: Scene, card: WireCard): HTMLElement[] {
  return [
    exampleSection(scene, card),
    histogramSection(card),
    weightSection("Promotes", "by the logit that one unit adds", card.promotes),
    weightSection("Suppresses", "by the logit that one unit takes", card.suppresses),
    neighbourSection(scene, card),
    linkSection(scene, "Written by", writtenWhere(scene, card), card.written_by),
    linkSection(scene, "Feeds", "by direct weights", card.feeds),
  ].filter((section) => section !== null);
}
