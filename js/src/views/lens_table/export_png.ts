import { drawRuns, type Run } from "../../core/flow";
import type { LayerGrid } from "../../core/layer_grid";
import { type Fonts, MARGIN, pensOf, SCALE, takePicture } from "../../core/picture";
import { DivergingScale } from "../../core/scales";
import { drawChart, linesOf } from "./chart";
import type { Difference, Scale } from "./scale";
import type { Scene } from "./scene";
import { colourOf, lineName, meaningOf, QUANTITIES, titleOf } from "./words";

const NARROWEST = 640;
const RAMP = 132;
const CHART = { width: 460, height: 210 };

/** What a picture takes over from the page. */
export interface Look {
  fonts: Fonts;
  grids: readonly LayerGrid[];
  titles: readonly string[];
  scale: Scale;
  difference: Difference | null;
}

/** The tables and the lines as a picture. */
export function lensToPng(scene: Scene, look: Look): Promise<Blob | null> {
  return takePicture(scene, NARROWEST, (context, full) => draw(context, scene, look, full));
}

function draw(context: CanvasRenderingContext2D, scene: Scene, look: Look, full: number): number {
  const { spec, palette } = scene;
  const { fonts, grids, titles, scale, difference } = look;
  const width = full - 2 * MARGIN;
  const { plain, bold } = pensOf(palette, fonts);
  const write = (runs: Run[], y: number, x = MARGIN, room = width, line = 19) =>
    drawRuns(context, runs, { x, y, width: room, line });
  let y = write([bold(titleOf(spec), 17)], MARGIN + 12, MARGIN, width, 24);
  y = write([plain(meaningOf(scene))], y + 24) + 20;
  grids.forEach((grid, panel) => {
    if (grids.length > 1) y = write([bold(titles[panel], 12)], y + 4) + 14;
    y += grid.paintInto(context, { x: MARGIN, y, width, mostHeight: 560, scale: SCALE, palette }) + 16;
  });
  y = ramp(context, scene, scale, colourOf(scene), y + 8, plain);
  if (difference) y = ramp(context, scene, difference, difference.text, y + 26, plain);
  const lines = linesOf(scene);
  y = write([bold(`${QUANTITIES[scene.trajectory].text} through the layers`, 12)], y + 34) - 6;
  const own = { label: `11px ${fonts.mono}`, title: `10.5px ${fonts.sans}` };
  drawChart(context, scene, lines, { x: MARGIN, y: y + 22, ...CHART, width: Math.min(CHART.width, width), fonts: own });
  y += 22 + CHART.height;
  for (const { prompt, pos, answer, color } of lines) {
    context.fillStyle = color;
    for (const [from, wide] of prompt
      ? [
          [4, 6],
          [12, 6],
        ]
      : [[4, 14]])
      context.fillRect(MARGIN + from, y + 14, wide, 3);
    y = write([plain(lineName(scene, prompt, pos, answer), 12)], y + 16, MARGIN + 26);
  }
  return write([plain(spec.provenance.join(" · "), 11)], y + 30, MARGIN, width, 16) + MARGIN;
}

function ramp(
  context: CanvasRenderingContext2D,
  { palette }: Scene,
  { signed, ticks }: Scale,
  text: string,
  y: number,
  plain: (text: string, size?: number) => Run,
): number {
  const write = (run: Run, x: number, middle: number): number => {
    drawRuns(context, [run], { x, y: middle, width: 1e4, line: 19 });
    return x + context.measureText(run.text).width;
  };
  const left = write(plain(text), MARGIN, y) + 14;
  const colors = signed ? palette.scale.css : palette.scale.css.slice(DivergingScale.HALF);
  const gradient = context.createLinearGradient(left, 0, left + RAMP, 0);
  colors.forEach((color, n) => {
    gradient.addColorStop(n / (colors.length - 1), color);
  });
  context.fillStyle = gradient;
  context.fillRect(left, y - 5, RAMP, 10);
  ticks.forEach((tick, n) => {
    const run = plain(tick, 11);
    context.font = run.font;
    write(run, left + (n / 2) * (RAMP - context.measureText(tick).width), y + 15);
  });
  return y + 15;
}
