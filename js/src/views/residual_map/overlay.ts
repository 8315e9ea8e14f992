import { prepare } from "../../core/canvas";
import { h } from "../../core/dom";
import type { Frame, Plane } from "./plane";
import { BOTTOM, drawAxes, LEFT } from "./plot_axes";
import type { Scene } from "./scene";
import { radiusOf } from "./splat";

/** What is marked, in CSS pixels from the corner of the plot. */
export interface Marks {
  /** The point that is pointed at, or at the cursor. */
  at: readonly [number, number] | null;
  /** Points that somebody points at elsewhere. */
  ghosts: readonly (readonly [number, number])[];
  /** The line that is being drawn around points. */
  line: readonly (readonly [number, number])[] | null;
}

/** The canvas above the points: axes, the rings around marked points, and the line of a lasso or a box. */
export class Overlay {
  readonly canvas = h("canvas", { class: "iw-over", "aria-hidden": "true" });

  paint(
    scene: Scene,
    { at, ghosts, line }: Marks,
    frame: Frame,
    plane: Plane,
    { width, height }: { width: number; height: number },
  ): void {
    const context = prepare(this.canvas, width + LEFT, height + BOTTOM);
    if (!context) return;
    const { palette } = scene;
    const family = getComputedStyle(this.canvas).fontFamily || "sans-serif";
    drawAxes(context, scene, { width, height, frame, plane, font: (size) => `${size}px ${family}` });
    context.save();
    context.beginPath();
    context.rect(LEFT, 0, width, height);
    context.clip();
    const ring = ([x, y]: readonly [number, number], radius: number, dash: number[]) => {
      context.setLineDash(dash);
      context.beginPath();
      context.arc(x + LEFT, y, radius, 0, 2 * Math.PI);
      context.strokeStyle = palette.bg;
      context.lineWidth = 4;
      context.stroke();
      context.strokeStyle = palette.fg;
      context.lineWidth = 1.75;
      context.stroke();
    };
    const radius = radiusOf(scene.data.count) + 4.5;
    for (const ghost of ghosts) ring(ghost, radius + 1, [3, 3]);
    if (at) ring(at, radius, []);
    if (line && line.length > 1) {
      context.setLineDash([]);
      context.beginPath();
      for (const [x, y] of line) context.lineTo(x + LEFT, y);
      context.closePath();
      context.globalAlpha = 0.12;
      context.fillStyle = palette.fg;
      context.fill();
      context.globalAlpha = 1;
      context.strokeStyle = palette.fg;
      context.lineWidth = 1.25;
      context.stroke();
    }
    context.restore();
  }
}
