import { changeDetector, fill, h } from "../../core/dom";
import { Shading } from "../../core/shading";
import { type StripContent, TokenStrip } from "../../core/token_strip";
import type { Lines } from "./data";
import { type Actions, atOf, focusOf, limitOf, type Scene } from "./scene";
import { nameOf, spokenCell } from "./words";

const TALLEST = 190;

/** The running text: where the token that is looked at looks, as colours, and who looks at it, as bars below. */
export class Text {
  readonly element = h("div", { class: "iw-text" });
  readonly #strips: TokenStrip[] = [];
  readonly #moved = changeDetector();
  #made: unknown = null;

  constructor(
    private readonly id: string,
    private readonly actions: Actions,
    private readonly signal: AbortSignal,
  ) {}

  update(scene: Scene, width: number): void {
    if (this.#made !== scene.spec) this.#make(scene);
    const number = scene.kind.side === "corrupt" ? 1 : 0;
    this.#strips.forEach((strip, side) => {
      strip.element.hidden = side !== number;
      if (side !== number) return;
      strip.update(textContent(scene), width, TALLEST);
      if (this.#moved(scene.held, side) && scene.held !== null) strip.reveal(scene.held);
    });
  }

  #make({ spec }: Scene): void {
    this.#made = spec;
    this.#strips.length = 0;
    for (const [side, { name }] of spec.sides.entries()) {
      const strip = new TokenStrip(
        `${this.id}-text-${side}`,
        `${name}: arrows move to a token, whose attention is shown; Enter holds it`,
        {
          point: (token) => this.actions.point(token === null ? null : { query: token, key: token }),
          hold: (token) => this.actions.hold(token),
        },
        this.signal,
      );
      this.#strips.push(strip);
    }
    fill(this.element, ...this.#strips.map(({ element }) => element));
  }

  /** The element whose type faces a picture takes over. */
  get face(): Element {
    return this.#strips[0]?.element ?? this.element;
  }

  get firstSeen(): number {
    return this.#strips.find(({ element }) => !element.hidden)?.firstSeen ?? 0;
  }
}

/** A number for each token, out of one for each block. */
export function spreadOut(values: Float32Array, block: number, count: number): Float32Array {
  return block === 1 ? values : Float32Array.from({ length: count }, (_, token) => values[Math.floor(token / block)]);
}

/** The lines through a token; the coarse ones of the small picture while others are on their way. */
export function linesAt(scene: Scene, pos: number): { lines: Lines; rough: boolean } | null {
  const { data, shown } = scene;
  if (!shown) return null;
  const at = atOf(scene, shown);
  const lines = data.lines(at, pos);
  if (lines) return { lines, rough: false };
  const rough = data.roughLines(at, pos);
  return rough && { lines: rough, rough: true };
}

/** Where the bars end that tell who looks at a token: few look at most, so they have a scale of their own. */
export function barsEnd(scene: Scene): number {
  const from = linesAt(scene, focusOf(scene).key)?.lines.from ?? new Float32Array();
  return from.reduce((most, value) => Math.max(most, Math.abs(value) || 0), 0) || 1;
}

/** What a strip shows of the text. */
export function textContent(scene: Scene): StripContent {
  const { data, kind, shown, palette, held } = scene;
  const labels = data.labels(kind.side);
  const { query, key } = focusOf(scene);
  const signed = kind.side === "difference";
  const limit = shown ? limitOf(scene, shown) : 1;
  const none = new Float32Array(labels.length).fill(Number.NaN);
  const to = linesAt(scene, query)?.lines;
  const from = (key === query ? to : linesAt(scene, key)?.lines) ?? null;
  const bars = from ? spreadOut(from.from, from.block, labels.length) : none;
  const shading = new Shading(palette, limit, signed);
  const tallest = barsEnd(scene);
  return {
    labels,
    starts: [0],
    values: to ? spreadOut(to.to, to.block, labels.length) : none,
    shading,
    rows: [
      {
        name: "seen by",
        title: "bars: how much each token looks at the one that is pointed at",
        // In the other colour, so that who looks is not taken for what is looked at.
        values: signed ? bars : bars.map((value) => -value),
        shading: new Shading(palette, tallest, true),
      },
    ],
    held: held !== null && held < labels.length ? held : null,
    marked: new Set(key === query ? [query] : [query, key]),
    describe: (token) => {
      const there = shown && focusOf(scene).query !== token ? spokenCell(scene, focusOf(scene).query, token) : "";
      return [labels[token], `position ${token}`, there || (shown ? nameOf(shown) : "")].filter(Boolean).join(", ");
    },
  };
}
