import { changeDetector, fill, h } from "../../core/dom";
import { download } from "../../core/download";
import type { CodePanel } from "./code";
import { gridToCsv } from "./export_csv";
import { type Actions, pinnedIn, type Scene } from "./scene";
import type { TableView } from "./table_view";

interface Views {
  plots: HTMLElement;
  table: TableView;
  code: CodePanel;
}

/** Where the numbers come from, and what can be taken away. */
export class Footer {
  readonly element: HTMLElement;
  #facts = h("div", { class: "iw-facts-line" });
  #scene: Scene | null = null;
  #changed = changeDetector();

  constructor(
    private readonly actions: Actions,
    private readonly views: Views,
    /** Asks Python for the page; null where nobody would answer. */
    private readonly requestHtml: (() => Promise<string>) | null,
    private readonly picture: (scene: Scene) => Promise<Blob | null>,
  ) {
    const html = this.#button("save-html", "HTML", "save as one page that needs no kernel and no network", () =>
      this.#saveHtml(html),
    );
    if (!requestHtml) {
      html.setAttribute("aria-disabled", "true");
      html.title = "this page is already the saved view";
      html.setAttribute("aria-label", "HTML: this page is already the saved view");
    }
    const toggles = [
      this.#toggle("code", "code", "the lines of nnsight that compute the pinned cell", this.views.code.element),
      this.#toggle("table", "table", "the cells as a table", this.views.table.element, this.views.plots),
    ];
    const saves = [
      html,
      this.#button("save-png", "PNG", "save as a picture", () => this.#savePng()),
      this.#button("save-csv", "CSV", "save every cell, in all metrics", () => this.#saveCsv()),
    ];
    this.element = h(
      "div",
      { class: "iw-footer" },
      this.#facts,
      h(
        "div",
        { class: "iw-actions" },
        ...toggles,
        h(
          "span",
          { class: "iw-saves", role: "group", "aria-label": "save" },
          h("span", { class: "iw-quiet", "aria-hidden": "true" }, "save"),
          ...saves,
        ),
      ),
    );
  }

  update(scene: Scene): void {
    this.#scene = scene;
    if (this.#changed(scene.spec)) fill(this.#facts, [scene.spec.story.label, ...scene.spec.provenance].join(" · "));
  }

  #button(action: string, text: string, title: string, run: () => void): HTMLButtonElement {
    const button = h("button", { type: "button", "data-action": action, title }, text);
    button.addEventListener("click", run);
    return button;
  }

  #toggle(action: string, text: string, title: string, opens: HTMLElement, closes?: HTMLElement): HTMLButtonElement {
    const button = this.#button(action, text, title, () => {
      opens.hidden = !opens.hidden;
      if (closes) closes.hidden = !opens.hidden;
      button.setAttribute("aria-expanded", String(!opens.hidden));
      if (!this.#scene) return;
      this.views.code.update(pinnedIn(this.#scene));
      this.views.table.update(this.#scene);
    });
    button.setAttribute("aria-expanded", "false");
    return button;
  }

  #saveCsv(): void {
    if (this.#scene) download(`${fileStem(this.#scene)}.csv`, "text/csv", gridToCsv(this.#scene));
  }

  async #savePng(): Promise<void> {
    const scene = this.#scene;
    const blob = scene && (await this.picture(scene));
    if (scene && blob) download(`${fileStem(scene)}.png`, "image/png", [blob]);
  }

  async #saveHtml(button: HTMLButtonElement): Promise<void> {
    const scene = this.#scene;
    if (!this.requestHtml || !scene) {
      this.actions.announce("This page is already the saved view.");
      return;
    }
    button.disabled = true;
    try {
      download(`${fileStem(scene)}.html`, "text/html", [await this.requestHtml()]);
      this.actions.announce("Saved.");
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.actions.announce(`Not saved: ${reason}`);
      button.title = `not saved: ${reason}`;
      fill(button, "HTML failed");
      setTimeout(() => fill(button, "HTML"), 4000);
    } finally {
      button.disabled = false;
    }
  }
}

function fileStem({ spec, metric }: Scene): string {
  return `patching-${spec.direction}-${spec.metrics[metric].term.name}`.replace(/[^\w-]+/g, "-");
}
