import { drawRuns, type Run } from "../../core/flow";
import { formatNumber } from "../../core/format";
import { labelRoom, paintAxes, paintNumbers } from "../../core/pattern_paint";
import { type Fonts, MARGIN, pensOf, SCALE, takePicture } from "../../core/picture";
import { DivergingScale } from "../../core/scales";
import { SquareView } from "../../core/square_view";
import { drawStrip } from "../../core/token_strip_picture";
import { layOut, paintPictures } from "./pictures";
import { atOf, focusOf, limitOf, type Scene } from "./scene";
import { textContent } from "./text";
import { meaningOf, nameOf, unitOf } from "./words";

const NARROWEST = 900;
const TEXT = 220;
const RAMP = 132;

/** The heads, the large one and the text, as a picture. */
export function attentionToPng(scene: Scene, look: { fonts: Fonts; firstSeen: number }): Promise<Blob | null> {
  return takePicture(scene, NARROWEST, (context, full) => draw(context, scene, look, full));
}

function draw(
  context: CanvasRenderingContext2D,
  scene: Scene,
  { fonts, firstSeen }: { fonts: Fonts; firstSeen: number },
  full: number,
): number {
  const { spec, palette, shown, data, scores } = scene;
  const width = full - 2 * MARGIN;
  const { plain, bold } = pensOf(palette, fonts);
  const write = (runs: Run[], y: number, x = MARGIN, room = width, line = 19) =>
    drawRuns(context, runs, { x, y, width: room, line });
  let y = write([bold(spec.title, 17)], MARGIN + 12, MARGIN, width, 24);
  y = write([plain(meaningOf(scene))], y + 24) + 22;
  y = drawStrip(
    context,
    textContent(scene),
    { palette, fonts },
    { x: MARGIN, y, width, height: TEXT },
    firstSeen,
  ).bottom;
  const top = y + 16;
  const left = Math.floor(width * 0.46);
  const layout = layOut(scene, left);
  paintPictures(context, scene, layout, fonts, { x: MARGIN, y: top, scale: SCALE });
  let bottom = top + layout.height;
  if (shown) {
    const x = MARGIN + Math.max(left, layout.width) + 28;
    const [row, column] = [spec.layers.indexOf(shown.layer), spec.heads.indexOf(shown.head)];
    const called = scores.badges(row, column).map(({ badge }) => badge);
    const room = full - MARGIN - x;
    const after = write([bold(nameOf(shown), 14), plain(`  ${called.join(" · ")}`)], top + 8, x, room) + 16;
    const source = data.source(atOf(scene, shown));
    const labels = data.labels(scene.kind.side);
    context.font = `bold 11px ${fonts.mono}`;
    const taken = labelRoom(labels.slice(0, 400), (text) => context.measureText(text).width);
    const side = Math.max(120, Math.min(520, room - taken.left));
    const box = { x: x + taken.left, y: after, side };
    if (source) {
      const view = new SquareView();
      view.resize(source.across, side);
      paintNumbers(context, source, { palette, limit: limitOf(scene, shown) }, view, box, SCALE);
      const { query } = focusOf(scene);
      paintAxes(context, labels, source.block, view, box, { palette, fonts }, { query, key: null });
    }
    bottom = Math.max(bottom, after + side + taken.below);
  }
  y = drawLegend(context, scene, bottom + 24, plain, bold);
  const term = scores.terms.find(({ name }) => name === scene.score);
  if (term) y = write([bold(`Frames: ${term.badge}. `, 12), plain(`${term.meaning}. ${term.source}.`, 12)], y + 24);
  return write([plain(spec.provenance.join(" · "), 11)], y + 30, MARGIN, width, 16) + MARGIN;
}

type Words = (text: string, size?: number) => Run;

function drawLegend(context: CanvasRenderingContext2D, scene: Scene, y: number, plain: Words, bold: Words): number {
  const { palette, kind, shown } = scene;
  const signed = kind.side === "difference";
  const name = bold(signed ? `${unitOf(scene)}, corrupt less clean` : unitOf(scene));
  drawRuns(context, [name], { x: MARGIN, y, width: 1e4, line: 19 });
  const left = MARGIN + context.measureText(name.text).width + 14;
  const { css } = palette.scale;
  const colors = signed ? css : css.slice(DivergingScale.HALF);
  const ramp = context.createLinearGradient(left, 0, left + RAMP, 0);
  colors.forEach((color, n) => {
    ramp.addColorStop(n / (colors.length - 1), color);
  });
  context.fillStyle = ramp;
  context.fillRect(left, y - 5, RAMP, 10);
  const end = formatNumber(shown ? limitOf(scene, shown) : 1);
  const ticks = signed ? [`−${end}`, "0", `+${end}`] : ["0", end];
  ticks.forEach((text, n) => {
    const run = plain(text, 11);
    context.font = run.font;
    const x = left + (n / (ticks.length - 1)) * (RAMP - context.measureText(text).width);
    drawRuns(context, [run], { x, y: y + 15, width: 1e4, line: 19 });
  });
  return y + 15;
}
