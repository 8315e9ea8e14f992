import type { GridCell } from "../../core/cell_frame";
import { changeDetector, fill, h } from "../../core/dom";
import { formatCount, formatNumber } from "../../core/format";
import { runningTokens, tokenElement } from "../../core/labels";
import { DivergingScale } from "../../core/scales";
import { shadesOf } from "../../core/shading";
import type { Figures, Mistake } from "./data";
import type { Actions, Scene } from "./scene";
import { differentOf, formatDifference, formatInterval, formatShare, nameOf } from "./words";

/** Most classes whose confusion is drawn as a table of all of them. */
const MOST_CLASSES = 12;

/** What is known of the chosen cell: its figures, what was read as what, where its direction points, its mistakes. */
export class Detail {
  readonly element = h("div", { class: "iw-detail", role: "region", "aria-label": "the chosen cell" });
  readonly #changed = changeDetector();

  constructor(private readonly actions: Actions) {}

  update(scene: Scene): void {
    const { data, kind, measure, selected, chosen, palette } = scene;
    this.element.hidden = selected === null;
    if (!selected || !this.#changed(data, kind, measure, selected.row, selected.column, chosen, palette)) return;
    const { untested } = scene.spec.columns[selected.column];
    const why = untested ? `Not tested: ${untested}` : data.isComputed(selected) ? "" : "Not computed yet.";
    fill(
      this.element,
      this.#head(scene, selected),
      why ? h("p", { class: "iw-quiet" }, why) : factsOf(scene, selected),
      why ? null : h("div", { class: "iw-detail-parts" }, ...partsOf(scene, selected)),
    );
  }

  #head(scene: Scene, cell: GridCell): HTMLElement {
    const { spec, kind, chosen } = scene;
    const title = h("span", { class: "iw-detail-name" }, nameOf(scene, cell));
    const which = `${spec.kinds[kind].label}${chosen ? "" : ", where it reads best"}`;
    const clear = h("button", { type: "button", class: "iw-clear", "aria-label": "let go of this cell" }, "×");
    clear.addEventListener("click", () => this.actions.select(null));
    return h("div", { class: "iw-detail-head" }, title, h("span", { class: "iw-quiet" }, which), chosen && clear);
  }
}

function factsOf(scene: Scene, cell: GridCell): HTMLElement {
  const { spec, data, kind, measure } = scene;
  const figures = data.figures(measure, kind, cell);
  const fact = (name: string, value: string, note = "") =>
    h(
      "span",
      { class: "iw-fact" },
      h("span", { class: "iw-quiet" }, name),
      h("strong", {}, value),
      note && h("span", { class: "iw-quiet" }, note),
    );
  const low = measure === 0 ? "majority class" : "chance";
  const facts = [
    fact(spec.measures[measure].label, formatShare(figures.value), formatInterval(figures)),
    fact(low, formatShare(spec.chance[measure])),
  ];
  if (spec.control) {
    facts.push(fact("control", formatShare(figures.control), spec.control.meaning));
    facts.push(fact("selectivity", formatDifference(figures.value - figures.control)));
  }
  facts.push(h("span", { class: "iw-fact iw-quiet" }, differentOf(scene, cell)));
  return h("div", { class: "iw-facts" }, ...facts);
}

function partsOf(scene: Scene, cell: GridCell): HTMLElement[] {
  const parts = [confusionOf(scene, cell)];
  if (scene.spec.transfers.length > 0) parts.push(transfersOf(scene, cell));
  const promoted = promotedOf(scene, cell);
  if (promoted) parts.push(promoted);
  const mistakes = mistakesOf(scene, cell);
  // Beside three others they would stand alone in a row of their own, so they take all of it.
  if (parts.length === 3) mistakes.classList.add("iw-across");
  return [...parts, mistakes];
}

function part(name: string, note: string, ...content: HTMLElement[]): HTMLElement {
  const head = h("div", { class: "iw-part-head" }, h("span", { class: "iw-panel-name" }, name));
  if (note) head.append(h("span", { class: "iw-quiet" }, note));
  return h("section", { class: "iw-part" }, head, ...content);
}

function confusionOf(scene: Scene, cell: GridCell): HTMLElement {
  const { spec, data, kind, palette } = scene;
  const counts = data.confusion(kind, cell);
  if (spec.classes.length > MOST_CLASSES) return worstOf(scene, counts);
  const shades = shadesOf(palette.scale);
  const rows = counts.map((row, own) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    const cells = row.map((count, other) => {
      const share = total ? count / total : 0;
      const shade =
        shades[DivergingScale.HALF + Math.round((other === own ? share : -share) * DivergingScale.HALF * 0.85)];
      const box = h("td", {}, count.toLocaleString("en-US"));
      box.style.background = shade.color;
      box.style.color = shade.ink;
      return box;
    });
    return h("tr", {}, h("th", { scope: "row" }, className(spec.classes[own])), ...cells);
  });
  const heads = spec.classes.map((name) => h("th", { scope: "col" }, className(name)));
  const table = h(
    "table",
    { class: "iw-confusion" },
    h("thead", {}, h("tr", {}, h("td", { class: "iw-quiet" }, "is ↓ read as →"), ...heads)),
    h("tbody", {}, ...rows),
  );
  const scroll = h(
    "div",
    { class: "iw-scroll", tabindex: 0, role: "region", "aria-label": "what was read as what" },
    table,
  );
  return part("Read as", `held-out ${spec.noun}s`, scroll);
}

