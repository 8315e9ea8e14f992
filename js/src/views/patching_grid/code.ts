import { CodeBlock } from "../../core/code_block";
import { substitute } from "../../core/template";
import { type CellIndex, nameCell } from "./data";
import type { Actions, Scene } from "./scene";
import { nameOf } from "./words";

/** The lines of nnsight that compute one cell, of the pair that is shown or else the first; null where there are none. */
export function codeOf({ spec, metric, grid }: Scene, cell: CellIndex): string | null {
  const pair = spec.pairs[grid.pairs[0]];
  const { site, role, ...numbers } = nameCell(spec, cell);
  const template = spec.code_sites[site];
  const expression = spec.code_metrics[spec.metrics[metric].term.name];
  if (template === undefined || expression === undefined) return null;
  return substitute(template, {
    ...Object.fromEntries(Object.entries(numbers).map(([name, number]) => [name, String(number)])),
    role: JSON.stringify(role ?? null),
    clean_ids: `[${pair.clean_ids.join(", ")}]`,
    corrupt_ids: `[${pair.corrupt_ids.join(", ")}]`,
    ...Object.fromEntries(Object.entries(spec.code_fills).map(([name, texts]) => [name, texts[grid.pairs[0]]])),
    ...(grid.pairs.length > 1 ? spec.code_mean : {}),
    metric: substitute(expression, { answer: String(pair.answer_id), wrong_answer: String(pair.wrong_answer_id) }),
  });
}

/** A panel with the code of the pinned cell, else of the strongest one. */
export class CodePanel {
  readonly #block: CodeBlock;

  constructor(actions: Actions) {
    this.#block = new CodeBlock("nnsight code of the cell", actions.announce);
  }

  get element(): HTMLElement {
    return this.#block.element;
  }

  update(scene: Scene): void {
    if (this.element.hidden) return;
    const cell = scene.selected ?? scene.grid.strongest() ?? { panel: 0, row: 0, column: 0 };
    const { code_mean, code_refused, panels, story } = scene.spec;
    const whole = Object.keys(code_mean).length ? `, the mean of all ${story.noun}s` : `, for the first ${story.noun}`;
    const which = scene.grid.pairs.length > 1 ? whole : "";
    const reason = code_refused[panels[cell.panel].term.name];
    const why = reason ? `There are no lines for the cell: ${reason}` : "This result came without code for the cell.";
    this.#block.update(`${nameOf(scene, cell)}${which}`, codeOf(scene, cell) ?? "", why);
  }
}
