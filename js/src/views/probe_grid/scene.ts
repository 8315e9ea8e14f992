import type { GridCell } from "../../core/cell_frame";
import type { Look } from "../../core/frame";
import type { JobStatus } from "../../protocol/common";
import type { ProbeSpec } from "../../protocol/probe_grid";
import type { ProbeData } from "./data";

/** What is shown at one moment. */
export interface Scene extends Look {
  spec: ProbeSpec;
  data: ProbeData;
  job: JobStatus;
  /** Numbers of the kind of probe and of the measure that are shown. */
  kind: number;
  measure: number;
  /** The chosen cell, else the one that is read best. */
  selected: GridCell | null;
  /** Whether somebody chose it. */
  chosen: boolean;
  live: boolean;
}

/** What a reader can do. */
export interface Actions {
  select(cell: GridCell | null): void;
  point(cell: GridCell | null): void;
  setKind(kind: number): void;
  setMeasure(measure: number): void;
  cancel(): void;
  announce(text: string): void;
}

/** Where a value is between what a probe reaches that knows nothing, at 0, and all, at 1; negative below. */
export function aboveChance({ spec, measure }: Pick<Scene, "spec" | "measure">, value: number): number {
  const chance = spec.chance[measure];
  return (value - chance) / Math.max(1e-9, 1 - chance);
}
