import { fill, h } from "../../core/dom";
import { isolated } from "../../core/labels";
import { type StripContent, TokenStrip } from "../../core/token_strip";
import { type Actions, type Scene, shadingOf } from "./scene";
import { nameOf, spoken } from "./words";

const TALLEST = { one: 400, two: 250 };

/** The texts, one above the other, on one scale. */
export class Strips {
  readonly element = h("div", { class: "iw-strips" });
  #strips: { strip: TokenStrip; from: number; marked: Set<number> }[] = [];
  #texts: unknown = null;

  constructor(
    private readonly id: string,
    private readonly actions: Actions,
    private readonly signal: AbortSignal,
  ) {}

  update(scene: Scene, width: number): void {
    if (this.#texts !== scene.spec) this.#make(scene);
    const two = this.#strips.length > 1;
    this.#strips.forEach(({ strip, marked }, text) => {
      strip.update(contentOf(scene, text, marked), width, two ? TALLEST.two : TALLEST.one);
    });
  }

  /** Brings a token into sight and tells which it is. */
  go(token: number): void {
    const found = this.#stripOf(token);
    found?.strip.reveal(token - found.from);
  }

  /** Outlines a token that is pointed at in another view, or none. */
  ghost(token: number | null): void {
    const found = token === null ? undefined : this.#stripOf(token);
    for (const { strip, from } of this.#strips)
      strip.ghost(strip === found?.strip && token !== null ? token - from : null);
  }

  /** The first token in sight of each text. */
  get firstSeen(): number[] {
    return this.#strips.map(({ strip }) => strip.firstSeen);
  }

  #stripOf(token: number) {
    return [...this.#strips].reverse().find(({ from }) => token >= from);
  }

  #make({ spec, data }: Scene): void {
    this.#texts = spec;
    const marked = differences(spec.texts.map(({ labels }) => labels));
    const parts = spec.texts.map(({ name }, text) => {
      const from = data.offsets[text];
      const strip = new TokenStrip(
        `${this.id}-${text}`,
        `${name}: arrows move, Enter holds a token, brackets go where the ${spec.dictionary.kind === "neurons" ? "neuron" : "latent"} fires`,
        {
          point: (token) => this.actions.point(token === null ? null : token + from),
          hold: (token) => this.actions.hold(token === null ? null : token + from),
        },
        this.signal,
      );
      this.#strips[text] = { strip, from, marked: marked[text] };
      const title =
        spec.texts.length > 1 ? h("div", { class: `iw-side iw-${text ? "corrupt" : "clean"}` }, isolated(name)) : null;
      return h("div", {}, title, strip.element);
    });
    fill(this.element, ...parts);
  }
}

/** What a strip shows of a text. */
export function contentOf(scene: Scene, text: number, marked: Set<number>): StripContent {
  const { data, shown, pinned, spec, held } = scene;
  const from = data.offsets[text];
  const held_ = held !== null && held >= from && held < data.offsets[text + 1] ? held - from : null;
  const none = Float32Array.from(data.computed.subarray(from, data.offsets[text + 1]), (read) =>
    read ? 0 : Number.NaN,
  );
  return {
    labels: spec.texts[text].labels,
    starts: spec.texts[text].starts,
    values: shown === null ? none : data.values(shown, text),
    shading: shadingOf(scene, shown ?? 0),
    rows: pinned.map((latent) => ({
      name: String(latent),
      title: nameOf(scene, latent),
      values: data.values(latent, text),
      shading: shadingOf(scene, latent),
    })),
    held: held_,
    marked,
    describe: (token) => spoken(scene, token + from),
  };
}

/** Which tokens of two texts differ: what is left when the start and the end that they share are taken off. */
export function differences(texts: readonly (readonly string[])[]): Set<number>[] {
  if (texts.length < 2) return [new Set()];
  const [first, second] = texts;
  if (first.length === second.length) {
    const differ = [...first.keys()].filter((at) => first[at] !== second[at]);
    return [new Set(differ), new Set(differ)];
  }
  const shortest = Math.min(first.length, second.length);
  let start = 0;
  while (start < shortest && first[start] === second[start]) start++;
  let end = 0;
  while (end < shortest - start && first[first.length - 1 - end] === second[second.length - 1 - end]) end++;
  return texts.map(({ length }) => new Set(Array.from({ length: length - end - start }, (_, n) => start + n)));
}
