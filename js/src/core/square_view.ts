/** The part of a square of `across` by `across` cells that is seen through a square of `side` pixels. */
export class SquareView {
  across = 1;
  side = 1;
  zoom = 1;
  /** First column and first row in sight; row 0 is at the top. */
  left = 0;
  top = 0;

  constructor(private readonly widest = 48) {}

  /** Pixels of a cell. */
  get cell(): number {
    return (this.side / this.across) * this.zoom;
  }

  /** Cells in sight along an axis. */
  get seen(): number {
    return this.side / this.cell;
  }

  get mostZoom(): number {
    return Math.max(1, (this.widest * this.across) / this.side);
  }

  resize(across: number, side: number): void {
    if (across !== this.across) this.reset();
    Object.assign(this, { across, side });
    this.zoom = Math.min(this.zoom, this.mostZoom);
    this.#clamp();
  }

  reset(): void {
    Object.assign(this, { zoom: 1, left: 0, top: 0 });
  }

  /** Zooms about a point in pixels. */
  zoomBy(factor: number, x = this.side / 2, y = this.side / 2): void {
    const [column, row] = [this.left + x / this.cell, this.top + y / this.cell];
    this.zoom = Math.min(this.mostZoom, Math.max(1, this.zoom * factor));
    this.left = column - x / this.cell;
    this.top = row - y / this.cell;
    this.#clamp();
  }

  /** Moves the content by pixels. Returns whether anything moved. */
  panBy(dx: number, dy: number): boolean {
    const { left, top } = this;
    this.left -= dx / this.cell;
    this.top -= dy / this.cell;
    this.#clamp();
    return left !== this.left || top !== this.top;
  }

  /** Moves as little as needed for a cell to be seen whole. */
  reveal(row: number, column: number): void {
    const { seen } = this;
    this.left = Math.min(column, Math.max(column + 1 - seen, this.left));
    this.top = Math.min(row, Math.max(row + 1 - seen, this.top));
    this.#clamp();
  }

  #clamp(): void {
    const most = this.across - this.seen;
    this.left = Math.max(0, Math.min(this.left, most));
    this.top = Math.max(0, Math.min(this.top, most));
  }
}
