import { thinLabels } from "./axes";
import type { Palette } from "./theme";
import type { Viewport } from "./viewport";

const LINE = 12.9;

/** Where a row is, in pixels below the upper edge of the cells. */
export function rowMiddle(view: Viewport, row: number): number {
  return view.extent.height - (row + 0.5 - view.bottom) * view.cellHeight;
}

/** The labels left of a plot: layers; or heads, which where they are low have their layers as groups. Row 0 is lowest. */
export class RowAxis {
  /** The labels that `paint` wrote: their middles below the upper edge of the cells. */
  #written: { middle: number; width: number }[] = [];

  constructor(
    private readonly labels: readonly string[],
    private readonly font: string,
    /** The layer of each row, where rows are so many that only layers may be labelled. */
    private readonly layers: readonly number[] | null = null,
  ) {}

  /** Room that the labels need, from the plot's edge. */
  static room(labels: readonly string[]): number {
    const longest = labels.reduce((most, { length }) => Math.max(most, length), 0);
    return 9 + 6.7 * Math.max(2, longest);
  }

  paint(context: CanvasRenderingContext2D, view: Viewport, palette: Palette, x: number, y: number): void {
    const { labels, layers } = this;
    this.#written = [];
    const from = Math.max(0, Math.ceil(view.bottom - 0.5));
    const to = Math.min(labels.length, Math.floor(view.bottom + view.rowsSeen + 0.5));
    if (layers && view.cellHeight < LINE) {
      this.#paintLayers(context, layers, view, palette, x, y);
      return;
    }
    for (const row of thinLabels(labels.length, LINE / view.cellHeight, { from, to, last: true }))
      this.#write(context, labels[row], palette.muted, x, y, rowMiddle(view, row));
  }

  /** One label on top of the others, on a patch of the surface. */
  paintOne(
    context: CanvasRenderingContext2D,
    view: Viewport,
    palette: Palette,
    surface: string,
    x: number,
    y: number,
    row: number,
  ): void {
    const middle = rowMiddle(view, row);
    if (middle < 0 || middle > view.extent.height) return;
    const text = this.labels[row];
    context.font = this.font;
    context.fillStyle = surface;
    // A label that this one would touch goes as a whole.
    const touched = this.#written.filter((label) => Math.abs(label.middle - middle) < LINE);
    for (const label of [...touched, { middle, width: context.measureText(text).width }])
      context.fillRect(x - 10 - label.width, y + label.middle - 7, label.width + 5, 14);
    this.#text(context, text, palette.fg, x, y + middle);
  }

  /** One label for each layer's heads, between lines where a layer begins. */
  #paintLayers(
    context: CanvasRenderingContext2D,
    layers: readonly number[],
    view: Viewport,
    palette: Palette,
    x: number,
    y: number,
  ): void {
    const groups: { layer: number; from: number; to: number }[] = [];
    layers.forEach((layer, row) => {
      const last = groups.at(-1);
      if (last?.layer === layer) last.to = row;
      else groups.push({ layer, from: row, to: row });
    });
    const tall = (groups[0].to + 1) * view.cellHeight;
    const labelled = new Set(thinLabels(groups.length, LINE / tall, { last: true }));
    const clip = (middle: number) => Math.min(view.extent.height, Math.max(0, middle));
    groups.forEach(({ layer, from, to }, number) => {
      const upper = clip(rowMiddle(view, to + 0.5));
      const lower = clip(rowMiddle(view, from - 0.5));
      if (upper >= lower) return;
      context.fillStyle = palette.faint;
      if (number > 0 && tall > 5) context.fillRect(x - 7, y + lower - 0.5, 6, 1);
      if (labelled.has(number) && lower - upper >= Math.min(tall, LINE) - 1)
        this.#write(context, String(layer), palette.muted, x, y, (upper + lower) / 2);
    });
  }

  #write(context: CanvasRenderingContext2D, text: string, color: string, x: number, y: number, middle: number): void {
    this.#text(context, text, color, x, y + middle);
    this.#written.push({ middle, width: context.measureText(text).width });
  }

  #text(context: CanvasRenderingContext2D, text: string, color: string, x: number, middle: number): void {
    context.font = this.font;
    context.fillStyle = color;
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillText(text, x - 7, middle + 0.5);
  }
}
