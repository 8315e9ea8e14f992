import { prepare } from "../../core/canvas";
import { changeDetector, fill, h } from "../../core/dom";
import { formatEffect } from "../../core/format";
import { bare } from "../../core/labels";
import { Viewport } from "../../core/viewport";
import type { GridData } from "./data";
import { paintCells } from "./paint";
import type { Actions, Scene } from "./scene";
import { ShownGrid } from "./shown";
import { nameOf } from "./words";

const MOST_PAIRS = 24;
// More cells than this would hold up the page.
const MOST_CELLS = 1e6;
const WIDTHS = [168, 300];
const BETWEEN = 16;
const PANEL_GAP = 5;
const TALLEST = 130;

/** Whether pairs can be shown side by side. */
export function canShowEach({ pairs, size }: GridData): boolean {
  return pairs > 1 && pairs <= MOST_PAIRS && size * pairs <= MOST_CELLS;
}

/** A small grid for each pair, all with one colour scale. A click opens the pair. */
export class EachPair {
  readonly element = h("div", { class: "iw-each", role: "group", hidden: true });
  #changed = changeDetector();

  constructor(private readonly actions: Actions) {}

  update(scene: Scene): void {
    this.element.hidden = !scene.each;
    const { selected, grid, version, limit, palette, width } = scene;
    const place = [selected?.panel, selected?.row, selected?.column];
    if (!scene.each || !this.#changed(grid, version, limit, palette, width, devicePixelRatio, ...place)) return;
    this.element.setAttribute("aria-label", `each ${scene.spec.story.noun}`);
    const sites = scene.spec.panels.map(({ term }) => term.label);
    const order = sites.length > 1 ? h("p", { class: "iw-words" }, `From left to right: ${sites.join(", ")}.`) : null;
    fill(this.element, order, ...grid.pairs.map((pair) => this.#small(scene, pair)));
  }

  #small(scene: Scene, pair: number): HTMLElement {
    const { spec, data, metric } = scene;
    const own: Scene = { ...scene, pair, grid: new ShownGrid(data, metric, pair), each: false };
    const canvas = h("canvas", { "aria-hidden": "true" });
    drawSmall(own, canvas);
    const best = own.grid.strongest();
    const said = best
      ? `, strongest: ${nameOf(own, best)}, effect ${formatEffect(own.grid.effect[own.grid.at(best)])}`
      : "";
    const { answer, wrong_answer } = spec.pairs[pair];
    const alike = spec.pairs.every((one) => one.answer === answer && one.wrong_answer === wrong_answer);
    const button = h(
      "button",
      { type: "button", class: "iw-small", "data-pair": pair },
      canvas,
      h("span", {}, `${spec.story.noun} ${pair + 1}`),
      alike ? null : h("bdi", { class: "iw-small-answers" }, `${bare(answer)} / ${bare(wrong_answer)}`),
      h("span", { class: "iw-hidden" }, said),
    );
    button.addEventListener("click", () => this.actions.setPair(pair));
    return button;
  }
}

/** All panels of one pair side by side, in cells of one size. */
function drawSmall({ data, grid, limit, palette, selected, width }: Scene, canvas: HTMLCanvasElement): void {
  const fitting = Math.max(1, Math.floor((width + BETWEEN) / (WIDTHS[0] + BETWEEN)));
  // Lines as even as can be.
  const perLine = Math.ceil(data.pairs / Math.ceil(data.pairs / fitting));
  const share = (width + BETWEEN) / perLine - BETWEEN - 2;
  const room = Math.min(WIDTHS[1], share) - PANEL_GAP * (data.panels.length - 1);
  const cell = Math.min(12, room / data.panels.reduce((sum, { columns }) => sum + columns, 0));
  const rows = Math.max(...data.panels.map((size) => size.rows));
  const tall = Math.min(TALLEST / rows, Math.max(cell * 0.62, Math.min(5, 90 / rows)));
  const full = data.panels.reduce((sum, { columns }) => sum + columns * cell + PANEL_GAP, -PANEL_GAP);
  const height = Math.ceil(rows * tall);
  const context = prepare(canvas, Math.ceil(full), height);
  if (!context) return;
  let x = 0;
  data.panels.forEach((size, panel) => {
    const view = new Viewport();
    view.resize({ ...size, width: size.columns * cell, height: size.rows * tall });
    const y = height - view.extent.height;
    paintCells(context, { grid, panel, limit, palette, view, scale: devicePixelRatio || 1 }, x, y);
    if (selected?.panel === panel) {
      context.strokeStyle = palette.fg;
      context.lineWidth = 1;
      context.strokeRect(
        x + selected.column * cell - 0.5,
        height - (selected.row + 1) * tall - 0.5,
        Math.max(3, cell),
        Math.max(3, tall),
      );
    }
    x += view.extent.width + PANEL_GAP;
  });
}
