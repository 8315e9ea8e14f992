import { EDGE } from "../../core/cell_frame";
import { drawRuns, type Run } from "../../core/flow";
import { formatEffect, formatLimit } from "../../core/format";
import { isolated } from "../../core/labels";
import { MARGIN, SCALE, takePicture } from "../../core/picture";
import { Viewport } from "../../core/viewport";
import { limitInWords, rampOf, surveyOf } from "./controls";
import { promptName, saysRuns, seen } from "./header";
import { layoutPanels } from "./layout";
import { paintCells } from "./paint";
import { framesOf, shapesOf } from "./panels";
import { pinnedIn, type Scene } from "./scene";
import { ACCENTS, explain, hasTokens, meaningOf, nameOf, titleOf, whichPairs } from "./words";

const NARROWEST = 640;

/** What the picture takes over from the page: its type faces and the part of each panel that is seen. */
export interface Look {
  sans: string;
  mono: string;
  views: readonly Viewport[];
}

/** The view as a picture at twice its size on screen. */
export function gridToPng(scene: Scene, look: Look): Promise<Blob | null> {
  return takePicture(scene, NARROWEST, (context, full) => draw(context, scene, look, full));
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
  y = text([plain(spec.story.cell)], y + 23);
  y = drawPrompts(context, scene, y + 12, { width, font, mono: look.mono });
  y = drawPanels(context, scene, look, y + 24, width);
  if (scene.strips) y = drawPanels(context, scene.strips, { ...look, views: [] }, y + 24, width);
  const pinned = pinnedIn(scene);
  if (pinned.selected) {
    const where = `${nameOf(pinned, pinned.selected)}  `;
    const said = explain(pinned, pinned.selected);
    y = text([{ text: where, color: fg, font: font(12.5, "bold") }, plain(said)], y + 14) + 6;
  }
  y = drawLegend(context, scene, y + 26, font);
  return (
    text(
      [plain(`${spec.story.label} · ${spec.metrics[scene.metric].term.label} · ${spec.provenance.join(" · ")}`, 11)],
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
  const room = (words: string) => {
    context.font = font(12.5);
    return context.measureText(words).width;
  };
  const indent = Math.max(...ACCENTS.map((side) => room(promptName(scene, side)))) + 20;
  for (const side of ACCENTS) {
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
    drawRuns(context, [{ text: promptName(scene, side), color: palette.muted, font: font(12.5) }], {
      x: MARGIN,
      y: y + 20,
      width: indent,
      line: 19,
    });
    const line = { x: MARGIN + indent, width: width - indent, line: 19 };
    if (hasTokens(spec, side)) y = drawRuns(context, runs, { ...line, y: y + 20 });
    else y += 1;
    const says = saysRuns(scene, shown, side).map(({ text, strong }) => ({
      text,
      color: strong ? palette.fg : palette.muted,
      font: font(12, strong ? "bold" : "normal"),
    }));
    y = drawRuns(context, says, { ...line, y: y + 19 }) + 4;
  }
  return y;
}

function drawPanels(
  context: CanvasRenderingContext2D,
  scene: Scene,
  { sans, mono, views }: Look,
  top: number,
  width: number,
): number {
  const { spec, palette, grid, limit, selected } = scene;
  const fonts = { label: `11px ${mono}`, title: `10.5px ${sans}` };
  const measure = (label: string) => {
    context.font = `bold ${fonts.label}`;
    return context.measureText(label).width;
  };
  const layout = layoutPanels(width, shapesOf(scene), SCALE);
  const frames = framesOf(scene, layout, fonts, measure, () => new Viewport());
  let y = top;
  for (const line of layout.lines) {
    const starts = line.map((_, n) => line.slice(0, n).reduce((at, panel) => at + frames[panel].box.width, MARGIN));
    // Names stand on one line and plots on another, however many lines a meaning takes.
    const named = line.map((panel, n) => {
      const { gutter, width: own } = frames[panel].box;
      const room = { x: starts[n] + gutter, width: own - gutter, line: 14 };
      const { label } = spec.panels[panel].term;
      drawRuns(context, [{ text: label, color: palette.fg, font: `bold 12px ${mono}` }], { ...room, y });
      const small = [{ text: meaningOf(spec, panel), color: palette.muted, font: `11px ${sans}` }];
      return drawRuns(context, small, { ...room, y: y + 15 });
    });
    const cells = Math.max(...named) + 13;
    line.forEach((panel, n) => {
      const { box, view, rows, columns } = frames[panel];
      if (views[panel])
        Object.assign(view, { zoom: views[panel].zoom, left: views[panel].left, bottom: views[panel].bottom });
      view.resize(box.extent);
      const x = starts[n] + box.gutter;
      paintCells(context, { grid, panel, limit, palette, view, scale: SCALE }, x, cells);
      if (box.numbered) rows.paint(context, view, palette, x, cells);
      columns.paint(context, view, palette, x, cells + box.extent.height);
      if (selected?.panel !== panel) return;
      context.save();
      context.beginPath();
      context.rect(x - EDGE, cells - EDGE, box.extent.width + 2 * EDGE, box.extent.height + 2 * EDGE);
      context.clip();
      context.strokeStyle = palette.fg;
      context.lineWidth = 2;
      context.strokeRect(
        x + (selected.column - view.left) * view.cellWidth,
        cells + box.extent.height - (selected.row + 1 - view.bottom) * view.cellHeight,
        Math.max(4, view.cellWidth),
        Math.max(4, view.cellHeight),
      );
      context.restore();
    });
    y = cells + 8 + EDGE + Math.max(...line.map((panel) => frames[panel].box.extent.height + frames[panel].labels));
  }
  return y - 10;
}

function drawLegend(context: CanvasRenderingContext2D, scene: Scene, y: number, font: Fonts): number {
  const { spec, palette, limit } = scene;
  const { negative, positive } = spec.story;
  const end = formatLimit(limit);
  const { beyond, extreme, estimated } = surveyOf(scene);
  const write = (text: string, x: number, middle: number, size = 12) => {
    drawRuns(context, [{ text, color: palette.muted, font: font(size) }], { x, y: middle, width: 1e4, line: 19 });
    return x + context.measureText(text).width;
  };
  const left = write(negative, MARGIN, y) + 12;
  const width = 132;
  const colors = rampOf({ spec, palette });
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
  const marks = [
    limit === 1 ? "" : limitInWords(limit),
    beyond ? `${beyond} beyond, up to ${formatEffect(extreme)}` : "",
    estimated ? "striped: estimate" : "",
  ];
  write(marks.filter(Boolean).join(" · "), right + 24, y);
  return y;
}
