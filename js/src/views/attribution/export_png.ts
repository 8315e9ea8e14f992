import { drawRuns, type Run } from "../../core/flow";
import { formatLimit } from "../../core/format";
import { type Fonts, MARGIN, pensOf, takePicture } from "../../core/picture";
import type { StripContent } from "../../core/token_strip";
import { drawStrip } from "../../core/token_strip_picture";
import { layOut } from "./layout";
import { outline, paint } from "./paint";
import type { Scene } from "./scene";
import { meaningOf, nameOf, signed, titleOf } from "./words";

const NARROWEST = 640;
const RAMP = 132;
const TALLEST_TEXT = 260;

/** What a picture takes over from the page. */
export interface Look {
  fonts: Fonts;
  strip: StripContent | null;
  firstSeen: number;
}

/** The map and the line of the sum as a picture, with the text and what is chosen. */
export function attributionToPng(scene: Scene, look: Look): Promise<Blob | null> {
  return takePicture(scene, NARROWEST, (context, full) => draw(context, scene, look, full));
}

function draw(
  context: CanvasRenderingContext2D,
  scene: Scene,
  { fonts, strip, firstSeen }: Look,
  full: number,
): number {
  const { palette, values, selected, limit, data, prompt, target, spec } = scene;
  const width = full - 2 * MARGIN;
  const { plain, bold } = pensOf(palette, fonts);
  const write = (runs: Run[], y: number, line = 19) => drawRuns(context, runs, { x: MARGIN, y, width, line });
  let y = write([bold(titleOf(scene), 17)], MARGIN + 12, 24);
  y = write([plain(meaningOf(scene))], y + 24) + 12;
  y = write(
    [bold(`${signed(data.logit(prompt, target))} `), plain("logits: the model's own logit difference")],
    y + 10,
  );
  if (strip) {
    // Only where a head is chosen is text coloured by what it brings.
    const head = selected !== null && strip.values.some(Boolean) && spec.components[selected].kind === "head";
    if (head) y = write([bold(`What ${nameOf(scene, selected)} brings from each token`, 12)], y + 22);
    const box = { x: MARGIN, y: y + 18, width, height: TALLEST_TEXT };
    y = drawStrip(context, strip, { palette, fonts }, box, firstSeen).bottom;
  }
  y += 14;
  const layout = layOut(spec, width);
  context.save();
  context.translate(MARGIN, y);
  paint(context, scene, layout, fonts);
  if (selected !== null) outline(context, layout.cells[selected], 2, palette.fg, palette.bg);
  context.restore();
  y += layout.height + 22;
  if (selected !== null)
    y = write([bold(nameOf(scene, selected)), plain(`  ${signed(values[selected])} logits`)], y) + 24;
  const ramp = context.createLinearGradient(MARGIN + 130, 0, MARGIN + 130 + RAMP, 0);
  palette.scale.css.forEach((color, n, { length }) => {
    ramp.addColorStop(n / (length - 1), color);
  });
  write([plain("against the answer", 12)], y);
  context.fillStyle = ramp;
  context.fillRect(MARGIN + 130, y - 5, RAMP, 10);
  const end = formatLimit(limit);
  drawRuns(context, [plain(`for it, in logits, from −${end} to ${end}`, 12)], {
    x: MARGIN + 130 + RAMP + 14,
    y,
    width: width - 130 - RAMP,
    line: 19,
  });
  return write([plain(spec.provenance.join(" · "), 11)], y + 30, 16) + MARGIN;
}
