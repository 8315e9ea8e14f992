import { changeDetector, fill, h } from "./dom";

/** What tables show: of a scene, or of what is always the same. */
interface Content<Scene> {
  /** The name of all tables, for those who listen. */
  label: string;
  /** What of a scene the tables are made of: they are made again when any of it is another. */
  of(scene: Scene): unknown[];
  make(scene: Scene): (HTMLElement | null)[];
}

/** What a view shows, as tables: made only while they are open. */
export class Tables<Scene> {
  readonly element: HTMLElement;
  readonly #changed = changeDetector();

  constructor(private readonly content: Content<Scene>) {
    const { label } = content;
    this.element = h("div", { class: "iw-tables", hidden: true, tabindex: 0, role: "region", "aria-label": label });
  }

  update(scene: Scene): void {
    if (!this.element.hidden && this.#changed(...this.content.of(scene)))
      fill(this.element, ...this.content.make(scene));
  }
}

type Part = Node | string | null;

/** A table. Heads are names, or cells of their own. */
export function table(
  caption: Part | readonly Part[],
  heads: readonly (string | HTMLElement)[],
  rows: readonly HTMLElement[],
  attributes: Record<string, string> = {},
): HTMLElement {
  const said = Array.isArray(caption) ? caption : [caption as Part];
  const head = heads.map((name) => (typeof name === "string" ? h("th", { scope: "col" }, name) : name));
  return h(
    "table",
    { class: "iw-table", ...attributes },
    h("caption", {}, ...said),
    h("thead", {}, h("tr", {}, ...head)),
    h("tbody", {}, ...rows),
  );
}
