import { thinLabels } from "../../core/axes";
import { hatch } from "../../core/hatch";
import type { Step } from "./data";
import type { Cell, Layout } from "./layout";
import type { Scene } from "./scene";
import { signed } from "./words";

export interface Fonts {
  sans: string;
  mono: string;
}

type Drawn = Pick<Scene, "spec" | "data" | "values" | "limit" | "palette" | "prompt" | "target">;

/** Draws every component's cell, and beside it how their sum grows from the embedding up to the logit difference. */
export function paint(context: CanvasRenderingContext2D, scene: Drawn, layout: Layout, fonts: Fonts): void {
  paintAxes(context, scene, layout, fonts);
  for (const cell of layout.cells) paintCell(context, scene, cell);
  paintSum(context, scene, layout, fonts);
}

function gapOf({ width, height }: Cell): [number, number] {
  return [width > 8 ? 1 : 0, height > 8 ? 1 : 0];
}

function paintCell(context: CanvasRenderingContext2D, { values, limit, palette }: Drawn, cell: Cell): void {
  const value = values[cell.component];
  const [dx, dy] = gapOf(cell);
  const [width, height] = [cell.width - dx, cell.height - dy];
  if (Number.isNaN(value)) {
    hatch(context, palette, { x: cell.x, y: cell.y, width, height });
    return;
  }
  context.fillStyle = palette.scale.css[palette.scale.index(value, limit)];
  context.fillRect(cell.x, cell.y, width, height);
  if (Math.abs(value) > limit * (1 + 1e-6) && width > 6) {
    context.fillStyle = palette.bg;
    context.beginPath();
    context.moveTo(cell.x + width, cell.y);
    context.lineTo(cell.x + width - 6, cell.y);
    context.lineTo(cell.x + width, cell.y + 6);
    context.fill();
  }
}

function paintAxes(
  context: CanvasRenderingContext2D,
  { spec, palette }: Drawn,
  { map, sum, rows, rowHeight, columns, cells }: Layout,
  { sans, mono }: Fonts,
): void {
  context.fillStyle = palette.muted;
  context.textBaseline = "middle";
  context.textAlign = "right";
  context.font = `10.5px ${mono}`;
  const middle = (row: number, top: number) => top + (rows - 1 - row + 0.5) * rowHeight;
  const gap = 13 / rowHeight;
  const tops = sum.y === map.y ? [map.y] : [map.y, sum.y];
  for (const top of tops) {
    for (const layer of thinLabels(spec.n_layers, gap, { last: true }))
      context.fillText(String(layer), map.x - 7, middle(layer + 1, top));
    context.font = `10px ${sans}`;
    if (rowHeight >= 9) {
      context.fillText("emb", map.x - 5, middle(0, top));
      context.fillText("bias", map.x - 5, middle(rows - 1, top));
    }
    context.font = `10.5px ${mono}`;
  }
  context.textAlign = "center";
  const heads = cells.filter(({ component }) => spec.components[component].head !== null);
  const first = heads.find(({ component }) => spec.components[component].head === 0);
  if (first) {
    for (const head of thinLabels(spec.n_heads, 19 / first.width, { last: true }))
      context.fillText(String(head), first.x + (head + 0.5) * first.width, map.y + map.height + 10);
    context.font = `11px ${sans}`;
    context.fillText("heads", first.x + (spec.n_heads * first.width) / 2, map.y - 10);
  }
  context.font = `11px ${sans}`;
  for (const { text, x, width } of columns) context.fillText(text, x + width / 2, map.y - 10);
  context.textAlign = "left";
  context.fillText("sum so far, in logits", sum.x, sum.y - 10);
}

/** Where a sum is drawn. */
export function sumScale(steps: readonly Step[], logit: number, { sum }: Layout): (value: number) => number {
  const ends = [0, Number.isNaN(logit) ? 0 : logit, ...steps.flatMap(({ from, to }) => [from, to])].filter(
    Number.isFinite,
  );
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const room = high - low || 1;
  return (value) => sum.x + ((value - low) / room) * sum.width;
}

