import { changeDetector, fill, h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { tokenElement } from "../../core/labels";
import { niceLimit } from "../../core/scales";
import { Shading } from "../../core/shading";
import { type StripContent, TokenStrip } from "../../core/token_strip";
import { Sources } from "./data";
import type { Actions, Scene } from "./scene";
import { nameOf, signed, spokenSource } from "./words";

const TALLEST = 190;

/** The prompts as running text, coloured by what the chosen head brings from each token. */
export class TextStrip {
  readonly element: HTMLElement;
  readonly #strip: TokenStrip;
  readonly #caption = h("div", { class: "iw-strip-caption" });
  readonly #read = h("span", { class: "iw-strip-read" });
  readonly #changed = changeDetector();
  readonly #moved = changeDetector();
  #scene: Scene | null = null;
  #content: StripContent | null = null;
  #from = 0;
  #sources: Sources | null = null;

  constructor(
    id: string,
    private readonly actions: Actions,
    private readonly pointed: (position: number | null, prompt: number) => void,
    signal: AbortSignal,
  ) {
    this.#strip = new TokenStrip(
      `${id}-text`,
      "prompt: arrows move, Enter chooses the prediction after a token where it was taken apart",
      { point: (token) => this.#point(token), hold: (token) => this.#hold(token) },
      signal,
    );
    const head = h("div", { class: "iw-strip-head" }, this.#caption, this.#read);
    this.element = h("div", { class: "iw-text" }, head, this.#strip.element);
  }

  /** What the strip shows, for a picture of it. */
  get content(): StripContent | null {
    return this.#content;
  }

  get firstSeen(): number {
    return this.#strip.firstSeen;
  }

  update(scene: Scene, width: number): void {
    this.#scene = scene;
    const { spec, data, prompt, target, selected, palette, sources, asked, limit } = scene;
    const key = sourcesKey(scene, selected);
    const wire = key === null ? undefined : sources[key];
    if (!this.#changed(spec, data, prompt, target, selected, palette, wire, key && asked.get(key), width, limit))
      return;
    this.#sources = wire ? new Sources(wire) : null;
    this.#content = this.#made(scene);
    this.element.toggleAttribute("data-colored", this.#content.values.some(Boolean));
    this.#strip.update(this.#content, width, TALLEST);
    // A long text opens where the prediction is made.
    if (this.#moved(spec, prompt, target) && this.#content.held !== null) this.#strip.reveal(this.#content.held);
    fill(this.#caption, ...this.#said(scene));
    fill(this.#read);
  }

  #made(scene: Scene): StripContent {
    const { spec, data, prompt, target, palette } = scene;
    const [first, last] = prompt === null ? [0, data.prompts] : [prompt, prompt + 1];
    this.#from = data.offsets[first];
    const labels = spec.text.labels.slice(this.#from, data.offsets[last]);
    const values = new Float32Array(labels.length);
    let largest = 0;
    const ends = new Set<number>();
    for (let p = first; p < last; p++) {
      const start = data.offsets[p] - this.#from;
      ends.add(start + data.position(p, target));
      for (let at = 0; at < data.offsets[p + 1] - data.offsets[p]; at++) {
        // What is 0, as what comes after the target is, has no colour.
        const value = this.#value(p, target, at);
        values[start + at] = value;
        if (Math.abs(value) > largest) largest = Math.abs(value);
      }
    }
    const [only] = ends;
    return {
      labels,
      starts: spec.text.starts.slice(first, last).map((start) => start - this.#from),
      values,
      shading: new Shading(palette, niceLimit(largest), true),
      rows: [],
      held: ends.size === 1 ? only : null,
      marked: ends.size === 1 ? new Set() : ends,
      describe: (token) => this.#spoken(token),
    };
  }

  /** What the chosen head brings from a token; without one, of predictions that were taken apart, their difference. */
  #value(prompt: number, target: number, at: number): number {
    const { data, selected, spec } = this.#scene as Scene;
    if (this.#sources) return this.#sources.contribution(prompt, target, at);
    if (data.targets < 2 || (selected !== null && spec.components[selected].kind === "head")) return 0;
    for (let n = 0; n < data.targets; n++) if (data.position(prompt, n) === at) return data.logit(prompt, n);
    return 0;
  }

  #place(token: number): { prompt: number; at: number } {
    const { data } = this.#scene as Scene;
    const absolute = token + this.#from;
    let prompt = 0;
    while (prompt + 1 < data.prompts && data.offsets[prompt + 1] <= absolute) prompt++;
    return { prompt, at: absolute - data.offsets[prompt] };
  }

  #spoken(token: number): string {
    const scene = this.#scene as Scene;
    const { prompt, at } = this.#place(token);
    const label = scene.spec.text.labels[token + this.#from];
    const of = scene.data.prompts > 1 ? ` of prompt ${prompt}` : "";
    if (!this.#sources) return `${label}, position ${at}${of}`;
    const sources = this.#sources;
    return (
      spokenSource(
        label,
        at,
        sources.contribution(prompt, scene.target, at),
        sources.weight(prompt, scene.target, at),
      ) + of
    );
  }

  #point(token: number | null): void {
    if (token === null || !this.#scene) {
      fill(this.#read);
      this.pointed(null, 0);
      return;
    }
    const { prompt, at } = this.#place(token);
    const label = this.#scene.spec.text.labels[token + this.#from];
    const said: (Node | string)[] = [tokenElement(label), h("span", { class: "iw-quiet" }, ` position ${at} `)];
    if (this.#sources) {
      const { target } = this.#scene;
      const contribution = this.#sources.contribution(prompt, target, at);
      said.push(
        h("b", {}, Number.isNaN(contribution) ? "not computed" : signed(contribution)),
        h("span", { class: "iw-quiet" }, `, weight ${formatNumber(this.#sources.weight(prompt, target, at))}`),
      );
    }
    fill(this.#read, ...said);
    this.pointed(at, prompt);
  }

  /** Chooses the prediction after a token, where that was taken apart. */
  #hold(token: number | null): void {
    const scene = this.#scene;
    if (token === null || !scene || scene.data.targets < 2) return;
    const { prompt, at } = this.#place(token);
    for (let n = 0; n < scene.data.targets; n++) {
      if (scene.data.position(prompt, n) !== at) continue;
      this.actions.setTarget(n);
      return;
    }
    this.actions.announce("The prediction after this token was not taken apart.");
  }

  #said(scene: Scene): (Node | string)[] {
    const { selected, spec, live, asked, data } = scene;
    const quiet = (text: string) => h("span", { class: "iw-quiet" }, text);
    const heads = spec.has_sources ? "Choose a head to see what it brings from each token." : "";
    if (selected === null || spec.components[selected].kind !== "head")
      return [
        quiet(
          data.targets > 1
            ? `Colour: the logit difference after each token; choose a token for its prediction. ${heads}`
            : heads || "The prompt.",
        ),
      ];
    const name = nameOf(scene, selected);
    if (this.#sources)
      return [
        h("b", {}, `What ${name} brings from each token`),
        quiet(" weight × what the value does to the logit difference; adds up to "),
        h("b", {}, signed(scene.values[selected])),
        quiet(` · colours end at ±${formatNumber(this.#content?.shading.limit ?? 1)}`),
      ];
    const state = asked.get(sourcesKey(scene, selected) ?? "");
    if (state === "waiting") return [h("b", {}, name), quiet(" is being taken apart by source token…")];
    if (state) {
      const again = h("button", { type: "button" }, "try again");
      again.addEventListener("click", () => this.actions.retry(selected));
      return [h("b", {}, name), h("span", { role: "alert" }, ` could not be taken apart: ${state.error} `), again];
    }
    if (live && spec.opens) return [h("b", {}, name)];
    const why = live
      ? `was not taken apart by source. Ask for it with by_source=[(${spec.components[selected].layer}, ${spec.components[selected].head})].`
      : "was not opened before this page was saved, so what it brings from each token is not here.";
    return [h("b", {}, name), quiet(` ${why}`)];
  }
}

/** The key of a head in the state `sources`; null for what is no head. */
export function sourcesKey({ spec }: Pick<Scene, "spec">, component: number | null): string | null {
  if (component === null) return null;
  const { kind, layer, head } = spec.components[component];
  return kind === "head" ? `${layer}.${head}` : null;
}
