import type { Look } from "../../core/frame";
import type { JobStatus } from "../../protocol/common";
import type { LensPin, LensQuantity, LensRows, LensSpec, LensTrajectory } from "../../protocol/lens_table";
import type { LensData } from "./data";

/** A cell by its numbers. */
export interface Cell {
  prompt: number;
  row: number;
  pos: number;
}

/** All that is on screen at one moment. Parts read it and never write it. */
export interface Scene extends Look {
  spec: LensSpec;
  data: LensData;
  /** Grows with every change of the numbers in `data`. */
  version: number;
  job: JobStatus;
  /** The rows that are shown, the lowest first. */
  rows: readonly number[];
  choice: LensRows;
  answer: number | null;
  metric: LensQuantity;
  selected: Cell | null;
  /** The cell that is pointed at here. */
  pointed: Cell | null;
  pinned: readonly LensPin[];
  trajectory: LensTrajectory;
  /** Whether Python answers. */
  live: boolean;
  /** What became of the last token that was asked for. */
  asked: "waiting" | { error: string } | null;
}

/** What a reader can do. */
export interface Actions {
  select(cell: Cell | null): void;
  point(cell: Cell | null): void;
  setAnswer(answer: number | null): void;
  setMetric(metric: LensQuantity): void;
  setRows(rows: LensRows): void;
  setTrajectory(trajectory: LensTrajectory): void;
  /** Draws a line that stays, or no longer. */
  pin(pin: LensPin): void;
  /** Follows one more token. */
  follow(asked: { text: string; token: number | null }): void;
  cancel(): void;
  announce(text: string): void;
}

/** The cell that is read out: the one that is pointed at, the selected one, or what is said at the end. */
export function current({ pointed, selected, data }: Scene): Cell {
  return pointed ?? selected ?? { prompt: 0, row: data.rows - 1, pos: data.length - 1 };
}

export function samePin(a: LensPin, b: LensPin): boolean {
  return a.pos === b.pos && a.answer === b.answer && a.prompt === b.prompt;
}
