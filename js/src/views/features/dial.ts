import { changeDetector, fill, h } from "../../core/dom";
import { formatNumber, formatProbability } from "../../core/format";
import { isolated, tokenElement } from "../../core/labels";
import type { WirePrediction } from "../../protocol/common";
import type { DialMode, WireReading } from "../../protocol/features";
import type { Actions, Scene, Turn } from "./scene";
import { noun, placeOf } from "./words";

const SETTLE = 120;
const STEPS = 40;

/** What can be done with a latent: what it is called, where its slider begins, and where it stands at first. */
const MODES: Record<DialMode, { name: string; range: (most: number, signed: boolean) => [number, number, number] }> = {
  ablate: { name: "switch off", range: () => [0, 1, 1] },
  scale: { name: "multiply", range: () => [0, 4, 2] },
  clamp: { name: "set to", range: (most, signed) => [signed ? -4 * most : 0, 4 * most, 2 * most] },
  add: { name: "add", range: (most) => [-4 * most, 4 * most, most] },
};

/** A slider that turns the latent that is shown, and what the model then says next. */
export class Dial {
  readonly #name = h("div", { class: "iw-panel-name" });
  readonly #mode = h(
    "select",
    { "aria-label": "what to do with it" },
    ...Object.entries(MODES).map(([value, { name }]) => h("option", { value }, name)),
  );
  readonly #slider = h("input", { type: "range", "aria-label": "how far" });
  readonly #value = h("output", { class: "iw-value" });
  readonly #controls = h("div", { class: "iw-dial-controls" }, this.#mode, this.#slider, this.#value);
  readonly #reading = h("div", { class: "iw-dial-reading", role: "status" });
  readonly element = h("div", { class: "iw-section iw-dial" }, this.#name, this.#controls, this.#reading);
  readonly #changed = changeDetector();
  #scene: Scene | null = null;
  #latent = -1;
  #most = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #waiting = false;
  #next: Turn | null = null;
  #error: string | null = null;

  constructor(
    private readonly actions: Actions,
    signal: AbortSignal,
  ) {
    this.#mode.addEventListener("change", () => {
      this.#place();
      this.#soon();
    });
    this.#slider.addEventListener("input", () => this.#soon());
    this.#slider.addEventListener("keydown", (event) => event.stopPropagation());
    signal.addEventListener("abort", () => clearTimeout(this.#timer));
  }

  update(scene: Scene, latent: number): void {
    const { spec, dial, live, held, data, names } = scene;
    this.#scene = scene;
    const turns = live && spec.turns;
    const reading = dial?.latent === latent ? dial : null;
    this.element.hidden = !turns && !reading;
    const most = data.largest(latent) || 1;
    if (this.#latent !== latent || this.#most !== most) {
      if (this.#latent !== latent) this.#error = null;
      this.#latent = latent;
      this.#most = most;
      if (reading) this.#mode.value = reading.mode;
      this.#place(reading?.strength);
    }
    if (!this.#changed(spec, reading, turns, held, latent, names, this.#error, this.#waiting)) return;
    this.#controls.hidden = !turns;
    const when = h("span", { class: "iw-quiet" }, " and see what comes after ", ...after(scene, held));
    fill(this.#name, `Turn this ${noun(spec)}`, turns ? when : null);
    this.#reading.setAttribute("aria-busy", String(this.#waiting));
    fill(this.#reading, ...this.#told(scene, reading));
  }

  /** Puts the slider where this way to turn begins, or where a reading was taken. */
  #place(strength?: number): void {
    const mode = this.#mode.value as DialMode;
    const [from, to, first] = MODES[mode].range(this.#most, this.#scene?.spec.dictionary.signed ?? false);
    const at = strength ?? first;
    const [low, high] = [Math.min(from, at), Math.max(to, at)];
    for (const [name, value] of Object.entries({ min: low, max: high, step: (high - low) / STEPS }))
      this.#slider.setAttribute(name, String(value));
    this.#slider.value = String(at);
    this.#say();
  }

  #say(): void {
    const strength = Number(this.#slider.value);
    const mode = this.#mode.value as DialMode;
    const said =
      mode === "ablate" ? `${Math.round(100 * strength)}%` : formatNumber(strength, { plus: mode === "add" });
    this.#value.textContent = mode === "scale" ? `× ${said}` : said;
    this.#slider.setAttribute("aria-valuetext", this.#value.textContent);
  }

  #soon(): void {
    this.#say();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const [mode, strength] = [this.#mode.value as DialMode, Number(this.#slider.value)];
      void this.#turn({ latent: this.#latent, mode, strength, token: this.#scene?.held ?? null });
    }, SETTLE);
  }

  /** Asks one thing at a time: of those that come while Python answers, the last. */
  async #turn(turn: Turn): Promise<void> {
    if (this.#waiting) {
      this.#next = turn;
      return;
    }
    this.#waiting = true;
    this.actions.redraw();
    this.#error = await this.actions.turn(turn).then(
      () => null,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    this.#waiting = false;
    const next = this.#next;
    this.#next = null;
    if (next) void this.#turn(next);
    else this.actions.redraw();
  }

  #told(scene: Scene, reading: WireReading | null): HTMLElement[] {
    if (this.#error) return [h("p", { role: "alert" }, `Not turned: ${this.#error}`)];
    if (!reading)
      return [h("p", { class: "iw-quiet" }, "Move the slider: the model answers with this one number changed.")];
    const { mode, strength, kl } = reading;
    const amount = formatNumber(strength, { plus: mode === "add" });
    const deed = {
      ablate: `${Math.round(100 * strength)}% off`,
      scale: `× ${amount}`,
      clamp: `set to ${amount}`,
      add: amount,
    };
    const table = h(
      "div",
      { class: "iw-dial-sides" },
      side("as it is", reading.before, reading.text_before),
      side(deed[mode], reading.after, reading.text_after),
    );
    const moved = h(
      "p",
      { class: "iw-quiet" },
      "After ",
      ...after(scene, reading.token),
      `, the prediction moved by ${formatNumber(kl)} nats.`,
      scene.live ? "" : " Turning it further needs the notebook's kernel.",
    );
    return [table, moved];
  }
}

function after(scene: Scene, token: number | null): (Node | string)[] {
  if (token === null || token >= scene.data.count) return ["the end of the text"];
  return [tokenElement(scene.data.place(token).label), ` (${placeOf(scene, token)})`];
}

/** The likeliest next tokens, and how the text goes on. */
function side(name: string, tokens: WirePrediction[], text: string): HTMLElement {
  const rows = tokens.map(({ label, prob }) => {
    const bar = h("span", { class: "iw-level", "aria-hidden": "true" });
    bar.style.setProperty("--_share", String(prob));
    return h(
      "li",
      {},
      h("span", { class: "iw-line-name" }, tokenElement(label)),
      bar,
      h("span", { class: "iw-value" }, formatProbability(prob)),
    );
  });
  return h(
    "div",
    {},
    h("div", { class: "iw-dial-name" }, name),
    h("ul", { class: "iw-lines" }, ...rows),
    text ? h("p", { class: "iw-dial-text" }, isolated(`…${text}`)) : null,
  );
}
