import { drawRuns, type Run } from "../../core/flow";
import { type Fonts, MARGIN, pensOf, takePicture } from "../../core/picture";
import { layoutChart, paintChart } from "./chart";
import { layoutLarge, paintLarge } from "./large";
import { paintModel } from "./paint";
import { focusOf, inPlane, type Scene } from "./scene";
import { tiles } from "./strip";
import { explainFeature, explainModel, onBriefly, onShare, percent, pictureMeaning } from "./words";

const NARROWEST = 760;

/** The view as a picture at twice its size on screen. */
export function toysToPng(scene: Scene, fonts: Fonts): Promise<Blob | null> {
  return takePicture(scene, NARROWEST, (context, full) => draw(context, scene, fonts, full));
}

function draw(context: CanvasRenderingContext2D, scene: Scene, fonts: Fonts, full: number): number {
  const { spec, toys, level, pinned, palette } = scene;
  const width = full - 2 * MARGIN;
  const { plain, bold } = pensOf(palette, fonts);
  const write = (runs: Run[], y: number, room = width, x = MARGIN, line = 18) =>
    drawRuns(context, runs, { x, y, width: room, line });
  let y = write([bold(spec.title, 17)], MARGIN + 12);
  y = write([plain(pictureMeaning(spec))], y + 24) + 24;
  y = drawStrip(context, scene, y, width, write, plain, bold);
  y = write([bold(`Features ${onShare(spec, level)}`, 13), plain(` · ${toys.geometry(level)}`)], y + 6) + 14;
  const half = Math.min(560, width * 0.46);
  const large = layoutLarge(half, inPlane(spec));
  const chart = layoutChart(scene, width - half - 28, large.height);
  context.save();
  context.translate(MARGIN, y);
  paintLarge(context, scene, large, fonts);
  context.translate(half + 28, 0);
  paintChart(context, scene, chart, fonts);
  context.restore();
  y += large.height + 28;
  const words =
    pinned === null
      ? [plain(explainModel(toys, level))]
      : [bold(`feature ${pinned}  `), plain(explainFeature(toys, level, pinned))];
  y = write(words, y) + 30;
  return write([plain(spec.provenance.join(" · "), 11)], y) + MARGIN;
}

type Write = (runs: Run[], y: number, room?: number, x?: number, line?: number) => number;
type Words = (text: string, size?: number) => Run;

function drawStrip(
  context: CanvasRenderingContext2D,
  scene: Scene,
  top: number,
  width: number,
  write: Write,
  plain: Words,
  bold: Words,
): number {
  const { toys, spec, level, palette } = scene;
  const { columns, size } = tiles(width, toys.levels);
  const look = { toys, palette, focus: focusOf(scene) };
  let [y, below] = [top, top];
  for (let at = 0; at < toys.levels; at++) {
    if (at && at % columns === 0) y = below + 20;
    const x = MARGIN + (at % columns) * (size + 10);
    paintModel(context, { ...look, level: at }, { x, y, width: size, height: size }, null);
    if (at === level) {
      context.strokeStyle = palette.fg;
      context.lineWidth = 1.5;
      context.strokeRect(x - 3, y - 3, size + 6, size + 6);
    }
    const caption = [bold(`${onBriefly(spec, at)} `, 12), plain(`loses ${percent(toys.lost(at))}`, 12)];
    const line = write(caption, y + size + 16, size, x);
    below = Math.max(below, write([plain(toys.geometry(at), 11)], line + 16, size, x, 14));
  }
  return below + 22;
}
