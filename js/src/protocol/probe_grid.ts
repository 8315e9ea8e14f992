// Written by tools/protocol.py from interp_widgets/views/protocol/probe_grid.py; edit that file instead.
import type { JobStatus, Theme, WireArray, WireTerm } from "./common";

export type ProbeKind = "logistic" | "means";

export type ProbeMeasure = "accuracy" | "balanced" | "auroc";

/** A row of the grid: a site of a layer. */
export interface WireWhere {
  site: string;
  layer: number;
}

/** A column of the grid. */
export interface WireColumn {
  pos: number | null;
  /** The token that all texts have there, else where it is. */
  label: string;
  /** In words: "last token". */
  where: string;
  /** Why nothing is tested there; empty where it is. */
  untested: string;
  /** How many different texts, beginnings or groups its examples are. */
  groups: number;
  /** What fills in $at in the lines of code. */
  at: string;
  /** What fills in $folds. */
  folds: string;
}

/** The control task. */
export interface WireControl {
  meaning: string;
  draws: number;
}

/** An example that was read wrong somewhere. */
export interface WireExample {
  /** Of its text, or of a stretch around its token. */
  tokens: string[];
  /** Which of them it is; null where it is the whole text. */
  token: number | null;
  number: number;
  /** Of which class it is. */
  label: number;
}

/** All that a view of probes shows apart from numbers. */
export interface ProbeSpec {
  title: string;
  noun: "text" | "token";
  n_examples: number;
  classes: string[];
  /** Examples of each class. */
  counts: number[];
  kinds: WireTerm[];
  measures: WireTerm[];
  /** What each measure is for a probe that knows nothing. */
  chance: number[];
  rows: WireWhere[];
  columns: WireColumn[];
  control: WireControl | null;
  transfers: string[];
  transfer_sizes: number[];
  /** For each set and measure, what it is there for a probe that knows nothing. */
  transfer_chance: number[][];
  /** By "site kind": lines that fit and test a cell, templates with $layer, $at, $where, $column and $folds. */
  code: Record<string, string>;
  provenance: string[];
}

/** The probes as they are now; NaN, or -1, where a cell is not computed or not tested. */
export interface ProbeArrays {
  /** float32 (measure, kind, row, column). */
  values: WireArray;
  /** float32, the same axes: ends of the 95% interval, NaN where a measure has none. */
  low: WireArray;
  high: WireArray;
  /** float32, the same axes. */
  control: WireArray;
  /** float32 (set, measure, kind, row, column). */
  transfer: WireArray;
  transfer_low: WireArray;
  transfer_high: WireArray;
  /** int32 (kind, row, column, class, class it is read as). */
  confusion: WireArray;
  /** int32 (kind, row, column, n): places in `examples`, the most confident first, -1 where there are no more. */
  mistakes: WireArray;
  /** int32 (kind, row, column, n): the classes that they are read as. */
  mistaken: WireArray;
  /** float32 (kind, row, column, n): by how much the wrong class scored above the right one. */
  margins: WireArray;
  examples: WireExample[];
  /** int32 (kind, row, column, direction, side, n): places in `tokens`, -1 where not known. */
  promoted: WireArray;
  tokens: string[];
}

/** A cell. */
export interface ProbeChoice {
  site: string;
  layer: number;
  pos: number | null;
}

/** The synchronised state of a view of probes. Both sides write `selected`, `kind` and `measure`. */
export interface ProbeState {
  spec: ProbeSpec;
  arrays: ProbeArrays;
  job: JobStatus;
  /** Null shows the cell where the measure is largest. */
  selected: ProbeChoice | null;
  kind: ProbeKind;
  measure: ProbeMeasure;
  theme: Theme;
}
