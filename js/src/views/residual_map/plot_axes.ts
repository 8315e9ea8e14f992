import { formatNumber } from "../../core/format";
import type { Frame, Plane } from "./plane";
import type { Scene } from "./scene";
import { axisName } from "./words";

/** Room for ticks and the name of the axis at the left, and below. */
export const LEFT = 60;
export const BOTTOM = 38;

interface Place {
  /** Of the plot itself, in CSS pixels. */
  width: number;
  height: number;
  frame: Frame;
  plane: Plane;
  font(size: number): string;
}

/** Where the lines at 0 are, as shares of the plot: they lie below the points. */
export function zeros({ x, y, halfWidth, halfHeight }: Frame, { zoom, left, top }: Plane): [number, number] {
  return [(0.5 - x / (2 * halfWidth) - left) * zoom, (0.5 + y / (2 * halfHeight) - top) * zoom];
}

/** Draws ticks and the names of the axes around the plot. */
export function drawAxes(
  context: CanvasRenderingContext2D,
  scene: Scene,
  { width, height, frame, plane, font }: Place,
): void {
  const { palette, axes, spec } = scene;
  const { x, y, halfWidth, halfHeight } = frame;
  const { zoom, left, top } = plane;
  const line = (fromX: number, fromY: number, toX: number, toY: number, color: string) => {
    context.strokeStyle = color;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(Math.round(fromX) + 0.5, Math.round(fromY) + 0.5);
    context.lineTo(Math.round(toX) + 0.5, Math.round(toY) + 0.5);
    context.stroke();
  };
  context.font = font(11);
  context.textBaseline = "middle";
  const named = spec.method === "PCA" && scene.row !== null;
  if (named) {
    const [fromX, toX] = [x + (2 * left - 1) * halfWidth, x + (2 * (left + 1 / zoom) - 1) * halfWidth];
    for (const tick of ticksOf(fromX, toX, width / 90)) {
      const at = LEFT + ((tick - fromX) / (toX - fromX)) * width;
      line(at, height, at, height + 4, palette.faint);
      context.fillStyle = palette.muted;
      context.textAlign = "center";
      context.fillText(formatTick(tick, toX - fromX), Math.max(LEFT + 8, Math.min(at, LEFT + width - 10)), height + 12);
    }
    const [toY, fromY] = [y + (1 - 2 * top) * halfHeight, y + (1 - 2 * (top + 1 / zoom)) * halfHeight];
    for (const tick of ticksOf(fromY, toY, height / 70)) {
      const at = height - ((tick - fromY) / (toY - fromY)) * height;
      line(LEFT - 4, at, LEFT, at, palette.faint);
      context.fillStyle = palette.muted;
      context.textAlign = "right";
      context.fillText(formatTick(tick, toY - fromY), LEFT - 7, Math.max(7, Math.min(at, height - 6)));
    }
  }
  line(LEFT, height, LEFT + width, height, palette.faint);
  line(LEFT, 0, LEFT, height, palette.faint);
  context.fillStyle = palette.fg;
  context.font = font(12);
  context.textAlign = "right";
  context.fillText(axisName(scene, axes[0]), LEFT + width, height + 29, width);
  context.save();
  context.translate(8, 0);
  context.rotate(-Math.PI / 2);
  context.fillText(axisName(scene, axes[1]), 0, 0, height);
  context.restore();
}

function ticksOf(from: number, to: number, most: number): number[] {
  const rough = (to - from) / Math.max(2, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((each) => each >= rough) ?? rough;
  const ticks: number[] = [];
  for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step)
    ticks.push(Math.abs(tick) < step / 1e6 ? 0 : tick);
  return ticks;
}

function formatTick(tick: number, span: number): string {
  if (tick === 0) return "0";
  if (span >= 3 && Math.abs(tick) < 1e6)
    return Number(tick.toPrecision(6)).toLocaleString("en-US").replace("-", "\u2212");
  return formatNumber(tick);
}
