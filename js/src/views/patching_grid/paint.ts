import { type CellLook, type Cells, type CellsPicture, paintCells as paint } from "../../core/cells";
import { strongest } from "../../core/pooling";
import type { Palette } from "../../core/theme";
import { isEstimate, Status } from "./data";
import { isBeyond, type ShownGrid } from "./shown";

/*
 * What each mark means:
 *   filled         measured; the colour is the effect, towards the first side (warm) or towards the second (cool)
 *   striped        estimated: the colour of the estimate, under stripes until a run has taken its place
 *   a dot          not run, because the value is certain; filled as well if that value is not 0
 *   paper, a line  not computed: still to come, or left out by a job that ended early
 *   a cross        run, but this metric has no effect there
 *   a cut corner   beyond the end of the colour scale
 * Cells too small for marks are painted as pixels, each with the strongest effect of the cells that it covers.
 */

/** What is needed to paint the cells of one panel, on screen or into a picture. */
export interface EffectsPicture extends Omit<CellsPicture, "cells"> {
  grid: ShownGrid;
  panel: number;
  limit: number;
}

/** The colour of an effect says towards which side it goes, so that warm is the first side whichever is the host. */
export function colorIndex(palette: Palette, grid: ShownGrid, effect: number, limit: number): number {
  return palette.scale.index(grid.data.spec.story.host === 1 ? effect : -effect, limit);
}

export function paintCells(context: CanvasRenderingContext2D, picture: EffectsPicture, x: number, y: number): void {
  paint(context, { ...picture, cells: cellsOf(picture) }, x, y);
}

function cellsOf(picture: EffectsPicture): Cells {
  const { grid, panel } = picture;
  const offset = grid.at({ panel, row: 0, column: 0 });
  const { lines } = grid.data.spec.panels[panel];
  return {
    pick: (rows, columns) => {
      const at = strongest(grid.effect, offset, grid.data.columns, rows, columns);
      return at >= 0 ? at : grid.at({ panel, row: rows[0], column: columns[0] });
    },
    look: (at) => lookOf(picture, at),
    parted: (row) => lines[row].head !== null && lines[row - 1].layer !== lines[row].layer,
  };
}

function lookOf({ grid, limit, palette }: EffectsPicture, at: number): CellLook | null {
  const [status, effect] = [grid.status[at], grid.effect[at]];
  const without = (mark: CellLook["mark"]): CellLook => ({ fill: null, striped: false, mark, beyond: false });
  if (status === Status.leftOut) return null;
  if (status === Status.pending) return without("paper");
  if (Number.isNaN(effect)) return without("cross");
  const known = status === Status.known;
  // What is exactly 0 without a run has no fill, so that it does not look measured.
  if (known && Math.abs(effect) <= 1e-6) return without("dot");
  return {
    fill: colorIndex(palette, grid, effect, limit),
    striped: isEstimate(status),
    mark: known ? "dot" : null,
    beyond: isBeyond(effect, limit),
  };
}
