import { fill, h } from "./dom";
import { download } from "./download";

/** A button of a footer. */
export function actionButton(action: string, text: string, title: string, run: () => void): HTMLButtonElement {
  const button = h("button", { type: "button", "data-action": action, title }, text);
  button.addEventListener("click", run);
  return button;
}

/** The buttons that save a view: as one page, which Python makes, and as a table for other programs. */
export function saveButtons({
  stem,
  html,
  csv,
  announce,
}: {
  stem: () => string;
  /** Asks Python for the page; null where nobody would answer. */
  html: (() => Promise<string>) | null;
  csv: () => string[];
  announce: (text: string) => void;
}): HTMLElement {
  const save = async () => {
    if (!html) return announce("This page is already the saved view.");
    page.disabled = true;
    try {
      download(`${stem()}.html`, "text/html", [await html()]);
      announce("Saved.");
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      announce(`Not saved: ${reason}`);
      page.title = `not saved: ${reason}`;
      fill(page, "HTML failed");
      setTimeout(() => fill(page, "HTML"), 4000);
    } finally {
      page.disabled = false;
    }
  };
  const page = actionButton("save-html", "HTML", "save as one page that needs no kernel and no network", save);
  if (!html) {
    page.setAttribute("aria-disabled", "true");
    page.title = "this page is already the saved view";
    page.setAttribute("aria-label", "HTML: this page is already the saved view");
  }
  return h(
    "span",
    { class: "iw-saves", role: "group", "aria-label": "save" },
    h("span", { class: "iw-quiet", "aria-hidden": "true" }, "save"),
    page,
    actionButton("save-csv", "CSV", "save every activation that is here", () => {
      download(`${stem()}.csv`, "text/csv", csv());
    }),
  );
}
