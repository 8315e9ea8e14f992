import type { Cells } from "../../core/cells";
import type { AxisLabel, ColumnNames } from "../../core/column_axis";
import { changeDetector, fill, h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { type CellSizes, type GridCell, LayerGrid } from "../../core/layer_grid";
import { Viewport } from "../../core/viewport";
import { type Difference, fillOf, type Scale } from "./scale";
import type { Actions, Cell, Scene } from "./scene";
import { inCell, quantityAt, rowLabel, spoken } from "./words";

const SIZES: CellSizes = { widest: 84, row: 22, readable: 42 };
/** A single table of few layers is a picture of its own. */
const ALONE: CellSizes = { ...SIZES, least: 330 };
/** Cells of this width have room for most tokens: grids stand side by side only where each has it. */
const READABLE = 42;
const AXIS = 56;
const BETWEEN = 20;
const TALLEST = { one: 560, more: 330 };

interface Panel {
  grid: LayerGrid;
  element: HTMLElement;
  title: HTMLElement;
}

/** The table of each prompt, and where there are two that of their difference; they share what is seen of them. */
export class Grids {
  readonly element = h("div", { class: "iw-lens-grids" });
  #panels: Panel[] = [];
  #scene: Scene | null = null;
  #spec: unknown = null;
  #rows: string[] = [];
  #columns: ColumnNames[] = [];
  #cells: Cells[] = [];
  #ghost: GridCell | null = null;
  readonly #newRows = changeDetector();
  readonly #newCells = changeDetector();

  constructor(
    private readonly id: string,
    private readonly actions: Actions,
    private readonly signal: AbortSignal,
  ) {}

  update(scene: Scene, scale: Scale, difference: Difference | null, width: number): void {
    this.#scene = scene;
    const { spec, rows, data, version, metric, answer, selected, pointed, palette } = scene;
    if (this.#spec !== spec) this.#make(scene);
    if (this.#newRows(spec, rows)) this.#rows = rows.map((row) => rowLabel(spec.rows[row]));
    if (this.#newCells(data, version, rows, metric, answer)) {
      this.#cells = spec.prompts.map((_, prompt) => cellsOf(scene, scale, prompt));
      if (difference) this.#cells.push(differences(scene, difference));
    }
    const count = this.#panels.length;
    const shareOf = (beside: number) => Math.floor((width - (beside - 1) * BETWEEN) / beside);
    const beside = [3, 2].find((many) => many <= count && shareOf(many) - AXIS >= READABLE * data.length) ?? 1;
    this.element.dataset.beside = String(beside);
    this.#panels.forEach(({ grid, title }, panel) => {
      const compared = panel === spec.prompts.length;
      if (compared && difference) fill(title, h("strong", {}, "difference"), ` ${difference.text}`);
      const own = selected && (compared || selected.prompt === panel);
      grid.update(
        {
          rows: this.#rows,
          columns: this.#columns[panel],
          cells: this.#cells[panel],
          selected: own ? this.#place(selected) : null,
          label: `${compared ? "difference" : spec.prompts[panel].name}: what is said, by layer and token`,
          describe: (cell) => this.#describe(scene, difference, panel, cell),
        },
        { width: shareOf(beside), mostHeight: count > 1 ? TALLEST.more : TALLEST.one, palette },
      );
      const elsewhere = pointed && !(grid.pointed !== null) ? this.#place(pointed) : null;
      grid.ghost(elsewhere ?? this.#ghost);
    });
  }

  /** Marks where the reader is in another view. */
  mark(place: GridCell | null): void {
    this.#ghost = place;
    for (const { grid } of this.#panels) grid.ghost(place);
  }

  zoom(factor: number | "reset"): void {
    this.#panels[0]?.grid.zoom(factor);
  }

  /** Where a cell is on screen, and where all cells of its table are. */
  onScreen(cell: Cell): { cell: DOMRect; all: DOMRect } | null {
    const place = this.#place(cell);
    const panel = this.#panels.find(({ grid }) => grid.pointed !== null) ?? this.#panels[cell.prompt];
    return place && panel ? panel.grid.onScreen(place) : null;
  }

  get grids(): readonly LayerGrid[] {
    return this.#panels.map(({ grid }) => grid);
  }

  /** What stands above each table. */
  get titles(): string[] {
    return this.#panels.map(({ title }) => title.textContent ?? "");
  }

  #place({ row, pos }: Cell): GridCell | null {
    const shown = this.#scene?.rows.indexOf(row) ?? -1;
    return shown < 0 ? null : { row: shown, column: pos };
  }

  #cell(panel: number, { row, column }: GridCell): Cell {
    const scene = this.#scene as Scene;
    // What is read out of the difference is its clean side, unless the corrupt one is selected.
    const prompt = panel < scene.spec.prompts.length ? panel : (scene.selected?.prompt ?? 0);
    return { prompt, row: scene.rows[row], pos: column };
  }

  #describe(scene: Scene, difference: Difference | null, panel: number, cell: GridCell): string {
    const place = this.#cell(panel, cell);
    if (panel < scene.spec.prompts.length || !difference) return spoken(scene, place);
    const value = difference.at(place.row, place.pos);
    return `${difference.text}: ${formatNumber(value, { plus: difference.signed })}; ${spoken(scene, place)}`;
  }

  #make({ spec }: Scene): void {
    this.#spec = spec;
    const differ = spec.ids[0].map((id, pos) => spec.ids.some((ids) => ids[pos] !== id));
    const first = differ.flatMap((own, pos) => (own ? [pos] : []));
    const names = (prompt: number): ColumnNames => ({
      labels: spec.prompts[prompt].labels.map(
        (text, pos): AxisLabel => ({
          text,
          accent: differ[pos] ? (prompt ? "corrupt" : "clean") : null,
        }),
      ),
      numbers: false,
      title: "",
      first,
    });
    const compared = spec.prompts.length > 1;
    this.#columns = [...spec.prompts.map((_, prompt) => names(prompt)), ...(compared ? [names(0)] : [])];
    const view = new Viewport({ widest: SIZES.widest, tallest: SIZES.row });
    this.#panels = this.#columns.map((_, panel) => {
      const handlers = {
        point: (cell: GridCell | null) => this.actions.point(cell && this.#cell(panel, cell)),
        select: (cell: GridCell | null) => this.actions.select(cell && this.#cell(panel, cell)),
        moved: () => {
          for (const other of this.#panels) if (other !== this.#panels[panel]) other.grid.redraw();
        },
        key: (key: string, cell: GridCell) => this.#key(key, this.#cell(panel, cell)),
      };
      const grid = new LayerGrid(`${this.id}-grid-${panel}`, handlers, this.signal, compared ? SIZES : ALONE, view);
      const name = panel < spec.prompts.length ? spec.prompts[panel].name : "";
      const title = h("div", { class: `iw-lens-name iw-${panel ? "corrupt" : "clean"}`, hidden: !compared }, name);
      if (panel === spec.prompts.length) title.className = "iw-lens-name iw-quiet";
      grid.element.dataset.panel = name || "difference";
      grid.element.querySelector<HTMLElement>(".iw-cells")?.setAttribute("data-site", name || "difference");
      return { grid, title, element: h("div", { class: "iw-lens-panel" }, title, grid.element) };
    });
    fill(this.element, ...this.#panels.map(({ element }) => element));
  }

  /** The key p pins the lines of a token. */
  #key(key: string, { prompt, pos }: Cell): boolean {
    if (key !== "p") return false;
    this.actions.pin({ prompt, pos, answer: this.#scene?.answer ?? 0 });
    return true;
  }
}

function cellsOf({ data, rows, metric, answer }: Scene, scale: Scale, prompt: number): Cells {
  const { length } = data;
  const value = (row: number, pos: number) => quantityAt(data, metric, answer, data.at(prompt, rows[row], pos));
  return {
    pick: ([rowFrom, rowTo], [from, to]) => {
      let best = rowFrom * length + from;
      if (rowTo - rowFrom === 1 && to - from === 1) return best;
      let most = Number.NEGATIVE_INFINITY;
      for (let row = rowFrom; row < rowTo; row++)
        for (let pos = from; pos < to; pos++) {
          const share = scale.share(value(row, pos));
          if (share > most) [most, best] = [share, row * length + pos];
        }
      return best;
    },
    look: (at) => {
      const [row, pos] = [Math.floor(at / length), at % length];
      const shown = value(row, pos);
      if (Number.isNaN(shown)) return { fill: null, mark: "paper", beyond: false };
      const hit = data.hits(prompt, rows[row], pos);
      const text = data.topLabel(data.at(prompt, rows[row], pos));
      return { fill: fillOf(Math.max(0, scale.share(shown))), mark: hit ? "hit" : null, beyond: false, text };
    },
  };
}

function differences({ data, rows }: Scene, difference: Difference): Cells {
  const { length } = data;
  return {
    pick: ([rowFrom, rowTo], [from, to]) => {
      let best = rowFrom * length + from;
      let most = -1;
      for (let row = rowFrom; row < rowTo; row++)
        for (let pos = from; pos < to; pos++) {
          const size = Math.abs(difference.at(rows[row], pos));
          if (size > most) [most, best] = [size, row * length + pos];
        }
      return best;
    },
    look: (at) => {
      const value = difference.at(rows[Math.floor(at / length)], at % length);
      if (Number.isNaN(value)) return { fill: null, mark: "paper", beyond: false };
      const text = Math.abs(value) < 5e-3 ? "" : inCell(value, difference.signed);
      return { fill: fillOf(difference.share(value)), mark: null, beyond: false, text };
    },
  };
}
