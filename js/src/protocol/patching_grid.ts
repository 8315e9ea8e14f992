// Written by tools/protocol.py from interp_widgets/views/protocol/patching_grid.py; edit that file instead.
import type { JobStatus, Theme, ToPython, ViewState, WireArray, WirePrediction, WireTerm } from "./common";

export type Columns = "pos" | "head" | "neuron" | "role" | "layer";

/** One prompt of a pair: its token labels and the model's top predictions after it. */
export interface WirePrompt {
  labels: string[];
  top: WirePrediction[];
}

/** The two sides of a pair, of equal length. The second has no tokens where there is no second prompt. */
export interface WirePair {
  clean: WirePrompt;
  corrupt: WirePrompt;
  clean_ids: number[];
  corrupt_ids: number[];
  answer: string;
  wrong_answer: string;
  answer_id: number;
  wrong_answer_id: number;
  answer_source: "given" | "model";
  /** Positions at which the two sides differ: other tokens, or noise. */
  differs: number[];
}

/** A metric and, for each pair, its value in the clean and in the corrupt run. */
export interface WireMetric {
  term: WireTerm;
  baselines: number[][];
}

/** A row of a panel: a layer, one head of it, or one latent of a dictionary: its number, "all" or "error". */
export interface WireLine {
  layer: number;
  head: number | null;
  latent: number | string | null;
}

/** One site of a grid: what its rows and columns stand for. */
export interface WirePanel {
  term: WireTerm;
  lines: WireLine[];
  columns: Columns;
  /**
   * One for each column: numbers of heads or neurons, names of roles. None where columns are positions, and none or
   * one where there is one column.
   */
  labels: string[];
  /** What there is to say about each column; or none at all. */
  notes: string[];
}

/** The words of an experiment. `$answer`, `$wrong_answer` and `$what` are filled in by the page. */
export interface WireStory {
  question: string;
  question_of_several: string;
  cell: string;
  label: string;
  deed: string;
  negative: string;
  positive: string;
  /** What the two baselines are called. */
  sides: string[];
  /** Which of the two an effect of 0 means; the other is 1. */
  host: number;
  averaging: "shares" | "values";
  /** What the axis of pairs counts: "pair", "prompt" or "sample". */
  noun: string;
}

/**
 * All that a patching grid shows apart from its cells.
 *
 * Cell arrays have the axes (pair, panel, row, column), as long as the longest panel; what a smaller one has not is
 * left out.
 */
export interface GridSpec {
  story: WireStory;
  direction: "denoising" | "noising";
  panels: WirePanel[];
  pairs: WirePair[];
  metrics: WireMetric[];
  /** Name of the metric that was asked for, which is the one that estimates are of. */
  asked: string;
  top_k: number;
  /**
   * For each site, the lines of nnsight of one cell: $layer, $pos, $head, $neuron, $role (quoted), $clean_ids,
   * $corrupt_ids, $metric.
   */
  code_sites: Record<string, string>;
  /** For each metric, the lines that replace $metric: $answer, $wrong_answer. */
  code_metrics: Record<string, string>;
  /** For each other placeholder, what fills in for each pair. */
  code_fills: Record<string, string[]>;
  /** What fills in instead where the mean of all pairs is shown; the first pair stands for them where it is empty. */
  code_mean: Record<string, string>;
  /** For each site without lines, why. */
  code_refused: Record<string, string>;
  /** Short facts about where the numbers come from, in the order in which they are shown. */
  provenance: string[];
  /** Whether Python can run a head of a grid of heads position by position. */
  by_position: boolean;
}

/** Everything known of every cell, committed when a job starts and when it ends. */
export interface GridArrays {
  /** float32 (metric, pair, panel, row, column): raw values; NaN where not computed. */
  values: WireArray;
  /**
   * uint8 (pair, panel, row, column): 0 pending, 1 computed, 2 known without a run, 3 left out,
   * 4 estimated by attribution patching, 5 estimated until the exact value arrives.
   */
  status: WireArray;
  /**
   * float32 (pair, panel, row, column): what was estimated of cells that have been run since, NaN for others, whose
   * value is the estimate where there is one. None without estimates.
   */
  estimates: WireArray | null;
  /** int32 (pair, panel, row, column, k): most likely next tokens after the patch; -1 where not computed. */
  top_ids: WireArray;
  /** float32 (pair, panel, row, column, k): their probabilities. */
  top_probs: WireArray;
  /** Label of every token id in `top_ids`. */
  vocab: Record<string, string>;
}

/** The part of a cell's name that all cells have: a site and a layer's number. */
export interface CellPlace {
  site: string;
  layer: number;
}

/** A cell of the grid, named by what its panel's rows and columns are. */
export interface Cell extends CellPlace {
  head?: number;
  latent?: number | string;
  pos?: number;
  neuron?: number;
  role?: string;
}

/** A head of a grid of heads that was opened position by position. */
export interface WireStrip {
  /** The head. */
  cell: Cell;
  job: JobStatus;
}

/**
 * All heads that were opened position by position, as one more grid beside the first.
 *
 * It has a panel for each site and a row for each head; prompts, metrics and story are those of the first.
 */
export interface WireStrips {
  /** The last one that was opened comes first. */
  heads: WireStrip[];
  panels: WirePanel[];
  code_sites: Record<string, string>;
  code_fills: Record<string, string[]>;
  code_mean: Record<string, string>;
  code_refused: Record<string, string>;
  arrays: GridArrays;
}

/**
 * To the page: new rows of cells. Each is named by its (panel, row) in `rows`.
 *
 * Buffers, in order: values float32 (metric, row, pair, column), status uint8 (row, pair, column), top_ids int32
 * (row, pair, column, k), top_probs float32 (row, pair, column, k). `seq` counts up by one; on a gap the page asks
 * for a resync, which commits the arrays as a whole.
 */
export interface RowsMessage {
  kind: "rows";
  seq: number;
  rows: number[][];
  vocab: Record<string, string>;
}

/** To Python: stop computing a head by position and keep what there is, or take it away. */
export interface StripMessage {
  kind: "cancel_strip" | "remove_strip";
  cell: Cell;
}

/** To Python: a request to run a head position by position. The answer says only that it will be. */
export interface StripRequest {
  kind: "request";
  id: string;
  name: "by_position";
  cell: Cell;
}

/** The synchronised state of a patching grid. Both sides write `selected`, `metric`, `pair` and `color_limit`. */
export interface GridState extends ViewState {
  /** Null, as are the arrays, while a server is yet to say anything of the result. */
  spec: GridSpec | null;
  arrays: GridArrays | null;
  /** None where no head was opened. */
  strips: WireStrips | null;
  job: JobStatus;
  selected: Cell | null;
  metric: string;
  /** Number of the pair that is shown; null for the mean of all. */
  pair: number | null;
  /** The effect at which the colour scale ends, on both sides of 0. */
  color_limit: number;
  theme: Theme;
}

export type GridToPython = ToPython | StripMessage | StripRequest;
