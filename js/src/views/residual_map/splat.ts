/** Outlines of points, so that colour is not all that tells kinds apart: each says how far inside a place is, in radii. */
const OUTLINES: ((x: number, y: number) => number)[] = [
  (x, y) => 1 - Math.hypot(x, y), // disc
  (x, y) => 0.86 - Math.max(Math.abs(x), Math.abs(y)), // square
  (x, y) => Math.min(0.62 - y, 1.15 + y - Math.abs(x) * 1.9) * 0.6, // triangle
  (x, y) => (1.18 - Math.abs(x) - Math.abs(y)) * 0.75, // diamond
  (x, y) => Math.min(0.62 + y, 1.15 - y - Math.abs(x) * 1.9) * 0.6, // triangle on its tip
  (x, y) => Math.max(Math.min(1 - Math.abs(x), 0.38 - Math.abs(y)), Math.min(0.38 - Math.abs(x), 1 - Math.abs(y))), // plus
  (x, y) => Math.min(Math.abs(Math.hypot(x, y)) - 0.3, 1 - Math.hypot(x, y)), // ring
];

/** Above so many points their density is drawn. */
export const DENSE = 20_000;

/** Pixels of one point: where they are from its middle, how much of its colour and how much of its rim they have. */
interface Sprite {
  dx: Int16Array;
  dy: Int16Array;
  /** 0 to 256. */
  fill: Int16Array;
  rim: Int16Array;
}

/** Radius of points in CSS pixels: many are drawn small. */
export function radiusOf(count: number): number {
  return Math.max(1.5, Math.min(5, 5.6 - 1.6 * Math.log10(Math.max(1, count / 80))));
}

const sprites = new Map<string, Sprite>();

/** A point with a rim of the background's colour, which parts it from those behind it. */
export function spriteOf(shape: number, radius: number, rim: number): Sprite {
  const key = `${shape}/${radius.toFixed(2)}/${rim}`;
  const known = sprites.get(key);
  if (known) return known;
  const reach = Math.ceil(radius + rim + 0.5);
  const outline = OUTLINES[shape % OUTLINES.length];
  const pixels: number[][] = [];
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const inside = outline(dx / radius, dy / radius) * radius;
      const fill = Math.min(1, Math.max(0, inside + 0.5));
      const around = Math.min(1, Math.max(0, inside + rim + 0.5));
      if (around > 0.02) pixels.push([dx, dy, Math.round(fill * 256), Math.round(around * 256)]);
    }
  }
  const column = (n: number) => Int16Array.from(pixels, (pixel) => pixel[n]);
  const sprite = { dx: column(0), dy: column(1), fill: column(2), rim: column(3) };
  if (sprites.size > 64) sprites.clear();
  sprites.set(key, sprite);
  return sprite;
}

/** Pixels to paint on. */
export interface Sheet {
  words: Uint32Array;
  width: number;
  height: number;
}

/** Points on their way to the sheet: (u, v) from 0 to 1 in the frame, and how that lies on the sheet, in pixels. */
export interface Cloud {
  u: Float32Array;
  v: Float32Array;
  /** (point): its colour, one of `words`. */
  of: Uint8Array;
  words: Uint32Array;
  shapes: Uint8Array;
  /** Of each colour, whether its points are drawn. */
  drawn: Uint8Array;
  scaleX: number;
  shiftX: number;
  scaleY: number;
  shiftY: number;
}

/**
 * Draws points one after the other, in the order given. Pixels are mixed by hand: a hundred thousand points take the
 * canvas' own drawing a second, and this a few milliseconds.
 */
export function splat(
  sheet: Sheet,
  cloud: Cloud,
  order: Int32Array,
  background: number,
  look: { radius: number; rim: number },
): void {
  const { words, width, height } = sheet;
  const { u, v, of, scaleX, shiftX, scaleY, shiftY } = cloud;
  const shaped = Array.from(cloud.shapes, (shape) => spriteOf(look.radius >= 2.4 ? shape : 0, look.radius, look.rim));
  const [backR, backG, backB] = [background & 255, (background >> 8) & 255, (background >> 16) & 255];
  const reach = Math.ceil(look.radius + look.rim + 1);
  for (let n = 0; n < order.length; n++) {
    const point = order[n];
    const kind = of[point];
    if (!cloud.drawn[kind]) continue;
    const x = Math.round(u[point] * scaleX + shiftX);
    const y = Math.round(v[point] * scaleY + shiftY);
    if (x < -reach || y < -reach || x >= width + reach || y >= height + reach) continue;
    const { dx, dy, fill, rim } = shaped[kind];
    const color = cloud.words[kind];
    const r = color & 255;
    const g = (color >> 8) & 255;
    const b = (color >> 16) & 255;
    const inside = x >= reach && y >= reach && x < width - reach && y < height - reach;
    for (let pixel = 0; pixel < dx.length; pixel++) {
      const px = x + dx[pixel];
      const py = y + dy[pixel];
      if (!inside && (px < 0 || py < 0 || px >= width || py >= height)) continue;
      const at = py * width + px;
      const share = fill[pixel];
      if (share === 256) {
        words[at] = color;
        continue;
      }
      const around = rim[pixel];
      const before = words[at];
      const keep = 256 - around;
      const back = around - share;
      const red = ((before & 255) * keep + backR * back + r * share) >> 8;
      const green = (((before >> 8) & 255) * keep + backG * back + g * share) >> 8;
      const blue = (((before >> 16) & 255) * keep + backB * back + b * share) >> 8;
      words[at] = (255 << 24) | (blue << 16) | (green << 8) | red;
    }
  }
}
