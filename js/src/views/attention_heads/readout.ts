import { changeDetector, fill, h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { tokenElement } from "../../core/labels";
import { type Actions, focusOf, limitOf, type Scene } from "./scene";
import { linesAt } from "./text";

const MOST = 6;

/** Where the query looks most, and who looks at the key most, as lists. */
export class Readout {
  readonly element = h("div", { class: "iw-lists" });
  readonly #changed = changeDetector();

  constructor(private readonly actions: Actions) {
    this.element.addEventListener("click", (event) => {
      const button = (event.target as Element).closest<HTMLElement>("[data-token]");
      if (button) this.actions.hold(Number(button.dataset.token));
    });
  }

  update(scene: Scene): void {
    const { data, version, kind, shown, scale, spot, held } = scene;
    if (!shown) {
      if (this.#changed(null)) fill(this.element);
      return;
    }
    const { query, key } = focusOf(scene);
    const [row, column] = [linesAt(scene, query), linesAt(scene, key)];
    const place = [shown.layer, shown.head, kind.side, kind.weighted, scale, query, key, spot !== null, held];
    if (!this.#changed(data, version, row?.lines, column?.lines, ...place)) return;
    const labels = data.labels(kind.side);
    const token = (at: number) => h("span", {}, tokenElement(labels[at]), h("span", { class: "iw-quiet" }, ` ${at}`));
    const cell = row && key !== query ? row.lines.to[Math.floor(key / row.lines.block)] : null;
    const spread = row?.lines.toSpread?.[Math.floor(key / row.lines.block)];
    const said = cell === null ? [] : [` with `, h("strong", {}, format(cell, scene)), spreadInWords(spread)];
    fill(
      this.element,
      this.#list(scene, [token(query), " looks at", ...(cell === null ? [] : [" ", token(key), ...said])], {
        values: row?.lines.to,
        spreads: row?.lines.toSpread,
        block: row?.lines.block ?? 1,
        color: "clean",
      }),
      this.#list(scene, [token(key), " is looked at by"], {
        values: column?.lines.from,
        spreads: column?.lines.fromSpread,
        block: column?.lines.block ?? 1,
        color: "corrupt",
      }),
      row?.rough || column?.rough ? h("p", { class: "iw-quiet iw-rough" }, rough(scene, row?.lines.block ?? 1)) : null,
    );
  }

  #list(
    scene: Scene,
    head: (Node | string | null)[],
    of: { values?: Float32Array; spreads?: Float32Array | null; block: number; color: "clean" | "corrupt" },
  ): HTMLElement {
    const { values, spreads, block, color } = of;
    const labels = scene.data.labels(scene.kind.side);
    const name = h("div", { class: "iw-panel-name" }, ...head);
    if (!values) return h("div", {}, name, h("p", { class: "iw-quiet" }, "Not read."));
    const strongest = Array.from(values.keys())
      .filter((at) => values[at] !== 0)
      .sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]) || a - b)
      .slice(0, MOST);
    const limit = scene.shown ? limitOf(scene, scene.shown) : 1;
    const rows = strongest.map((at) => {
      const value = values[at];
      const bar = h("span", { class: "iw-level", "aria-hidden": "true" });
      bar.style.setProperty("--_share", String(Math.min(1, Math.abs(value) / limit) || 0));
      const warm = scene.kind.side === "difference" ? value > 0 : color === "clean";
      bar.style.setProperty("--_color", warm ? "var(--_clean)" : "var(--_corrupt)");
      const first = at * block;
      const place = block > 1 ? `${first} to ${Math.min(labels.length, first + block) - 1}` : String(first);
      const button = h(
        "button",
        { type: "button", "data-token": first, title: "hold this token" },
        h("span", { class: "iw-name" }, tokenElement(labels[first]), h("span", { class: "iw-quiet" }, ` ${place}`)),
        bar,
        h("span", { class: "iw-value" }, format(value, scene), spreadInWords(spreads?.[at])),
      );
      return h("li", {}, button);
    });
    return h("div", {}, name, rows.length ? h("ul", {}, ...rows) : h("p", { class: "iw-quiet" }, "Nothing."));
  }
}

function format(value: number, { kind }: Scene): string {
  // Of a share, more digits than three say nothing.
  if (!kind.weighted && Math.abs(value) < 0.001) return value < 0 ? ">−0.001" : "<0.001";
  return formatNumber(value, { plus: kind.side === "difference" });
}

function spreadInWords(spread: number | undefined): string {
  return spread === undefined ? "" : ` ± ${formatNumber(spread)}`;
}

function rough({ live, data }: Scene, block: number): string {
  if (data.refused) return `Only the small picture is here: ${data.refused}`;
  return live
    ? `On its way; until then the largest of ${block} tokens.`
    : `This page keeps what was looked at. Here it has the small picture: the largest of ${block} tokens.`;
}
