/** Stretches of pixels along one axis, each with the cells that it shows: [first, last) of both. */
export interface Bins {
  count: number;
  pixelFrom: Int32Array;
  pixelTo: Int32Array;
  cellFrom: Int32Array;
  cellTo: Int32Array;
}

/**
 * Cuts an axis of `pixels` device pixels, which starts at cell `start` and gives each cell `size` pixels, into bins: one
 * a cell where cells are larger than a pixel, one a pixel where they are smaller.
 */
export function bins(pixels: number, start: number, size: number, cells: number): Bins {
  const seen = Math.min(cells, Math.ceil(start + pixels / size - 1e-6)) - Math.floor(start);
  const count = size >= 1 ? Math.max(0, seen) : Math.min(pixels, Math.ceil((cells - start) * size - 1e-6));
  const arrays = Array.from({ length: 4 }, () => new Int32Array(count));
  const [pixelFrom, pixelTo, cellFrom, cellTo] = arrays;
  for (let i = 0; i < count; i++) {
    if (size >= 1) {
      const cell = Math.floor(start) + i;
      cellFrom[i] = cell;
      cellTo[i] = cell + 1;
      pixelFrom[i] = Math.max(0, Math.round((cell - start) * size));
      pixelTo[i] = Math.min(pixels, Math.round((cell + 1 - start) * size));
    } else {
      pixelFrom[i] = i;
      pixelTo[i] = i + 1;
      cellFrom[i] = Math.min(cells - 1, Math.floor(start + i / size));
      cellTo[i] = Math.min(cells, Math.max(cellFrom[i] + 1, Math.floor(start + (i + 1) / size)));
    }
  }
  // Rounding of `start` must not let a cell fall between two pixels.
  for (let i = 1; i < count; i++) if (size < 1) cellFrom[i] = Math.min(cellFrom[i], cellTo[i - 1]);
  if (size < 1 && count > 0 && start + pixels / size >= cells - 1e-6) cellTo[count - 1] = cells;
  return { count, pixelFrom, pixelTo, cellFrom, cellTo };
}

/** The cell with the largest magnitude in a rectangle of a (row, column) array, or -1 if none holds a number. */
export function strongest(
  values: Float32Array,
  offset: number,
  columns: number,
  [rowFrom, rowTo]: [number, number],
  [columnFrom, columnTo]: [number, number],
): number {
  let best = -1;
  let size = -1;
  for (let row = rowFrom; row < rowTo; row++) {
    for (let at = offset + row * columns + columnFrom; at < offset + row * columns + columnTo; at++) {
      const magnitude = Math.abs(values[at]);
      if (magnitude > size) {
        size = magnitude;
        best = at;
      }
    }
  }
  return best;
}
