import { changeDetector, fill, h } from "../../core/dom";
import { formatEffect, formatNumber, formatProbability } from "../../core/format";
import { bare } from "../../core/labels";
import { type CellIndex, positionOf } from "./data";
import type { Actions, Scene } from "./scene";
import type { Strips } from "./strips";
import { placeNodes } from "./tip";
import { explain, hasGap, noGap, topOf, whyNot, withUnit } from "./words";

/** The pinned cell in numbers and in words; without one, where to look first. */
export class Readout {
  readonly element = h("div", { class: "iw-readout" });
  #changed = changeDetector();

  constructor(
    private readonly actions: Actions,
    /** What else can be done about a pinned cell. */
    private readonly strips: Pick<Strips, "action" | "moment">,
  ) {}

  update(scene: Scene): void {
    const { selected, grid, version, job, spec } = scene;
    const place = [selected?.panel, selected?.row, selected?.column];
    if (!this.#changed(spec, ...place, grid, version, job.state, this.strips.moment)) return;
    fill(this.element, ...(selected ? this.#pinned(scene, selected) : this.#hint(scene)));
  }

  #pinned(scene: Scene, cell: CellIndex): Node[] {
    const { spec, grid } = scene;
    const { term } = spec.metrics[scene.metric];
    const clear = h(
      "button",
      { type: "button", class: "iw-clear", "aria-label": "clear the pinned cell", title: "clear (Escape)" },
      "×",
    );
    clear.addEventListener("click", () => this.actions.select(null));
    const position = positionOf(spec, cell);
    const facts: Node[] = [
      h(
        "span",
        { class: "iw-where" },
        h("strong", {}, ...placeNodes(scene, cell)),
        position === null ? "" : ` (position ${position})`,
      ),
    ];
    if (!whyNot(scene, cell)) {
      facts.push(h("span", {}, "effect ", h("strong", {}, formatEffect(grid.effect[grid.at(cell)]))));
      facts.push(h("span", {}, `${term.label} `, h("strong", {}, withUnit(scene, grid.value(cell)))));
    }
    const top = topOf(scene, cell);
    if (top.length) {
      const listed = top.map(({ label, prob }, i) =>
        h(i ? "span" : "strong", {}, h("bdi", {}, bare(label)), ` ${formatProbability(prob)}`),
      );
      facts.push(h("span", {}, "says ", ...listed.flatMap((node, i) => (i ? [", ", node] : [node]))));
    }
    const words = h("p", { class: "iw-words" }, explain(scene, cell), ...this.#odd(scene, cell));
    const action = this.strips.action(scene, cell);
    if (action) facts.push(h("span", { class: "iw-act" }, action));
    return [h("div", { class: "iw-facts" }, ...facts), words, clear];
  }

  /** Leads from a mean to the pair that it hides best. */
  #odd({ grid, spec, data }: Scene, cell: CellIndex): (Node | string)[] {
    const odd = grid.odd(cell);
    if (!odd) return [];
    const show = h("button", { type: "button", class: "iw-link" }, `${spec.story.noun} ${odd.pair + 1}`);
    show.addEventListener("click", () => this.actions.setPair(odd.pair));
    if (spec.story.averaging === "shares")
      return [" Furthest from the mean is ", show, ` with ${formatEffect(odd.effect)}.`];
    const [host] = data.ends[grid.metric][odd.pair];
    const change = formatNumber(data.valueAt(grid.metric, odd.pair, grid.at(cell)) - host, { plus: true });
    return [" Furthest from the mean is ", show, `, where it moves by ${change}.`];
  }

  #hint(scene: Scene): (Node | string)[] {
    if (!hasGap(scene)) return [h("p", { class: "iw-words" }, noGap(scene))];
    const cell = scene.grid.strongest();
    if (!cell)
      return [
        h(
          "p",
          { class: "iw-words" },
          scene.job.state === "running" ? "The first rows are on their way." : "No cell was computed.",
        ),
      ];
    const go = h("button", { type: "button", class: "iw-link" }, ...placeNodes(scene, cell));
    go.addEventListener("click", () => this.actions.select(cell));
    const so = scene.job.state === "running" ? "Strongest so far: " : "Strongest: ";
    return [
      h(
        "p",
        { class: "iw-words" },
        so,
        go,
        ` with ${formatEffect(scene.grid.effect[scene.grid.at(cell)])}. `,
        "Click a cell to pin it and read what it means.",
      ),
    ];
  }
}
