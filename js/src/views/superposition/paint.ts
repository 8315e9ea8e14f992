import { drawPixels } from "../../core/canvas";
import { bins, strongest } from "../../core/pooling";
import { DivergingScale } from "../../core/scales";
import { mix, type Palette } from "../../core/theme";
import { KEPT, type Toys } from "./data";
import { inPlane } from "./scene";

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** How a model is looked at. */
export interface Look {
  toys: Toys;
  level: number;
  /** The feature that others are coloured from. */
  focus: number | null;
  palette: Palette;
}

/** Below this share of a direction, another feature counts as being at right angles to it. */
const ASIDE = 0.1;
/** Room around the directions of a small picture, and of one with numbers at their ends. */
const [SMALL_ROOM, ROOM] = [5, 24];

/** One model: its directions where they can be drawn, else WᵀW. */
export function paintModel(context: CanvasRenderingContext2D, look: Look, box: Box, labels: string | null): void {
  if (inPlane(look.toys.spec)) paintPlane(context, look, box, labels);
  else paintGram(context, look, box);
}

/** Where a feature's direction ends on screen. */
export function tipOnScreen(
  toys: Toys,
  level: number,
  feature: number,
  box: Box,
  room = ROOM,
): { x: number; y: number } {
  const unit = (box.width / 2 - room) / toys.longest;
  const [x, y] = toys.tip(level, feature);
  return { x: box.x + box.width / 2 + x * unit, y: box.y + box.height / 2 - y * unit };
}

/** The colour of a feature: by importance, or by how it lies to the one in focus. */
export function featureColor({ toys, level, focus, palette }: Look, feature: number): string {
  if (feature === focus) return palette.fg;
  if (focus === null) {
    const { importance } = toys.spec;
    return mix(palette.faint, palette.fg, 0.15 + (0.85 * importance[feature]) / Math.max(...importance));
  }
  // A direction of no length points nowhere.
  if (toys.facts(level, focus).norm < KEPT) return palette.faint;
  const along = toys.along(level, focus, feature);
  if (Math.abs(along) < ASIDE) return palette.faint;
  // Pale ends of a scale are for areas; a line needs more to be seen.
  const strength = 0.45 + 0.55 * Math.min(1, Math.abs(along));
  return palette.scale.css[palette.scale.index(Math.sign(along) * strength, 1)];
}

function paintPlane(context: CanvasRenderingContext2D, look: Look, box: Box, labels: string | null): void {
  const { toys, level, focus, palette } = look;
  const large = labels !== null;
  const [middleX, middleY] = [box.x + box.width / 2, box.y + box.height / 2];
  const room = large ? ROOM : SMALL_ROOM;
  const unit = (box.width / 2 - room) / toys.longest;
  context.lineWidth = 1;
  context.strokeStyle = palette.line;
  context.beginPath();
  context.moveTo(box.x, middleY);
  context.lineTo(box.x + box.width, middleY);
  if (toys.spec.n_hidden > 1) {
    context.moveTo(middleX, box.y);
    context.lineTo(middleX, box.y + box.height);
    context.moveTo(middleX + unit, middleY);
    context.arc(middleX, middleY, unit, 0, 2 * Math.PI);
  } else {
    for (const end of [-unit, unit]) {
      context.moveTo(middleX + end, middleY - 5);
      context.lineTo(middleX + end, middleY + 5);
    }
  }
  context.stroke();
  const order = Array.from({ length: toys.features }, (_, feature) => toys.features - 1 - feature);
  if (focus !== null) order.push(focus); // once more, on top
  const dot = large ? 4.5 : 2.6;
  for (const feature of order) {
    const { x, y } = tipOnScreen(toys, level, feature, box, room);
    const own = feature === focus;
    context.strokeStyle = context.fillStyle = featureColor(look, feature);
    context.lineWidth = (large ? 2 : 1.4) * (own ? 1.6 : 1);
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(middleX, middleY);
    context.lineTo(x, y);
    context.stroke();
    context.beginPath();
    context.arc(x, y, dot * (own ? 1.25 : 1), 0, 2 * Math.PI);
    context.fill();
  }
  if (large && toys.features <= 60) paintLabels(context, look, box, labels);
}

