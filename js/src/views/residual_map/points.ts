import { h } from "../../core/dom";
import { word } from "../../core/scales";
import { Density } from "./density";
import type { Spots } from "./motion";
import { Order } from "./order";
import type { Frame, Plane } from "./plane";
import { LEFT, zeros } from "./plot_axes";
import type { Scene } from "./scene";
import { type Cloud, DENSE, radiusOf, type Sheet, splat } from "./splat";

const FADED = 0.16;
const MOST_SCALE = 2;

/** The canvas of the points, and of the lines at 0 below them. */
export class Points {
  readonly canvas = h("canvas", { class: "iw-points", "aria-hidden": "true" });
  readonly #order = new Order();
  readonly #density = new Density();
  #image: ImageData | null = null;

  update(scene: Scene): void {
    this.#order.update(scene);
  }

  paint(scene: Scene, spots: Spots, frame: Frame, plane: Plane, size: { width: number; height: number }): void {
    const { width, height } = size;
    // A density needs no fine pixels, and on a fine screen they would be four times as many to fill.
    const scale = Math.min(scene.data.count > DENSE ? 1 : MOST_SCALE, devicePixelRatio || 1);
    const [wide, tall] = [Math.round(width * scale), Math.round(height * scale)];
    const { canvas } = this;
    if (canvas.width !== wide || canvas.height !== tall) {
      [canvas.width, canvas.height] = [wide, tall];
      canvas.style.cssText = `left:${LEFT}px;width:${width}px;height:${height}px`;
    }
    const context = canvas.getContext("2d");
    if (!context) return;
    if (this.#image?.width !== wide || this.#image.height !== tall) this.#image = context.createImageData(wide, tall);
    const sheet = { words: new Uint32Array(this.#image.data.buffer), width: wide, height: tall };
    const background = behind(canvas, scene);
    sheet.words.fill(background);
    if (scene.spec.method === "PCA") drawZeros(sheet, zeros(frame, plane), word(scene.palette.line));
    if (scene.row !== null && spots.u.length === scene.data.count)
      this.#points(scene, sheet, spots, plane, background, scale);
    context.putImageData(this.#image, 0, 0);
    // Where things are, for those who look for them from outside.
    const { x, y, halfWidth, halfHeight } = frame;
    canvas.dataset.frame = [x, y, halfWidth, halfHeight, plane.zoom, plane.left, plane.top].join(" ");
  }

  #points(scene: Scene, sheet: Sheet, { u, v }: Spots, plane: Plane, background: number, scale: number): void {
    const { coloring, chosen, data } = scene;
    const { zoom, left, top } = plane;
    const drawn = Uint8Array.from(coloring.words, (_, kind) => Number(!scene.hidden.has(kind)));
    const [scaleX, scaleY] = [zoom * sheet.width, zoom * sheet.height];
    const place = { scaleX, shiftX: -left * scaleX, scaleY, shiftY: -top * scaleY };
    const cloud: Cloud = { u, v, of: coloring.of, words: coloring.words, shapes: coloring.shapes, drawn, ...place };
    if (data.count > DENSE) {
      this.#density.draw(sheet, cloud, background, chosen, scale);
      return;
    }
    const { rest, chosen: front } = this.#order;
    const radius = radiusOf(data.count) * Math.min(1.8, zoom ** 0.25) * scale;
    const look = { radius, rim: radius > 2.2 * scale ? 0.9 * scale : 0 };
    if (chosen) {
      const faded = Uint32Array.from(coloring.words, (color) => blend(background, color, FADED));
      splat(sheet, { ...cloud, words: faded }, rest, background, { radius, rim: 0 });
      splat(sheet, cloud, front, background, look);
    } else splat(sheet, cloud, rest, background, look);
  }
}

function drawZeros({ words, width, height }: Sheet, [x, y]: [number, number], line: number): void {
  const [column, row] = [Math.floor(x * width), Math.floor(y * height)];
  if (row >= 0 && row < height) words.fill(line, row * width, (row + 1) * width);
  if (column < 0 || column >= width) return;
  for (let at = column; at < words.length; at += width) words[at] = line;
}

/** The colour that the page has behind the plot, which may be the host's. */
function behind(canvas: HTMLElement, { palette }: Scene): number {
  const color = getComputedStyle(canvas.closest(".iw-view") ?? canvas).backgroundColor;
  const [r, g, b, alpha = 1] = (color.match(/[\d.]+/g) ?? []).map(Number);
  if (!color.startsWith("rgb") || b === undefined || alpha < 1) return word(palette.bg);
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

function blend(from: number, to: number, share: number): number {
  const channel = (shift: number) => {
    const [a, b] = [(from >>> shift) & 255, (to >>> shift) & 255];
    return Math.round(a + (b - a) * share) << shift;
  };
  return ((255 << 24) | channel(16) | channel(8) | channel(0)) >>> 0;
}
