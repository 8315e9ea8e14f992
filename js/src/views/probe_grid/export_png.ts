import { drawRuns, type Run } from "../../core/flow";
import type { LayerGrid } from "../../core/layer_grid";
import { type Fonts, MARGIN, pensOf, takePicture } from "../../core/picture";
import { DivergingScale } from "../../core/scales";
import { chartInto, headingOf } from "./chart";
import type { Scene } from "./scene";
import { describe, formatShare, meaningOf } from "./words";

const NARROWEST = 640;
const CHART = 220;
const RAMP = 132;

/** The grid and the layers as a line, as a picture. */
export function probesToPng(scene: Scene, grid: LayerGrid, fonts: Fonts): Promise<Blob | null> {
  return takePicture(scene, NARROWEST, (context, full) => draw(context, scene, grid, fonts, full));
}

function draw(context: CanvasRenderingContext2D, scene: Scene, grid: LayerGrid, fonts: Fonts, full: number): number {
  const { spec, palette, kind, measure, selected } = scene;
  const width = full - 2 * MARGIN;
  const { plain, bold } = pensOf(palette, fonts);
  const write = (runs: Run[], y: number, line = 19, x = MARGIN) => drawRuns(context, runs, { x, y, width, line });
  let y = write([bold(spec.title, 17)], MARGIN + 12, 24);
  y = write([plain(meaningOf(scene))], y + 24) + 22;
  const what = `${spec.measures[measure].label} of ${spec.kinds[kind].label}`;
  y = write([bold(what)], y) + 16;
  const room = { width, mostHeight: 520, palette };
  y += grid.paintInto(context, { ...room, x: MARGIN, y, scale: 2 }) + 18;
  const ramp = context.createLinearGradient(MARGIN, 0, MARGIN + RAMP, 0);
  const colors = palette.scale.css.slice(DivergingScale.HALF);
  colors.forEach((color, n, { length }) => {
    ramp.addColorStop(n / (length - 1), color);
  });
  context.fillStyle = ramp;
  context.fillRect(MARGIN, y - 5, RAMP, 10);
  const low = `${formatShare(spec.chance[measure])}, ${measure === 0 ? "majority class" : "chance"}, to 1`;
  y = write([plain(low)], y, 19, MARGIN + RAMP + 12) + 26;
  if (selected) {
    y = write([bold(headingOf(scene))], y) + 12;
    chartInto(context, scene, { x: MARGIN, y, width: Math.min(width, 640), height: CHART, font: plain("", 11).font });
    y = write([plain(describe(scene, selected))], y + CHART + 14);
  }
  return write([plain(spec.provenance.join(" · "), 11)], y + 30, 16) + MARGIN;
}
