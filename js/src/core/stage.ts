import type { ToPython } from "../protocol/common";
import type { Bytes } from "./array";
import { fill } from "./dom";
import { Footer, type Panel, type Takeaways } from "./footer";
import type { Frame } from "./frame";
import { keepFocus, Press } from "./hold";
import { Messages, type Streamed, uuid } from "./messages";
import { type Model, observe } from "./model";
import type { Awaited } from "./waiting";

interface Play<State, Piece> {
  /** Brings everything up to date with the model. */
  draw(): void;
  /** Takes in what comes a piece at a time; a drawing follows. */
  arrived?(message: Piece, buffers: Bytes[]): void;
  /** Called before the drawing that follows a change of what is observed. */
  changed?(name: keyof State & string): void;
}

/**
 * Where a view meets its model and its host, alike in all of them: it draws at most once a frame, writes what the
 * reader chose, talks to Python, and ends everything at once.
 */
export class Stage<State extends Awaited, Sent extends { kind: string } = ToPython, Piece extends Streamed = never> {
  /** Begins the ids of its elements. */
  readonly id = `iw-${uuid().slice(0, 8)}`;
  readonly messages: Messages<State, Sent, Piece>;
  readonly #stop = new AbortController();
  #frame: Frame | null = null;
  #press: Press | null = null;
  #scheduled = 0;

  constructor(
    private readonly model: Model<State>,
    private readonly play: Play<State, Piece>,
  ) {
    this.messages = new Messages<State, Sent, Piece>(model, (message, buffers) => {
      play.arrived?.(message, buffers);
      this.redraw();
    });
  }

  /** Aborted when the view goes. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Whether a kernel may answer: not in a saved page. */
  get live(): boolean {
    return this.messages.live;
  }

  /** Puts the view into the page, draws it, and goes on drawing whenever one of `traits`, the theme or the room changes. */
  open(el: HTMLElement, frame: Frame, traits: readonly (keyof State & string)[], done: string): void {
    this.#frame = frame;
    this.#press = new Press(frame.element, () => this.redraw(), this.signal);
    fill(el, frame.element);
    const unobserve = observe(this.model, ["spec", "arrays", "job", "theme", ...traits], (name) => {
      this.play.changed?.(name);
      if (name === "job" && this.model.get("job").state === "done") this.say(done);
      this.redraw();
    });
    this.signal.addEventListener("abort", unobserve);
    frame.watch(() => this.redraw(), this.signal);
    this.draw();
    if (this.model.get("job").state === "running") this.messages.send({ kind: "resync" });
  }

  close(): void {
    this.#stop.abort();
    this.messages.destroy();
    cancelAnimationFrame(this.#scheduled);
    this.#frame?.element.remove();
  }

  draw(): void {
    if (!this.#frame) {
      this.play.draw();
      return;
    }
    keepFocus(this.#frame.element, () => this.play.draw());
    this.#frame.element.dataset.ready = "true";
  }

  /** Draws with the next frame, once for all that changes until then; not while a button is pressed. */
  redraw(): void {
    cancelAnimationFrame(this.#scheduled);
    this.#scheduled = requestAnimationFrame(() => {
      if (!this.#press?.held) this.draw();
    });
  }

  write<Name extends keyof State & string>(name: Name, value: State[Name]): void {
    this.model.set(name, value);
    this.model.save_changes();
    // Not every host tells a model of its own changes.
    this.draw();
  }

  /** Tells those who listen rather than look. */
  say(text: string): void {
    this.#frame?.say(text);
  }

  cancel(): void {
    this.messages.send({ kind: "cancel" });
  }

  /** Attributes of a title: in a notebook, headings are the author's; a saved page has nothing else. */
  get heading(): Record<string, string> {
    return this.live ? {} : { role: "heading", "aria-level": "1" };
  }

  /** A footer with what it asks Python for, and the two panels that it opens. */
  footer(takeaways: Omit<Takeaways, "html">, panels: { code: Panel; table: Panel }): Footer {
    const html = this.live ? () => this.messages.request({ name: "html" }) : null;
    const toggles = [
      { action: "code", ...panels.code },
      { action: "table", ...panels.table },
    ];
    return new Footer(
      (text) => this.say(text),
      { ...takeaways, html },
      toggles,
      () => this.draw(),
    );
  }
}
