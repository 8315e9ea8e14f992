import type { GridSpec, JobStatus, Theme } from "../../core/protocol";
import type { Palette } from "../../core/theme";
import type { CellIndex, GridData } from "./data";
import type { ShownGrid } from "./shown";

/** All that is on screen at one moment. Parts read it and never write it. */
export interface Scene {
  spec: GridSpec;
  data: GridData;
  grid: ShownGrid;
  /** Grows with every change of the numbers in `grid`. */
  version: number;
  metric: number;
  pair: number | null;
  limit: number;
  job: JobStatus;
  selected: CellIndex | null;
  palette: Palette;
  theme: Theme;
  /** Width of the content in CSS pixels. */
  width: number;
}

/** What a reader can do. */
export interface Actions {
  select(cell: CellIndex | null): void;
  setMetric(metric: number): void;
  setPair(pair: number | null): void;
  setLimit(limit: number): void;
  cancel(): void;
  zoom(factor: number | "reset"): void;
  /** Says something to those who listen instead of look. */
  announce(text: string): void;
}
