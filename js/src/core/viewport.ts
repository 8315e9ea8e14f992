/** The part of a grid of cells that is seen. Lengths on screen are CSS pixels, others are cells. */
export interface Extent {
  columns: number;
  rows: number;
  width: number;
  height: number;
}

/** How far cells grow when one zooms in. */
export interface Growth {
  widest: number;
  tallest: number;
}

const SHAPE = 0.62;

/**
 * Zooming widens cells first; once they are wider than they are tall, they grow in height too. So one number is enough,
 * a prompt of 2,000 tokens becomes readable before its layers leave the plot, and so do a thousand heads of wide cells.
 */
export class Viewport {
  extent: Extent = { columns: 1, rows: 1, width: 1, height: 1 };
  zoom = 1;
  /** First column at the left edge, and first row at the lower edge. */
  left = 0;
  bottom = 0;

  constructor(private readonly growth: Growth = { widest: 64, tallest: 30 }) {}

  get #baseWidth(): number {
    return this.extent.width / this.extent.columns;
  }

  get #baseHeight(): number {
    return this.extent.height / this.extent.rows;
  }

  get mostZoom(): number {
    return Math.max(1, this.growth.widest / this.#baseWidth, this.growth.tallest / this.#baseHeight);
  }

  get cellWidth(): number {
    return Math.max(this.#baseWidth, Math.min(this.#baseWidth * this.zoom, this.growth.widest));
  }

  get cellHeight(): number {
    const grown = Math.min(this.#baseHeight * this.zoom, this.cellWidth * SHAPE, this.growth.tallest);
    return Math.max(this.#baseHeight, grown);
  }

  get columnsSeen(): number {
    return this.extent.width / this.cellWidth;
  }

  get rowsSeen(): number {
    return this.extent.height / this.cellHeight;
  }

  resize(extent: Extent): void {
    this.extent = extent;
    this.zoom = Math.min(this.zoom, this.mostZoom);
    this.#clamp();
  }

  reset(): void {
    this.zoom = 1;
    this.left = 0;
    this.bottom = 0;
  }

  /** Zooms about a point given in pixels from the lower left corner. */
  zoomBy(factor: number, x = this.extent.width / 2, y = this.extent.height / 2): void {
    const column = this.left + x / this.cellWidth;
    const row = this.bottom + y / this.cellHeight;
    this.zoom = Math.min(this.mostZoom, Math.max(1, this.zoom * factor));
    this.left = column - x / this.cellWidth;
    this.bottom = row - y / this.cellHeight;
    this.#clamp();
  }

  /** Zooms with one cell staying where it is, or coming into sight if it was outside. */
  zoomOn(factor: number, column: number, row: number): void {
    this.reveal(column, row);
    this.zoomBy(factor, (column + 0.5 - this.left) * this.cellWidth, (row + 0.5 - this.bottom) * this.cellHeight);
    this.reveal(column, row);
  }

  /** Moves by pixels, to the right and up. Returns whether anything moved. */
  panBy(x: number, y: number): boolean {
    const { left, bottom } = this;
    this.left += x / this.cellWidth;
    this.bottom += y / this.cellHeight;
    this.#clamp();
    return left !== this.left || bottom !== this.bottom;
  }

  /** Moves as little as needed for a cell to be seen whole. */
  reveal(column: number, row: number): void {
    this.left = Math.min(column, Math.max(column + 1 - this.columnsSeen, this.left));
    this.bottom = Math.min(row, Math.max(row + 1 - this.rowsSeen, this.bottom));
    this.#clamp();
  }

  #clamp(): void {
    this.left = Math.max(0, Math.min(this.left, this.extent.columns - this.columnsSeen));
    this.bottom = Math.max(0, Math.min(this.bottom, this.extent.rows - this.rowsSeen));
  }
}
