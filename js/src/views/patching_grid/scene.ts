import type { Look } from "../../core/frame";
import type { JobStatus } from "../../protocol/common";
import type { Cell, GridSpec } from "../../protocol/patching_grid";
import type { CellIndex, GridData } from "./data";
import type { ShownGrid } from "./shown";

/** All that is on screen at one moment. Parts read it and never write it. */
export interface Scene extends Look {
  spec: GridSpec;
  data: GridData;
  grid: ShownGrid;
  /** Grows with every change of the numbers in `grid`. */
  version: number;
  metric: number;
  pair: number | null;
  /** Whether pairs are shown one by one, each as a small grid, instead of their mean. */
  each: boolean;
  limit: number;
  job: JobStatus;
  selected: CellIndex | null;
  /** Heads of this grid by position, as a grid of their own. */
  strips: Scene | null;
}

export type PairChoice = number | "each" | null;

/** The scene that has the pinned cell: the grid's, or that of its strips. */
export function pinnedIn(scene: Scene): Scene {
  return scene.strips?.selected ? scene.strips : scene;
}

/** What a reader can do. */
export interface Actions {
  select(cell: CellIndex | null): void;
  /** Pins a cell of the grid or of a strip by its name. */
  pin(cell: Cell): void;
  /** Opens a head position by position. */
  byPosition(cell: CellIndex): void;
  setMetric(metric: number): void;
  /** Shows a pair, the mean of all (null), or each as a small grid. */
  setPair(pair: PairChoice): void;
  setLimit(limit: number): void;
  cancel(): void;
  zoom(factor: number | "reset"): void;
  /** Says something to those who listen instead of look. */
  announce(text: string): void;
}
