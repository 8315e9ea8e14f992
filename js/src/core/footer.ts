import { changeDetector, fill, h } from "./dom";
import { download } from "./download";

/** A part of a view that a button opens, and what it takes the place of. */
export interface Panel {
  title: string;
  opens: HTMLElement;
  closes?: HTMLElement;
}

interface Toggle extends Panel {
  action: string;
}

/** What a footer can take away; each is made when it is asked for. */
export interface Takeaways {
  /** Asks Python for the page; null where nobody would answer. */
  html: (() => Promise<string>) | null;
  /** Draws the view; null where it has no picture. */
  png: (() => Promise<Blob | null>) | null;
  csv(): string[];
  csvTitle: string;
  /** Name of a file, without its ending. */
  stem(): string;
}

/** Where the numbers come from, and what can be opened and taken away. */
export class Footer {
  readonly element: HTMLElement;
  #facts = h("div", { class: "iw-facts-line" });
  #changed = changeDetector();

  constructor(
    private readonly announce: (text: string) => void,
    private readonly takeaways: Takeaways,
    toggles: readonly Toggle[],
    /** Called when something was opened or closed. */
    private readonly toggled: () => void,
  ) {
    const html = this.#button("save-html", "HTML", "save as one page that needs no kernel and no network", () =>
      this.#saveHtml(html),
    );
    if (!takeaways.html) {
      html.setAttribute("aria-disabled", "true");
      html.title = "this page is already the saved view";
      html.setAttribute("aria-label", "HTML: this page is already the saved view");
    }
    const { png } = takeaways;
    const saves = [
      html,
      ...(png ? [this.#button("save-png", "PNG", "save as a picture", () => this.#savePng(png))] : []),
      this.#button("save-csv", "CSV", takeaways.csvTitle, () => this.#save("csv", "text/csv", takeaways.csv())),
    ];
    const quiet = h("span", { class: "iw-quiet", "aria-hidden": "true" }, "save");
    const group = h("span", { class: "iw-saves", role: "group", "aria-label": "save" }, quiet, ...saves);
    const actions = h("div", { class: "iw-actions" }, ...toggles.map((toggle) => this.#toggle(toggle)), group);
    this.element = h("div", { class: "iw-footer" }, this.#facts, actions);
  }

  update(facts: readonly string[]): void {
    const text = facts.join(" · ");
    if (this.#changed(text)) fill(this.#facts, text);
  }

  #button(action: string, text: string, title: string, run: () => void): HTMLButtonElement {
    const button = h("button", { type: "button", "data-action": action, title }, text);
    button.addEventListener("click", run);
    return button;
  }

  #toggle({ action, title, opens, closes }: Toggle): HTMLButtonElement {
    const button = this.#button(action, action, title, () => {
      opens.hidden = !opens.hidden;
      if (closes) closes.hidden = !opens.hidden;
      button.setAttribute("aria-expanded", String(!opens.hidden));
      this.toggled();
    });
    button.setAttribute("aria-expanded", "false");
    return button;
  }

  #save(ending: string, type: string, parts: BlobPart[]): void {
    download(`${this.takeaways.stem()}.${ending}`, type, parts);
  }

  async #savePng(picture: () => Promise<Blob | null>): Promise<void> {
    const blob = await picture();
    if (blob) this.#save("png", "image/png", [blob]);
  }

  async #saveHtml(button: HTMLButtonElement): Promise<void> {
    if (!this.takeaways.html) {
      this.announce("This page is already the saved view.");
      return;
    }
    button.disabled = true;
    try {
      this.#save("html", "text/html", [await this.takeaways.html()]);
      this.announce("Saved.");
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.announce(`Not saved: ${reason}`);
      button.title = `not saved: ${reason}`;
      fill(button, "HTML failed");
      setTimeout(() => fill(button, "HTML"), 4000);
    } finally {
      button.disabled = false;
    }
  }
}