function paintSum(context: CanvasRenderingContext2D, scene: Drawn, layout: Layout, { sans, mono }: Fonts): void {
  const { data, prompt, target, palette } = scene;
  const { sum, rows, rowHeight } = layout;
  const steps = data.steps(prompt, target);
  const logit = data.logit(prompt, target);
  const at = sumScale(steps, logit, layout);
  const foot = sum.y + sum.height;
  context.lineWidth = 1;
  context.strokeStyle = palette.line;
  context.beginPath();
  for (let row = 0; row <= rows; row++) {
    if (rowHeight < 9 && row % 5) continue;
    context.moveTo(sum.x, foot - row * rowHeight);
    context.lineTo(sum.x + sum.width, foot - row * rowHeight);
  }
  context.globalAlpha = 0.55;
  context.stroke();
  context.globalAlpha = 1;
  context.strokeStyle = palette.faint;
  vertical(context, at(0), sum.y - 2, foot + 2);
  context.fillStyle = palette.muted;
  context.font = `10.5px ${mono}`;
  context.textBaseline = "middle";
  context.textAlign = "center";
  if (Number.isNaN(logit)) return;
  context.setLineDash([3, 3]);
  context.strokeStyle = palette.fg;
  vertical(context, at(logit), sum.y - 2, foot + 2);
  context.setLineDash([]);
  if (Math.abs(at(logit) - at(0)) > 26) context.fillText("0", at(0), foot + 11);
  const places = placed(steps, layout);
  // The line of the sum first, the steps on it.
  context.strokeStyle = palette.muted;
  context.lineWidth = 1;
  context.beginPath();
  places.forEach(({ y, height, step }, n) => {
    if (n === 0) context.moveTo(at(step.from), y + height);
    context.lineTo(at(step.from), y + height / 2);
    context.lineTo(at(step.to), y + height / 2);
    context.lineTo(at(step.to), y);
  });
  context.stroke();
  for (const { y, height, step } of places) {
    const [from, to] = [at(step.from), at(step.to)];
    context.fillStyle = palette.scale.css[palette.scale.index(step.to - step.from, Number.MIN_VALUE)];
    const tall = Math.max(2, Math.min(9, height - 2));
    context.fillRect(Math.min(from, to), y + (height - tall) / 2, Math.max(1, Math.abs(to - from)), tall);
  }
  context.fillStyle = palette.fg;
  context.beginPath();
  context.arc(at(logit), sum.y, 3.2, 0, 2 * Math.PI);
  context.fill();
  context.font = `600 11px ${sans}`;
  context.textAlign = at(logit) > sum.x + sum.width - 20 ? "right" : "center";
  const x = Math.min(sum.x + sum.width + 40, at(logit) + (context.textAlign === "right" ? 36 : 0));
  context.fillText(signed(logit), x, foot + 11);
}

/** The box of each step: attention and MLP share the row of their layer, in the order of the model. */
export function placed(
  steps: readonly Step[],
  { sum, rows, rowHeight }: Layout,
): { step: Step; y: number; height: number }[] {
  const counts = new Map<number, number>();
  const rowOf = ({ layer, group }: Step) => (layer === null ? (group === "biases" ? rows - 1 : 0) : layer + 1);
  for (const step of steps) counts.set(rowOf(step), (counts.get(rowOf(step)) ?? 0) + 1);
  const used = new Map<number, number>();
  return steps.map((step) => {
    const row = rowOf(step);
    const count = counts.get(row) ?? 1;
    const nth = used.get(row) ?? 0;
    used.set(row, nth + 1);
    const height = rowHeight / count;
    // Up is later, as in the map.
    return { step, height, y: sum.y + (rows - row) * rowHeight - (nth + 1) * height };
  });
}

function vertical(context: CanvasRenderingContext2D, x: number, from: number, to: number): void {
  context.beginPath();
  context.moveTo(Math.round(x) + 0.5, from);
  context.lineTo(Math.round(x) + 0.5, to);
  context.stroke();
}

/** Draws an outline around a cell. */
export function outline(context: CanvasRenderingContext2D, cell: Cell, weight: number, color: string, surface: string) {
  const [dx, dy] = gapOf(cell);
  const [width, height] = [Math.max(4, cell.width - dx), Math.max(4, cell.height - dy)];
  const [x, y] = [cell.x + (cell.width - dx - width) / 2, cell.y + (cell.height - dy - height) / 2];
  context.strokeStyle = surface;
  context.lineWidth = weight + 2;
  context.beginPath();
  context.roundRect(x, y, width, height, 2);
  context.stroke();
  context.strokeStyle = color;
  context.lineWidth = weight;
  context.stroke();
}