/** The name of a class, cut where it is long: all of it is in its title, and in the question above. */
function className(name: string): HTMLElement {
  return h("span", { class: "iw-name iw-class", title: name }, h("bdi", {}, name));
}

/** The commonest confusions, where classes are too many for a table of all. */
function worstOf({ spec }: Scene, counts: number[][]): HTMLElement {
  const pairs = counts
    .flatMap((row, own) => row.map((count, other) => ({ own, other, count })))
    .filter(({ own, other, count }) => own !== other && count > 0)
    .sort((a, b) => b.count - a.count)
    .slice(0, 8);
  const lines = pairs.map(({ own, other, count }) =>
    h("li", {}, `${spec.classes[own]} read as ${spec.classes[other]}: ${count.toLocaleString("en-US")}`),
  );
  return part("Read as", "the commonest mistakes", h("ul", { class: "iw-list" }, ...lines));
}

function transfersOf(scene: Scene, cell: GridCell): HTMLElement {
  const { spec, data, kind, measure } = scene;
  const bar = (name: string, count: number, figures: Figures, chance: number) => {
    const track = h("span", { class: "iw-track", "aria-hidden": "true" }, h("i"), h("b"));
    track.style.setProperty("--_share", String(figures.value || 0));
    track.style.setProperty("--_chance", String(chance));
    const interval = formatInterval(figures);
    const note = h("span", { class: "iw-quiet" }, interval ? ` ${interval}` : "");
    const value = h("span", { class: "iw-bar-value" }, h("strong", {}, formatShare(figures.value)), note);
    const label = h("span", { class: "iw-bar-name", title: formatCount(count, spec.noun) }, name);
    return h("li", {}, label, track, value);
  };
  const bars = spec.transfers.map((name, set) =>
    bar(name, spec.transfer_sizes[set], data.transferred(set, measure, kind, cell), spec.transfer_chance[set][measure]),
  );
  const own = bar("held out here", spec.n_examples, data.figures(measure, kind, cell), spec.chance[measure]);
  return part("Transfer", "fitted here, tested there; the tick is chance", h("ul", { class: "iw-bars" }, own, ...bars));
}

function promotedOf(scene: Scene, cell: GridCell): HTMLElement | null {
  const { spec, data, kind } = scene;
  const directions = data.promoted(kind, cell);
  if (directions.every(({ up }) => up.length === 0)) return null;
  const line = (name: string, tokens: string[]) =>
    h("div", { class: "iw-promoted" }, h("span", { class: "iw-quiet" }, name), h("span", {}, ...spaced(tokens)));
  const two = spec.classes.length === 2;
  const lines = two
    ? [line(spec.classes[1], directions[0].up), line(spec.classes[0], directions[0].down)]
    : directions.slice(0, MOST_CLASSES).map(({ up }, direction) => line(spec.classes[direction], up));
  return part("The direction", "tokens that it promotes through the unembedding", ...lines);
}

function spaced(tokens: string[]): (HTMLElement | string)[] {
  return tokens.flatMap((token) => [tokenElement(token), " "]);
}

function mistakesOf(scene: Scene, cell: GridCell): HTMLElement {
  const { spec, data, kind } = scene;
  const mistakes = data.mistakes(kind, cell);
  const wrong = data
    .confusion(kind, cell)
    .reduce((sum, row, own) => sum + row.reduce((all, count, other) => all + (other === own ? 0 : count), 0), 0);
  if (wrong === 0)
    return part("Mistakes", "", h("p", { class: "iw-quiet" }, "None: every held-out one is read right."));
  const items = mistakes.map((mistake) => h("li", {}, ...mistakeLines(scene, mistake)));
  const note = `${wrong.toLocaleString("en-US")} of ${formatCount(spec.n_examples, spec.noun)}, the most confident first`;
  return part("Mistakes", note, h("ol", { class: "iw-mistakes" }, ...items));
}

function mistakeLines({ spec, kind }: Scene, { tokens, token, label, readAs, margin, number }: Mistake): HTMLElement[] {
  const by = spec.kinds[kind].name === "logistic" ? `, by ${formatNumber(margin)} log odds` : "";
  const said = h(
    "div",
    { class: "iw-quiet" },
    `${spec.noun === "token" ? "in text" : "text"} ${number}: `,
    h("strong", {}, spec.classes[label]),
    ` read as ${spec.classes[readAs]}${by}`,
  );
  const text = runningTokens(tokens, (at): Record<string, string> => (at === token ? { class: "iw-marked" } : {}));
  return [h("div", { class: "iw-mistake" }, ...text), said];
}
