// Written by tools/protocol.py from interp_widgets/views/protocol.py; edit that file instead.

export type JobState = "running" | "done" | "cancelled" | "failed";

export type Dtype = "float32" | "int32" | "uint8";

export type Theme = "auto" | "light" | "dark";

/** An array in C order, little-endian; `data` is a binary buffer. */
export interface WireArray {
  dtype: Dtype;
  shape: number[];
  data: DataView;
}

/** A next token with its probability. */
export interface WirePrediction {
  label: string;
  prob: number;
}

/** One prompt of a pair: its token labels and the model's top predictions after it. */
export interface WirePrompt {
  labels: string[];
  top: WirePrediction[];
}

/** A clean and a corrupt prompt of equal length. */
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
  /** Positions at which the two prompts hold different tokens. */
  differs: number[];
}

/** A site or a metric, with the words that explain it. */
export interface WireTerm {
  name: string;
  label: string;
  meaning: string;
  unit: string;
}

/** A metric and, for each pair, its value in the clean and in the corrupt run. */
export interface WireMetric {
  term: WireTerm;
  baselines: number[][];
}

/** All that a patching grid shows apart from its cells. Cell arrays have the axes (pair, site, layer, pos). */
export interface GridSpec {
  direction: "denoising" | "noising";
  sites: WireTerm[];
  layers: number[];
  pairs: WirePair[];
  metrics: WireMetric[];
  top_k: number;
  /** For each site, the lines of nnsight of one cell: $layer, $pos, $clean_ids, $corrupt_ids, $metric. */
  code_sites: Record<string, string>;
  /** For each metric, the lines that replace $metric: $answer, $wrong_answer. */
  code_metrics: Record<string, string>;
  /** Short facts about where the numbers come from, in the order in which they are shown. */
  provenance: string[];
}

/** Everything known of every cell, committed when a job starts and when it ends. */
export interface GridArrays {
  /** float32 (metric, pair, site, layer, pos): raw values; NaN where not computed. */
  values: WireArray;
  /** uint8 (pair, site, layer, pos): 0 pending, 1 computed, 2 known without a run, 3 left out. */
  status: WireArray;
  /** int32 (pair, site, layer, pos, k): most likely next tokens after the patch; -1 where not computed. */
  top_ids: WireArray;
  /** float32 (pair, site, layer, pos, k): their probabilities. */
  top_probs: WireArray;
  /** Label of every token id in `top_ids`. */
  vocab: Record<string, string>;
}

/** A cell of the grid: a site's name, a layer's number and a token position. */
export interface Cell {
  site: string;
  layer: number;
  pos: number;
}

/** How far the computation is. `eta` is the time left in seconds, null when unknown. */
export interface JobStatus {
  state: JobState;
  done: number;
  total: number;
  seconds: number;
  eta: number | null;
  error: string | null;
}

/**
 * To the page: new rows of cells. A row is one (site, layer); its indices are in `rows`.
 *
 * Buffers, in order: values float32 (metric, row, pair, pos), status uint8 (row, pair, pos), top_ids int32
 * (row, pair, pos, k), top_probs float32 (row, pair, pos, k). `seq` counts up by one; on a gap the page asks for a
 * resync, which commits the arrays as a whole.
 */
export interface RowsMessage {
  kind: "rows";
  seq: number;
  rows: number[][];
  vocab: Record<string, string>;
}

/** To the page: the answer to the request of the same id. */
export interface ReplyMessage {
  kind: "reply";
  id: string;
  ok: boolean;
  /** What was asked for, or the error in words. */
  value: string;
}

/** To Python: stop computing, keep what there is. */
export interface CancelMessage {
  kind: "cancel";
}

/** To Python: a row was missed, or a view opened while rows were streaming. */
export interface ResyncMessage {
  kind: "resync";
}

/** To Python: a question that only the kernel can answer. `html` asks for the view as one page. */
export interface RequestMessage {
  kind: "request";
  id: string;
  name: "html";
}

export type ToPage = RowsMessage | ReplyMessage;

export type ToPython = CancelMessage | ResyncMessage | RequestMessage;

/** The synchronised state of a patching grid. Both sides write `selected`, `metric`, `pair` and `color_limit`. */
export interface GridState {
  spec: GridSpec;
  arrays: GridArrays;
  job: JobStatus;
  selected: Cell | null;
  metric: string;
  /** Number of the pair that is shown; null for the mean of all. */
  pair: number | null;
  /** The effect at which the colour scale ends, on both sides of 0. */
  color_limit: number;
  theme: Theme;
}
