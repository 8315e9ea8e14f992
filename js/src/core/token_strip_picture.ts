import { hasRightToLeft, isolated } from "./labels";
import type { Fonts } from "./picture";
import type { Palette } from "./theme";
import { breakLines, lineOf } from "./token_lines";
import type { StripContent } from "./token_strip";

const TEXT = 20;
const ROW = 13;
const BAR = 10;
const GAP = 9;
const PAD = 2;

/** The tokens of a strip that a picture has. */
export interface Drawn {
  from: number;
  to: number;
  /** Where the drawing ends. */
  bottom: number;
}

/** Draws a strip, or where it is taller than there is room the part of it from the line of a token on. */
export function drawStrip(
  context: CanvasRenderingContext2D,
  content: StripContent,
  look: { palette: Palette; fonts: Fonts },
  box: { x: number; y: number; width: number; height: number },
  first: number,
): Drawn {
  const { labels, rows } = content;
  const font = `12.5px ${look.fonts.mono}`;
  context.font = font;
  const gutter = Math.max(String(labels.length).length * 7, rows.length ? 44 : 0) + 10;
  const room = box.width - gutter;
  const widths = labels.map((label) => Math.min(room, Math.ceil(context.measureText(shown(label)).width) + 2 * PAD));
  const starts = breakLines(labels, widths, room, new Set(content.starts));
  const lineHeight = TEXT + (rows.length ? rows.length * ROW + 3 : 0) + GAP;
  const all = starts.length - 1;
  const fit = Math.max(1, Math.min(all, Math.floor(box.height / lineHeight)));
  const top = Math.min(lineOf(starts, first), all - fit);
  const backwards = labels.slice(0, 400).some(hasRightToLeft);
  context.textBaseline = "middle";
  context.direction = "ltr";
  for (let line = top; line < top + fit; line++) {
    const y = box.y + (line - top) * lineHeight;
    drawGutter(context, content, look, starts[line], { x: backwards ? box.x + room : box.x, y, width: gutter });
    let used = 0;
    for (let token = starts[line]; token < starts[line + 1]; token++) {
      const x = backwards ? box.x + room - used - widths[token] : box.x + gutter + used;
      context.font = font;
      drawToken(context, content, look.palette, token, { x, y, width: widths[token] });
      used += widths[token];
    }
  }
  return { from: starts[top], to: starts[top + fit], bottom: box.y + fit * lineHeight };
}

type Place = { x: number; y: number; width: number };

/** A token as it is read: a space is a space. */
function shown(label: string): string {
  return isolated(label.replaceAll("␣", " "));
}

function drawGutter(
  context: CanvasRenderingContext2D,
  { labels, starts, rows }: StripContent,
  { palette, fonts }: { palette: Palette; fonts: Fonts },
  token: number,
  { x, y, width }: Place,
): void {
  const document = lineOf([...starts, labels.length], token);
  context.font = `10.5px ${fonts.mono}`;
  context.textAlign = "right";
  context.fillStyle = palette.muted;
  context.fillText(String(token - starts[document]), x + width - 9, y + TEXT / 2);
  context.fillStyle = palette.fg;
  rows.forEach(({ name }, row) => {
    context.fillText(name, x + width - 9, y + TEXT + row * ROW + ROW / 2 + 1);
  });
  context.textAlign = "left";
}

function drawToken(
  context: CanvasRenderingContext2D,
  { labels, values, shading, rows, held, marked }: StripContent,
  palette: Palette,
  token: number,
  { x, y, width }: Place,
): void {
  const value = values[token];
  const shade = shading.of(value);
  if (shade) {
    context.fillStyle = shade.color;
    context.fillRect(x, y, width - 0.5, TEXT);
  }
  const ink = shade?.ink ?? (Number.isNaN(value) ? palette.muted : palette.fg);
  context.fillStyle = ink;
  context.fillText(shown(labels[token]), x + PAD, y + TEXT / 2, width - 2 * PAD);
  if (marked?.has(token)) context.fillRect(x + PAD, y + TEXT - 3, width - 2 * PAD, 1.5);
  if (shading.beyond(value)) {
    context.fillStyle = palette.bg;
    context.beginPath();
    context.moveTo(x + width - 0.5, y);
    context.lineTo(x + width - 7.5, y);
    context.lineTo(x + width - 0.5, y + 7);
    context.fill();
  }
  if (token === held) {
    context.strokeStyle = palette.fg;
    context.lineWidth = 2;
    context.strokeRect(x + 1, y + 1, width - 2.5, TEXT - 2);
  }
  rows.forEach((row, n) => {
    const foot = y + TEXT + 2 + (n + 1) * ROW - 2;
    const own = row.values[token];
    context.fillStyle = Number.isNaN(own) ? palette.faint : palette.line;
    context.fillRect(x, foot, width, 1);
    const bar = row.shading.of(own);
    if (!bar) return;
    const height = Math.max(2, Math.round(row.shading.share(own) * BAR));
    context.fillStyle = bar.color;
    context.fillRect(x + 1, foot - height, width - 2, height);
  });
}
