import { DivergingScale } from "./scales";
import type { Palette } from "./theme";

/** A colour, and the text that is read best on it. */
export interface Shade {
  color: string;
  ink: string;
}

const known = new WeakMap<DivergingScale, Shade[]>();

function linear(channel: number): number {
  const share = channel / 255;
  return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
}

/** Black or white, whichever stands out more: one of them always has a contrast of at least 4.5. */
export function inkOn(color: string): string {
  const [r, g, b] = (color.match(/\d+/g) ?? []).map(Number).map(linear);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

/** The colours of a scale, each with its ink. */
export function shadesOf(scale: DivergingScale): Shade[] {
  let shades = known.get(scale);
  if (!shades) {
    shades = scale.css.map((color) => ({ color, ink: inkOn(color) }));
    known.set(scale, shades);
  }
  return shades;
}

/** Colours for values from 0 to a limit, or from −limit to it where values have signs. */
export class Shading {
  readonly #shades: Shade[];
  readonly #scale: DivergingScale;

  constructor(
    { scale }: Pick<Palette, "scale">,
    readonly limit: number,
    readonly signed: boolean,
  ) {
    this.#scale = scale;
    this.#shades = shadesOf(scale);
  }

  /** The look of a value; none for 0 and for no number, which are not coloured. */
  of(value: number): Shade | null {
    return value === 0 || Number.isNaN(value) ? null : this.#shades[this.#scale.index(value, this.limit)];
  }

  /** The share of the scale that a value takes, from 0 to 1. */
  share(value: number): number {
    return Math.min(1, Math.abs(value) / this.limit) || 0;
  }

  beyond(value: number): boolean {
    return Math.abs(value) > this.limit * (1 + 1e-6);
  }

  /** The colours from the low end to the high one. */
  get ramp(): string[] {
    const { css } = this.#scale;
    return this.signed ? css : css.slice(DivergingScale.HALF);
  }
}
