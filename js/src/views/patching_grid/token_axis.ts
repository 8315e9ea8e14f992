import { fitText, thinLabels } from "../../core/axes";
import { isolated } from "../../core/labels";
import type { Palette } from "../../core/theme";
import type { Viewport } from "../../core/viewport";
import type { Scene } from "./scene";
import { type Accent, axisLabel, differingPositions } from "./words";

const SLANT = Math.PI / 3;
const LONGEST = 92;
const LINE = 13.5;

interface TokenLabel {
  text: string;
  accent: Accent | null;
}

/** The token labels below a plot: level when they fit in their cells, slanted and thinned out when they do not. */
export class TokenAxis {
  readonly height: number;
  #labels: TokenLabel[] = [];
  #differs: number[];
  #widths: number[] = [];
  #widest: number;

  constructor(
    scene: Scene,
    private readonly font: string,
    measure: (text: string) => number,
  ) {
    for (let pos = 0; pos < scene.data.positions; pos++) {
      const label = axisLabel(scene.spec, scene.pair, pos);
      const text = fitText(label.text, LONGEST, measure);
      this.#labels.push({ text, accent: label.accent });
      this.#widths.push(measure(text));
    }
    this.#differs = differingPositions(scene.spec, scene.pair);
    this.#widest = Math.max(...this.#widths);
    this.height = Math.ceil(this.#widest * Math.sin(SLANT)) + 18;
  }

  /** Whether all labels fit level, each under its own cell. */
  level(cellWidth: number): boolean {
    return this.#widest <= cellWidth - 4;
  }

  heightFor(cellWidth: number): number {
    return this.level(cellWidth) ? 24 : this.height;
  }

  paint(context: CanvasRenderingContext2D, view: Viewport, palette: Palette, x: number, y: number): void {
    const tight = this.level(view.cellWidth) ? 1 : LINE / Math.sin(SLANT) / view.cellWidth;
    // Every hundredth token is no landmark, but its number is; numbers need not crowd.
    const numbered = tight > 4;
    const gap = numbered ? 2.4 * tight : tight;
    const from = Math.max(0, Math.ceil(view.left - 0.5));
    const to = Math.min(this.#labels.length, Math.floor(view.left + view.columnsSeen + 0.5));
    for (const pos of thinLabels(this.#labels.length, gap, { first: this.#differs, from, to })) {
      const { text, accent } = this.#labels[pos];
      this.#draw(context, view, numbered && !accent ? String(pos) : text, accent, palette, x, y, pos);
    }
  }

  /** One label on top of the others, on a patch of the surface. */
  paintOne(
    context: CanvasRenderingContext2D,
    view: Viewport,
    palette: Palette,
    surface: string,
    x: number,
    y: number,
    pos: number,
  ): void {
    const { text, accent } = this.#labels[pos];
    this.#at(context, view, x, y, pos, () => {
      const width = this.#widths[pos];
      context.fillStyle = surface;
      const pad = this.level(view.cellWidth) ? 0 : LINE * 0.8;
      if (this.level(view.cellWidth)) context.fillRect(-width / 2 - 2, -LINE / 2, width + 4, LINE);
      else context.fillRect(-width - 3, -pad, width + 5, 2 * pad);
    });
    this.#draw(context, view, text, accent, { ...palette, muted: palette.fg }, x, y, pos, true);
  }

  #at(context: CanvasRenderingContext2D, view: Viewport, x: number, y: number, pos: number, draw: () => void): void {
    context.save();
    context.translate(x + (pos + 0.5 - view.left) * view.cellWidth, y);
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
    accent: Accent | null,
    palette: Palette,
    x: number,
    y: number,
    pos: number,
    strong = accent !== null,
  ): void {
    this.#at(context, view, x, y, pos, () => {
      context.font = `${strong ? "bold " : ""}${this.font}`;
      context.fillStyle = accent ? palette[accent] : palette.muted;
      context.textAlign = this.level(view.cellWidth) ? "center" : "right";
      context.textBaseline = "middle";
      context.direction = "ltr";
      context.fillText(isolated(text), 0, 0);
    });
  }
}