/** Numbers of features just beyond the ends of their directions, those that would touch another left out. */
function paintLabels(context: CanvasRenderingContext2D, look: Look, box: Box, font: string): void {
  const { toys, level, focus, palette } = look;
  context.font = font;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const [middleX, middleY] = [box.x + box.width / 2, box.y + box.height / 2];
  const taken: { x: number; y: number }[] = [];
  const order = [...(focus === null ? [] : [focus]), ...Array.from({ length: toys.features }, (_, feature) => feature)];
  for (const feature of new Set(order)) {
    const tip = tipOnScreen(toys, level, feature, box);
    const [dx, dy] = [tip.x - middleX, tip.y - middleY];
    const length = Math.hypot(dx, dy);
    if (length < 14 && feature !== focus) continue;
    const out = 15 / Math.max(length, 1);
    const at = { x: tip.x + dx * out, y: tip.y + dy * out };
    if (taken.some(({ x, y }) => Math.hypot(x - at.x, y - at.y) < 13)) continue;
    taken.push(at);
    context.font = feature === focus ? `bold ${font}` : font;
    context.fillStyle = feature === focus ? palette.fg : palette.muted;
    context.fillText(String(feature), at.x, at.y);
  }
}

function paintGram(context: CanvasRenderingContext2D, { toys, level, focus, palette }: Look, box: Box): void {
  const n = toys.features;
  const gram = toys.gram(level);
  const side = Math.max(1, Math.round(box.width * (globalThis.devicePixelRatio || 1)));
  // Smaller than a pixel, the strongest of the cells in it is drawn; larger, each cell is one pixel of the image.
  const pixels = Math.min(side, n);
  const stretch = bins(pixels, 0, pixels / n, n);
  const words = new Uint32Array(pixels * pixels);
  for (let row = 0; row < pixels; row++) {
    for (let column = 0; column < pixels; column++) {
      const at =
        n <= side
          ? row * n + column
          : strongest(
              gram,
              0,
              n,
              [stretch.cellFrom[row], stretch.cellTo[row]],
              [stretch.cellFrom[column], stretch.cellTo[column]],
            );
      words[row * pixels + column] =
        palette.scale.words[at < 0 ? DivergingScale.HALF : palette.scale.index(gram[at], 1)];
    }
  }
  drawPixels(context, words, { width: pixels, height: pixels }, box);
  if (focus === null) return;
  const cell = box.width / n;
  context.strokeStyle = palette.fg;
  context.lineWidth = 1.5;
  context.strokeRect(box.x, box.y + focus * cell, box.width, Math.max(2, cell));
}

/** Bars as long as each direction, dark for the share that it has to itself. */
export function paintBars(context: CanvasRenderingContext2D, look: Look, box: Box): void {
  const { toys, level, focus, palette } = look;
  const step = box.height / toys.features;
  const unit = box.width / toys.longest;
  const thick = Math.max(0.75, step > 6 ? step - Math.max(2, step * 0.34) : step * 0.85);
  for (let feature = 0; feature < toys.features; feature++) {
    const { norm, dimensionality } = toys.facts(level, feature);
    const y = box.y + feature * step + (step - thick) / 2;
    const length = norm * unit;
    context.fillStyle = palette.faint;
    context.fillRect(box.x, y, length, thick);
    context.fillStyle = focus === null || focus === feature ? palette.fg : palette.muted;
    context.fillRect(box.x, y, length * dimensionality, thick);
  }
  context.strokeStyle = palette.line;
  context.lineWidth = 1;
  context.beginPath();
  for (const length of [0, 1]) {
    const x = Math.round(box.x + length * unit) + 0.5;
    context.moveTo(x, box.y);
    context.lineTo(x, box.y + box.height);
  }
  context.stroke();
}
