type Triple = [number, number, number];

function hexToRgb(hex: string): Triple {
  const value = Number.parseInt(hex.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

function rgbToOklab(rgb: Triple): Triple {
  const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function oklabToRgb([L, a, b]: Triple): Triple {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  return linear.map((v) => {
    const gamma = v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055;
    return Math.round(Math.min(1, Math.max(0, gamma)) * 255);
  }) as Triple;
}

export interface DivergingEnds {
  negative: string;
  neutral: string;
  positive: string;
}

/** Even steps in Oklab from each end to the neutral colour, as 0xAABBGGRR words for image data. */
export class DivergingScale {
  static readonly HALF = 128;
  readonly words = new Uint32Array(2 * DivergingScale.HALF + 1);
  readonly css: string[];

  constructor(ends: DivergingEnds) {
    const [negative, neutral, positive] = [ends.negative, ends.neutral, ends.positive].map((c) =>
      rgbToOklab(hexToRgb(c)),
    );
    this.css = Array.from(this.words, (_, i) => {
      const t = (i - DivergingScale.HALF) / DivergingScale.HALF;
      const end = t < 0 ? negative : positive;
      const [r, g, b] = oklabToRgb(neutral.map((from, axis) => from + (end[axis] - from) * Math.abs(t)) as Triple);
      this.words[i] = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
      return `rgb(${r} ${g} ${b})`;
    });
  }

  /** Where a value falls in the table; values beyond the limit take its end colour. */
  index(value: number, limit: number): number {
    const t = Math.min(1, Math.max(-1, value / limit));
    return Math.round(t * DivergingScale.HALF) + DivergingScale.HALF;
  }
}

/** A 0xAABBGGRR word for image data. */
export function word(hex: string): number {
  const [r, g, b] = hexToRgb(hex);
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/** The largest magnitude, rounded up to two digits: where a scale ends that fits its data. */
export function niceLimit(largest: number): number {
  if (!Number.isFinite(largest) || largest <= 0) return 1;
  const unit = 10 ** (Math.floor(Math.log10(largest)) - 1);
  return Number((Math.ceil(largest / unit - 1e-9) * unit).toPrecision(2));
}
