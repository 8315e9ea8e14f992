import type { Cloud, Sheet } from "./splat";

const BLOCKS = 300_000;
/** How full a pixel is, by how many points are on it in units of a usual pixel's. */
const STEPS = 2048;
const MOST = 6;
const FULLNESS = Float32Array.from({ length: STEPS + 1 }, (_, n) => 1 - Math.exp(-(n / STEPS) * MOST));
const FAINT = 0.08;
const LEAST = 0.34;

/** Draws how many points there are at each pixel: the more, the fuller the mean of their colours. */
export class Density {
  /** Of each pixel: how many points, and the sums of their red, green and blue. All 0 between two drawings. */
  #counts = new Float32Array(0);
  #sums = new Float32Array(0);

  /** Of single pixels on a screen of so many for each CSS pixel; points are larger where there are fewer. */
  draw(sheet: Sheet, cloud: Cloud, background: number, chosen: Uint8Array | null, scale: number): void {
    const { width, height } = sheet;
    const side = Math.max(1, Math.round((cloud.u.length > BLOCKS ? 1 : 2) * scale));
    if (this.#counts.length !== width * height) {
      this.#counts = new Float32Array(width * height);
      this.#sums = new Float32Array(3 * width * height);
    }
    const seen = this.#add(sheet, cloud, chosen, side);
    // So that a usual pixel among those that points are spread over is half full.
    const usual = Math.max(1, (3 * seen * side * side) / (width * height));
    this.#shade(sheet, background, usual);
  }

  #add({ width, height }: Sheet, cloud: Cloud, chosen: Uint8Array | null, side: number): number {
    const counts = this.#counts;
    const sums = this.#sums;
    const { u, v, of, drawn, scaleX, shiftX, scaleY, shiftY } = cloud;
    const [red, green, blue] = [0, 8, 16].map((shift) =>
      Float32Array.from(cloud.words, (color) => (color >> shift) & 255),
    );
    const middle = (side - 1) / 2;
    let seen = 0;
    for (let point = 0; point < u.length; point++) {
      const kind = of[point];
      if (drawn[kind] === 0) continue;
      // Half a pixel more, so that cutting off rounds; what is negative is out of sight.
      const exactX = u[point] * scaleX + shiftX - middle + 0.5;
      const exactY = v[point] * scaleY + shiftY - middle + 0.5;
      if (exactX < 0 || exactY < 0) continue;
      const x = exactX | 0;
      const y = exactY | 0;
      if (x + side > width || y + side > height) continue;
      const weight = chosen !== null && chosen[point] === 0 ? FAINT : 1;
      const r = red[kind] * weight;
      const g = green[kind] * weight;
      const b = blue[kind] * weight;
      for (let row = 0; row < side; row++) {
        const begin = (y + row) * width + x;
        for (let pixel = begin; pixel < begin + side; pixel++) {
          const at = 3 * pixel;
          counts[pixel] += weight;
          sums[at] += r;
          sums[at + 1] += g;
          sums[at + 2] += b;
        }
      }
      seen++;
    }
    return seen;
  }

  #shade({ words }: Sheet, background: number, usual: number): void {
    const counts = this.#counts;
    const sums = this.#sums;
    const [backR, backG, backB] = [background & 255, (background >> 8) & 255, (background >> 16) & 255];
    const step = STEPS / (MOST * usual);
    for (let pixel = 0; pixel < words.length; pixel++) {
      const count = counts[pixel];
      if (count === 0) continue;
      const at = 3 * pixel;
      const fullness = FULLNESS[Math.min(STEPS, (count * step + 0.5) | 0)];
      // A single point shows too, unless it is faint.
      const share = count < 1 ? fullness + LEAST * count * (1 - fullness) : fullness + LEAST * (1 - fullness);
      const r = backR + (sums[at] / count - backR) * share;
      const g = backG + (sums[at + 1] / count - backG) * share;
      const b = backB + (sums[at + 2] / count - backB) * share;
      counts[pixel] = sums[at] = sums[at + 1] = sums[at + 2] = 0;
      words[pixel] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
  }
}
