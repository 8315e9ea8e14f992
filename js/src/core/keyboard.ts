/** A place in a grid whose row 0 is at the bottom. */
export interface Place {
  row: number;
  column: number;
}

export interface Bounds {
  rows: number;
  columns: number;
}

/** Where a key leads from a place; null if it is no key that moves. */
export function moveBy(
  key: string,
  withControl: boolean,
  { row, column }: Place,
  { rows, columns }: Bounds,
): Place | null {
  const page = Math.max(2, Math.round(rows / 6));
  const go = (toRow: number, toColumn: number): Place => ({
    row: Math.min(rows - 1, Math.max(0, toRow)),
    column: Math.min(columns - 1, Math.max(0, toColumn)),
  });
  switch (key) {
    case "ArrowUp":
      return go(withControl ? rows - 1 : row + 1, column);
    case "ArrowDown":
      return go(withControl ? 0 : row - 1, column);
    case "ArrowLeft":
      return go(row, column - 1);
    case "ArrowRight":
      return go(row, column + 1);
    case "Home":
      return go(withControl ? rows - 1 : row, 0);
    case "End":
      return go(withControl ? 0 : row, columns - 1);
    case "PageUp":
      return go(row + page, column);
    case "PageDown":
      return go(row - page, column);
    default:
      return null;
  }
}

/** Moves between the options of a radio group; null if the key does not. */
export function moveOption(key: string, at: number, count: number): number | null {
  if (key === "ArrowRight" || key === "ArrowDown") return (at + 1) % count;
  if (key === "ArrowLeft" || key === "ArrowUp") return (at + count - 1) % count;
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  return null;
}
