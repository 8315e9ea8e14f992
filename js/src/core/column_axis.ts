import { fitText, thinLabels } from "./axes";
import { EDGE } from "./cell_frame";
import { isolated } from "./labels";
import type { Palette } from "./theme";
import type { Viewport } from "./viewport";

const SLANT = Math.PI / 3;
const LONGEST = 92;
const LINE = 13.5;
const LEVEL = 24;
const TITLE = 13;

/** What stands below a column; an accent sets it off. */
export interface AxisLabel {
  text: string;
  accent: "clean" | "corrupt" | null;
}

/** What the columns are. */
export interface ColumnNames {
  labels: readonly AxisLabel[];
  /** Whether they are numbers, which stand level and may be left out. */
  numbers: boolean;
  /** The name of the axis; none for tokens and roles, which speak for themselves. */
  title: string;
  /** The columns that are labelled before all others. */
  first: readonly number[];
}

/** The fonts of labels and of what names an axis. */
export interface AxisFonts {
  label: string;
  title: string;
}

/**
 * The labels below a plot. Numbers of heads and neurons stand level; tokens and roles do so when they fit in their
 * cells, and are slanted and thinned out when they do not.
 */
export class ColumnAxis {
  readonly title: string;
  readonly #numbers: boolean;
  readonly #slanted: number;
  readonly #labels: AxisLabel[] = [];
  readonly #first: readonly number[];
  readonly #widths: number[] = [];
  readonly #widest: number;

  constructor(
    { labels, numbers, title, first }: ColumnNames,
    private readonly fonts: AxisFonts,
    measure: (text: string) => number,
  ) {
    this.#numbers = numbers;
    this.title = title;
    for (const { text, accent } of labels) {
      const fitted = fitText(text, LONGEST, measure);
      this.#labels.push({ text: fitted, accent });
      this.#widths.push(measure(fitted));
    }
    this.#first = first;
    this.#widest = this.#widths.reduce((a, b) => Math.max(a, b), 0);
    this.#slanted = Math.ceil(this.#widest * Math.sin(SLANT)) + 18;
  }

  /** Whether all labels stand level, each under its own cell. */
  level(cellWidth: number): boolean {
    return this.#numbers || this.#widest <= cellWidth - 4;
  }

  heightFor(cellWidth: number): number {
    if (this.#widest === 0) return 6;
    return this.level(cellWidth) ? LEVEL + (this.title ? TITLE : 0) : this.#slanted;
  }

  paint(context: CanvasRenderingContext2D, view: Viewport, palette: Palette, x: number, y: number): void {
    // Every hundredth token is no landmark, but its number is.
    const numbered = !this.#numbers && this.#tightness(view) > 4;
    for (const column of this.#ticks(view)) {
      const { text, accent } = this.#labels[column];
      this.#draw(context, view, numbered && !accent ? String(column) : text, accent, palette, x, y, column);
    }
    if (!this.title || view.extent.width < 40) return;
    context.font = this.fonts.title;
    context.fillStyle = palette.muted;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(this.title, x + view.extent.width / 2, y + LEVEL + 2);
  }

  /** How many cells the line of a slanted label takes. */
  #tightness(view: Viewport): number {
    return this.level(view.cellWidth) ? 1 : LINE / Math.sin(SLANT) / view.cellWidth;
  }

  /** The columns that have a label. */
  #ticks(view: Viewport): number[] {
    const from = Math.max(0, Math.ceil(view.left - 0.5));
    const to = Math.min(this.#labels.length, Math.floor(view.left + view.columnsSeen + 0.5));
    const tight = this.#tightness(view);
    // Numbers need not crowd.
    const gap = this.#numbers ? (this.#widest + 7) / view.cellWidth : tight > 4 ? 2.4 * tight : tight;
    const ticks = thinLabels(this.#labels.length, gap, { first: this.#first, from, to });
    if (!this.#numbers) return ticks;
    // Half a number reads as another one, so none is cut at the edge.
    const end = (tick: number) => (tick + 0.5 - view.left) * view.cellWidth + this.#widths[tick] / 2;
    return ticks.filter((tick) => end(tick) <= view.extent.width + EDGE);
  }

  /** One label on top of the others, on a patch of the surface. */
  paintOne(
    context: CanvasRenderingContext2D,
    view: Viewport,
    palette: Palette,
    surface: string,
    x: number,
    y: number,
    column: number,
  ): void {
    if (column + 0.5 < view.left || column + 0.5 > view.left + view.columnsSeen) return;
    const { text, accent } = this.#labels[column];
    if (!text) return;
    const level = this.level(view.cellWidth);
    const reach = ((this.#widths[column] + this.#widest) / 2 + 6) / view.cellWidth;
    // A level label that this one would touch goes as a whole: half a number reads as another one.
    const covered = level ? this.#ticks(view).filter((tick) => Math.abs(tick - column) < reach) : [];
    for (const tick of [column, ...covered]) {
      this.#at(context, view, x, y, tick, () => {
        const width = this.#widths[tick];
        context.fillStyle = surface;
        if (level) context.fillRect(-width / 2 - 3, -LINE / 2, width + 6, LINE);
        else context.fillRect(-width - 3, -LINE * 0.8, width + 5, LINE * 1.6);
      });
    }
    this.#draw(context, view, text, accent, { ...palette, muted: palette.fg }, x, y, column, true);
  }

  #at(context: CanvasRenderingContext2D, view: Viewport, x: number, y: number, column: number, draw: () => void): void {
    context.save();
    context.translate(x + (column + 0.5 - view.left) * view.cellWidth, y);
    if (this.level(view.cellWidth)) context.translate(0, 12);
    else {
      context.translate(3, 7);
      context.rotate(-SLANT);
    }
    draw();
    context.restore();
  }

  #draw(
    context: CanvasRenderingContext2D,
    view: Viewport,
    text: string,
    accent: AxisLabel["accent"],
    palette: Palette,
    x: number,
    y: number,
    column: number,
    strong = accent !== null,
  ): void {
    this.#at(context, view, x, y, column, () => {
      context.font = `${strong ? "bold " : ""}${this.fonts.label}`;
      context.fillStyle = accent ? palette[accent] : palette.muted;
      context.textAlign = this.level(view.cellWidth) ? "center" : "right";
      context.textBaseline = "middle";
      context.direction = "ltr";
      context.fillText(isolated(text), 0, 0);
    });
  }
}

/** The fonts of the axes of what an element is in. */
export function axisFonts(element: HTMLElement): AxisFonts {
  const style = getComputedStyle(element);
  const mono = style.getPropertyValue("--_mono").trim() || "monospace";
  return { label: `11px ${mono}`, title: `10.5px ${style.fontFamily || "sans-serif"}` };
}

export function textMeasure(font: string): (text: string) => number {
  const context = document.createElement("canvas").getContext("2d");
  if (!context) return (text) => text.length * 6.6;
  context.font = font;
  return (text) => context.measureText(text).width;
}
