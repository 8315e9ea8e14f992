import { drawRuns, type Run } from "../../core/flow";
import { formatCount, formatNumber } from "../../core/format";
import { type Fonts, MARGIN, pensOf, takePicture } from "../../core/picture";
import { drawStrip } from "../../core/token_strip_picture";
import { meaningOf } from "./header";
import { type Scene, shadingOf } from "./scene";
import { contentOf, differences } from "./strips";
import { missing, nameOf, spoken, titleOf } from "./words";

const NARROWEST = 640;
// Some browsers draw no canvas of more than 16 million pixels, and at its widest a picture has 3,300 in a line.
const TALLEST = 1800;
const RAMP = 132;

/** What a picture takes over from the page: its type faces, and the first token in sight of each text. */
export interface Look {
  fonts: Fonts;
  firstSeen: readonly number[];
}

/** The texts, coloured by the latent that is shown, as a picture; of very long texts the part in sight. */
export function featuresToPng(scene: Scene, look: Look): Promise<Blob | null> {
  return takePicture(scene, NARROWEST, (context, full) => draw(context, scene, look, full));
}

function draw(context: CanvasRenderingContext2D, scene: Scene, { fonts, firstSeen }: Look, full: number): number {
  const { spec, palette, shown, pinned, held } = scene;
  const width = full - 2 * MARGIN;
  const { plain, bold } = pensOf(palette, fonts);
  const write = (runs: Run[], y: number, line = 19) => drawRuns(context, runs, { x: MARGIN, y, width, line });
  let y = write([bold(titleOf(spec), 17)], MARGIN + 12, 24);
  y = write([plain(meaningOf(scene))], y + 24) + 24;
  const marked = differences(spec.texts.map(({ labels }) => labels));
  spec.texts.forEach(({ name, labels }, text) => {
    if (spec.texts.length > 1) y = write([bold(name, 12)], y + 6) + 14;
    const content = contentOf(scene, text, marked[text]);
    const box = { x: MARGIN, y, width, height: TALLEST / spec.texts.length };
    const { from, to, bottom } = drawStrip(context, content, { palette, fonts }, box, firstSeen[text] ?? 0);
    y = bottom + 8;
    if (to - from < labels.length) {
      const part = `tokens ${from.toLocaleString("en-US")} to ${(to - 1).toLocaleString("en-US")} of`;
      y = write([bold("A part: "), plain(`${part} ${formatCount(labels.length, "token")}.`)], y + 8) + 14;
    }
  });
  if (shown !== null) y = drawLegend(context, scene, shown, { y: y + 14, bold, plain });
  for (const latent of pinned) {
    const { limit } = shadingOf(scene, latent);
    y = write([bold(`${latent}  `, 12), plain(`${nameOf(scene, latent)}, up to ${formatNumber(limit)}`, 12)], y + 20);
  }
  if (held !== null) y = write([plain(spoken(scene, held))], y + 22);
  const lack = shown === null ? null : missing(scene, shown);
  if (lack !== null) y = write([plain(lack)], y + 22);
  return write([plain([spec.dictionary.name, ...spec.provenance].join(" · "), 11)], y + 34, 16) + MARGIN;
}

type Words = (text: string, size?: number) => Run;

/** Draws what the colours mean, and returns the middle of its last line. */
function drawLegend(
  context: CanvasRenderingContext2D,
  scene: Scene,
  shown: number,
  { y, bold, plain }: { y: number; bold: Words; plain: Words },
): number {
  const { data } = scene;
  const shading = shadingOf(scene, shown);
  const write = (run: Run, x: number, middle: number): number => {
    drawRuns(context, [run], { x, y: middle, width: 1e4, line: 19 });
    return x + context.measureText(run.text).width;
  };
  const left = write(bold(nameOf(scene, shown)), MARGIN, y) + 14;
  const ramp = context.createLinearGradient(left, 0, left + RAMP, 0);
  shading.ramp.forEach((color, n, { length }) => {
    ramp.addColorStop(n / (length - 1), color);
  });
  context.fillStyle = ramp;
  context.fillRect(left, y - 5, RAMP, 10);
  const end = formatNumber(shading.limit);
  const ticks = shading.signed ? [`−${end}`, "0", end] : ["0", end];
  ticks.forEach((text, n) => {
    const at = n / (ticks.length - 1);
    const run = plain(text, 11);
    context.font = run.font;
    write(run, left + at * (RAMP - context.measureText(text).width), y + 15);
  });
  const beyond = data.column(shown).values.filter((value) => shading.beyond(value)).length;
  const said = [
    `fires on ${data.fires(shown).toLocaleString("en-US")} of ${formatCount(data.count, "token")}`,
    beyond ? `${formatCount(beyond, "token")} beyond, up to ${formatNumber(data.largest(shown))}` : "",
  ];
  write(plain(said.filter(Boolean).join(" · ")), left + RAMP + 20, y);
  return y + 15;
}
