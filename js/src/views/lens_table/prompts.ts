import { changeDetector, fill, h } from "../../core/dom";
import { Shading } from "../../core/shading";
import { TokenStrip } from "../../core/token_strip";
import type { Scale } from "./scale";
import type { Actions, Cell, Scene } from "./scene";
import { quantityAt, spoken } from "./words";

const TALLEST = 130;

/** The running text of each prompt, coloured as the row that is read out; it chooses the position. */
export class Prompts {
  readonly element = h("div", { class: "iw-prompts-lens" });
  #strips: TokenStrip[] = [];
  readonly #changed = changeDetector();
  #spec: unknown = null;
  #scene: Scene | null = null;

  constructor(
    private readonly id: string,
    private readonly actions: Actions,
    private readonly signal: AbortSignal,
  ) {}

  update(scene: Scene, scale: Scale, width: number): void {
    if (this.#spec !== scene.spec) this.#make(scene);
    this.#scene = scene;
    const { data, spec, selected, palette, metric, answer, rows } = scene;
    const row = selected && rows.includes(selected.row) ? selected.row : data.rows - 1;
    const { version } = scene;
    if (!this.#changed(data, version, row, selected?.prompt, selected?.pos, palette, metric, answer, width)) return;
    const marked = new Set(spec.ids[0].flatMap((id, pos) => (spec.ids.some((ids) => ids[pos] !== id) ? [pos] : [])));
    this.#strips.forEach((strip, prompt) => {
      const values = Float32Array.from({ length: data.length }, (_, pos) => {
        const value = quantityAt(data, metric, answer, data.at(prompt, row, pos));
        return Number.isNaN(value) ? value : Math.max(0, Math.min(1, scale.share(value)));
      });
      strip.update(
        {
          labels: spec.prompts[prompt].labels,
          starts: [0],
          values,
          shading: new Shading(palette, 1, false),
          rows: [],
          held: selected?.prompt === prompt ? selected.pos : null,
          marked,
          describe: (pos) => spoken(scene, { prompt, row, pos }),
        },
        width,
        TALLEST,
      );
    });
  }

  #cell(prompt: number, pos: number | null): Cell | null {
    if (pos === null || !this.#scene) return null;
    const { selected, data, rows } = this.#scene;
    const row = selected && rows.includes(selected.row) ? selected.row : data.rows - 1;
    return { prompt, row, pos };
  }

  #make({ spec }: Scene): void {
    this.#spec = spec;
    const parts = spec.prompts.map(({ name }, prompt) => {
      const strip = new TokenStrip(
        `${this.id}-text-${prompt}`,
        `${name}: arrows move, Enter holds a token`,
        {
          point: (pos) => this.actions.point(this.#cell(prompt, pos)),
          hold: (pos) => this.actions.select(this.#cell(prompt, pos)),
        },
        this.signal,
      );
      this.#strips[prompt] = strip;
      const title =
        spec.prompts.length > 1 ? h("div", { class: `iw-side iw-${prompt ? "corrupt" : "clean"}` }, name) : null;
      return h("div", {}, title, strip.element);
    });
    fill(this.element, ...parts);
  }
}
