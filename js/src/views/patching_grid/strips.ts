import { changeDetector, fill, h } from "../../core/dom";
import type { Messages } from "../../core/messages";
import type {
  Cell,
  GridSpec,
  GridState,
  GridToPython,
  RowsMessage,
  WireStrip,
  WireStrips,
} from "../../protocol/patching_grid";
import { type CellIndex, findCell, GridData, nameCell } from "./data";
import { Panels } from "./panels";
import type { Actions, Scene } from "./scene";
import { ShownGrid } from "./shown";

/** Strips as a scene of their own, beside that of the grid: a panel for each site, a row for each head. */
export function stripScene(): (scene: Scene, strips: WireStrips | null, selected: Cell | null) => Scene | null {
  const newSpec = changeDetector();
  const newData = changeDetector();
  const newGrid = changeDetector();
  let spec: GridSpec;
  let data: GridData;
  let grid: ShownGrid;
  return (scene, strips, selected) => {
    if (!strips) return null;
    // As long as its rows are the same, a grid keeps its elements, and the reader their place in it.
    if (newSpec(scene.spec, JSON.stringify(strips.panels))) {
      // What a site is stands above the grid already.
      const panels = strips.panels.map((panel) => ({ ...panel, term: { ...panel.term, meaning: "by position" } }));
      spec = { ...scene.spec, panels, by_position: false };
    }
    const { code_sites, code_fills, code_mean, code_refused } = strips;
    Object.assign(spec, { code_sites, code_fills, code_mean, code_refused });
    if (newData(spec, strips)) data = new GridData(spec, strips.arrays);
    if (newGrid(data, scene.metric, scene.pair)) grid = new ShownGrid(data, scene.metric, scene.pair);
    const running = strips.heads.find(({ job }) => job.state === "running");
    const job = running?.job ?? strips.heads[0].job;
    return { ...scene, spec, data, grid, job, version: 0, selected: findCell(spec, selected), strips: null };
  };
}

function sameHead(a: Cell, b: Cell): boolean {
  return a.site === b.site && a.layer === b.layer && a.head === b.head;
}

/** Heads that were opened position by position, below the grid that they are from, and how they are opened. */
export class Strips {
  readonly element = h("div", { class: "iw-strips", role: "group", "aria-label": "heads by position" });
  readonly panels: Panels;
  #list = h("ul", { class: "iw-strip-list" });
  #alert = h("div", { class: "iw-alert", role: "alert" });
  #heads: readonly WireStrip[] = [];
  #asked: Cell | null = null;
  /** What there was when it was asked for. */
  #before: readonly WireStrip[] = [];
  #refusal = "";
  #scene: Scene | null = null;
  #newList = changeDetector();

  constructor(
    id: string,
    private readonly actions: Actions,
    private readonly messages: Messages<GridState, GridToPython, RowsMessage>,
    private readonly redraw: () => void,
    onCursor: () => void,
    signal: AbortSignal,
  ) {
    const own: Actions = {
      ...actions,
      select: (cell) => this.#select(cell),
      zoom: (factor) => this.panels.zoom(factor),
      byPosition: () => {},
    };
    this.panels = new Panels(`${id}-strips`, own, onCursor, signal);
    fill(this.element, this.#list, this.#alert, this.panels.element);
  }

  update(scene: Scene, heads: readonly WireStrip[]): void {
    this.#scene = scene;
    this.#heads = heads;
    const { strips } = scene;
    // The head may be among those before: asked for again because it failed.
    if (heads !== this.#before && heads.some(({ cell }) => this.#asked && sameHead(cell, this.#asked)))
      this.#asked = null;
    this.element.hidden = !strips && !this.#refusal;
    if (this.#newList(scene.spec, JSON.stringify(heads), this.#refusal)) this.#drawList(scene);
    this.panels.element.hidden = !strips;
    if (strips) this.panels.update(strips);
  }

  /** Whether a head is shown here, or will be. */
  #has(head: Cell): boolean {
    return this.#heads.some(({ cell, job }) => sameHead(cell, head) && ["running", "done"].includes(job.state));
  }

  /** What a reader can do about the head that is pinned: open it by position, or read why that cannot be. */
  action(scene: Scene, cell: CellIndex): Node | null {
    const head = nameCell(scene.spec, cell);
    if (!scene.spec.by_position || scene.spec.panels[cell.panel].columns !== "head" || this.#has(head)) return null;
    if (!this.messages.live) return h("span", { class: "iw-quiet" }, "By position: not computed in this page.");
    const asked = !!this.#asked && sameHead(this.#asked, head);
    const button = h(
      "button",
      {
        type: "button",
        "data-action": "by-position",
        title: "run this head position by position (p)",
        "aria-keyshortcuts": "p",
        disabled: asked,
      },
      asked ? "asked …" : "by position",
    );
    button.addEventListener("click", () => this.open(cell));
    return button;
  }

  /** What changes whenever `action` does. */
  get moment(): string {
    return JSON.stringify([this.#asked, this.#heads.map(({ cell, job }) => [cell, job.state])]);
  }

  /** Asks Python for a head by position. */
  async open(cell: CellIndex): Promise<void> {
    const scene = this.#scene;
    if (scene?.spec.panels[cell.panel].columns !== "head") return;
    const head = nameCell(scene.spec, cell);
    if (this.#has(head)) this.actions.announce("This head is shown by position below.");
    else if (!scene.spec.by_position || !this.messages.live)
      this.actions.announce("By position: not computed in this page.");
    else {
      this.#asked = head;
      this.#before = this.#heads;
      this.#refusal = "";
      this.actions.select(cell);
      try {
        await this.messages.request({ name: "by_position", cell: head });
        this.actions.announce("The head by position appears below the grid.");
      } catch (error) {
        this.#asked = null;
        this.#refusal = error instanceof Error ? error.message : String(error);
        this.redraw();
      }
    }
  }

  #select(cell: CellIndex | null): void {
    const strips = this.#scene?.strips;
    const at = cell ?? strips?.selected;
    if (!strips || !at) return;
    const named = nameCell(strips.spec, at);
    // Whoever lets go of a position is back at its head.
    if (!cell) delete named.pos;
    this.actions.pin(named);
  }

  #drawList({ spec }: Scene): void {
    // A page that nobody answers names only what ended early: the rest is named beside its row.
    const named = this.#heads.filter(({ job }) => this.messages.live || job.state !== "done");
    const items = named.map(({ cell, job }) => {
      const name = `${spec.panels.find(({ term }) => term.name === cell.site)?.term.label} ${cell.layer}.${cell.head}`;
      const running = job.state === "running";
      const kind = running ? "cancel_strip" : "remove_strip";
      const what = `${running ? "cancel" : "remove"} ${name} by position`;
      const button = h("button", { type: "button", "aria-label": what, title: what }, running ? "Cancel" : "×");
      button.addEventListener("click", () => this.messages.send({ kind, cell }));
      const state = running ? ` ${job.done} of ${job.total}` : job.state === "done" ? "" : ` ${job.state}`;
      return h("li", {}, h("strong", {}, name), h("span", { class: "iw-quiet" }, state), this.messages.live && button);
    });
    fill(this.#list, ...items);
    this.#list.hidden = items.length === 0;
    const failed = this.#heads.flatMap(({ cell, job }) =>
      job.state === "failed" ? [`${cell.site} ${cell.layer}.${cell.head}: ${job.error}`] : [],
    );
    const told = [...(this.#refusal ? [this.#refusal] : []), ...failed];
    this.#alert.hidden = told.length === 0;
    fill(this.#alert, h("strong", {}, "By position failed. "), told.join("\n"));
  }
}
