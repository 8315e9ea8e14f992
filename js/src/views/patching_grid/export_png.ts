import { drawRuns, type Run } from "../../core/flow";
import { formatEffect, formatLimit } from "../../core/format";
import { isolated } from "../../core/labels";
import { Viewport } from "../../core/viewport";
import { saysRuns, seen } from "./header";
import { layoutPanels } from "./layout";
import { paintCells, paintLayers } from "./paint";
import type { Scene } from "./scene";
import { TokenAxis } from "./token_axis";
import { axisLabel, directionOf, explain, legendWords, subtitleOf, titleOf, whichPairs } from "./words";

const SCALE = 2;
const MARGIN = 24;
const WIDTHS = [640, 1600];

/** What the picture takes over from the page: its type faces and the part of the grid that is seen. */
export interface Look {
  sans: string;
  mono: string;
  view: Viewport;
}

/** The view as a picture at twice its size on screen. */
export function gridToPng(scene: Scene, look: Look): Promise<Blob | null> {
  const width = Math.min(WIDTHS[1], Math.max(WIDTHS[0], scene.width)) + 2 * MARGIN;
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  if (!context) return Promise.resolve(null);
  // The first drawing only finds out how tall the picture is.
  const height = draw(context, scene, look, width);
  canvas.width = width * SCALE;
  canvas.height = height * SCALE;
  context.scale(SCALE, SCALE);
  context.fillStyle = scene.palette.bg;
  context.fillRect(0, 0, width, height);
  draw(context, scene, look, width);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

function draw(context: CanvasRenderingContext2D, scene: Scene, look: Look, full: number): number {
  const { spec, pair, palette } = scene;
  const { fg, muted } = palette;
  const font = (size: number, weight = "normal", family = look.sans) => `${weight} ${size}px ${family}`;
  const width = full - 2 * MARGIN;
  const text = (runs: Run[], y: number, line = 19, x = MARGIN) =>
    drawRuns(context, runs, { x, y, width: full - MARGIN - x, line });
  const plain = (words: string, size = 12.5, color = muted): Run => ({ text: words, color, font: font(size) });

  const title = titleOf(spec, pair).map(({ text: words, accent }) => ({
    text: accent ? isolated(words) : words,
    color: accent ? palette[accent] : fg,
    font: font(17, "bold"),
  }));
  let y = text([...title, plain(` ${whichPairs(spec, pair)}`)], MARGIN + 12, 24);
  y = text([plain(subtitleOf(spec))], y + 23);
  y = drawPrompts(context, scene, y + 12, { width, font, mono: look.mono });
  y = drawPanels(context, scene, look, y + 24, width);
  if (scene.selected) {
    const { site, layer, pos } = scene.selected;
    const label = isolated(axisLabel(spec, pair, pos).text);
    const where = `${spec.sites[site].label} · layer ${spec.layers[layer]} · ${label}  `;
    y = text([{ text: where, color: fg, font: font(12.5, "bold") }, plain(explain(scene, scene.selected))], y + 14) + 6;
  }
  y = drawLegend(context, scene, y + 26, font);
  return (
    text(
      [plain(`${directionOf(spec)} · ${spec.metrics[scene.metric].term.label} · ${spec.provenance.join(" · ")}`, 11)],
      y + 38,
    ) + MARGIN
  );
}

type Fonts = (size: number, weight?: string, family?: string) => string;

function drawPrompts(
  context: CanvasRenderingContext2D,
  scene: Scene,
  from: number,
  { width, font, mono }: { width: number; font: Fonts; mono: string },
): number {
  const { spec, palette } = scene;
  const shown = spec.pairs[scene.pair ?? 0];
  const differs = new Set(shown.differs);
  let y = from;
  for (const side of ["clean", "corrupt"] as const) {
    const { labels } = shown[side];
    const runs: Run[] = [];
    for (const [start, end] of seen(labels.length, shown.differs)) {
      if (runs.length) runs.push({ text: ` ⋯ to ${start} `, color: palette.muted, font: font(11) });
      for (let pos = start; pos < end; pos++) {
        const own = differs.has(pos);
        runs.push({
          text: isolated(labels[pos]),
          color: own ? palette[side] : palette.fg,
          font: font(12, own ? "bold" : "normal", mono),
          chip: own ? palette[`${side}Chip`] : undefined,
          whole: true,
        });
      }
    }
    drawRuns(context, [{ text: side, color: palette.muted, font: font(12.5) }], {
      x: MARGIN,
      y: y + 20,
      width: 80,
      line: 19,
    });
    y = drawRuns(context, runs, { x: MARGIN + 66, y: y + 20, width: width - 66, line: 19 });
    const says = saysRuns(scene, shown, side).map(({ text, strong }) => ({
      text,
      color: strong ? palette.fg : palette.muted,
      font: font(12, strong ? "bold" : "normal"),
    }));
    y = drawRuns(context, says, { x: MARGIN + 66, y: y + 19, width: width - 66, line: 19 }) + 4;
  }
  return y;
}

function drawPanels(
  context: CanvasRenderingContext2D,
  scene: Scene,
  { sans, mono, view: seenView }: Look,
  top: number,
  width: number,
): number {
  const { spec, data, palette, grid, limit, selected } = scene;
  const font = `11px ${mono}`;
  const measure = (label: string) => {
    context.font = `bold ${font}`;
    return context.measureText(label).width;
  };
  const axis = new TokenAxis(scene, font, measure);
  const layout = layoutPanels(width, { sites: data.sites, layers: data.layers, positions: data.positions }, 0, SCALE);
  const view = new Viewport();
  Object.assign(view, { zoom: seenView.zoom, left: seenView.left, bottom: seenView.bottom });
  view.resize(layout.extent);
  const tall = 34 + layout.extent.height + axis.heightFor(layout.extent.width / data.positions) + 8;
  spec.sites.forEach(({ label, meaning }, site) => {
    const x = MARGIN + (site % layout.columns) * (layout.gutter + layout.extent.width + layout.edge) + layout.gutter;
    const y = top + Math.floor(site / layout.columns) * tall;
    drawRuns(context, [{ text: label, color: palette.fg, font: `bold 12px ${mono}` }], { x, y, width, line: 16 });
    drawRuns(context, [{ text: meaning, color: palette.muted, font: `11px ${sans}` }], {
      x,
      y: y + 15,
      width,
      line: 16,
    });
    paintCells(context, { grid, site, limit, palette, view, scale: SCALE }, x, y + 28);
    if (site % layout.columns === 0) paintLayers(context, { view, palette }, spec.layers, x, y + 28, font);
    axis.paint(context, view, palette, x, y + 28 + layout.extent.height);
    if (selected?.site !== site) return;
    const left = x + (selected.pos - view.left) * view.cellWidth;
    const upper = y + 28 + layout.extent.height - (selected.layer + 1 - view.bottom) * view.cellHeight;
    context.strokeStyle = palette.fg;
    context.lineWidth = 2;
    context.strokeRect(left, upper, Math.max(4, view.cellWidth), Math.max(4, view.cellHeight));
  });
  return top + Math.ceil(spec.sites.length / layout.columns) * tall - 10;
}

function drawLegend(
  context: CanvasRenderingContext2D,
  { spec, palette, limit, grid }: Scene,
  y: number,
  font: Fonts,
): number {
  const [negative, positive] = legendWords(spec);
  const end = formatLimit(limit);
  const { beyond, extreme } = grid.survey(limit);
  const write = (text: string, x: number, middle: number, size = 12) => {
    drawRuns(context, [{ text, color: palette.muted, font: font(size) }], { x, y: middle, width: 1e4, line: 19 });
    return x + context.measureText(text).width;
  };
  const left = write(negative, MARGIN, y) + 12;
  const width = 132;
  const colors = spec.direction === "denoising" ? palette.scale.css : [...palette.scale.css].reverse();
  const ramp = context.createLinearGradient(left, 0, left + width, 0);
  colors.forEach((color, i) => {
    ramp.addColorStop(i / (colors.length - 1), color);
  });
  context.fillStyle = ramp;
  context.fillRect(left, y - 5, width, 10);
  context.font = font(11);
  const ends: [string, number][] = [
    [`−${end}`, 0],
    ["0", width / 2],
    [`+${end}`, width],
  ];
  for (const [text, at] of ends) write(text, left + at - (at / width) * context.measureText(text).width, y + 14, 11);
  const right = write(positive, left + width + 12, y);
  if (beyond) write(`${beyond} beyond, up to ${formatEffect(extreme)}`, right + 24, y);
  return y;
}
