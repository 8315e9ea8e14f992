// Written by tools/protocol.py from interp_widgets/views/protocol.py; edit that file instead.

export type JobState = "running" | "done" | "cancelled" | "failed";

export type Dtype = "float32" | "int32" | "uint8";

export type Theme = "auto" | "light" | "dark";

export type DialMode = "ablate" | "scale" | "clamp" | "add";

export type Columns = "pos" | "head" | "neuron" | "role" | "layer";

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

/**
 * How far the computation is. `eta` is the time left in seconds, null when unknown; `note` says how it stands on a
 * server, null where it is done here or has ended.
 */
export interface JobStatus {
  state: JobState;
  done: number;
  total: number;
  seconds: number;
  eta: number | null;
  error: string | null;
  note: string | null;
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

/**
 * To the page: tokens on which latents have been read.
 *
 * Buffers, in order: tokens int32 (token), how many latents each has int32 (token), those latents int32 and their
 * activations float32, one token after the other; then the latents whose statistics changed int32 (latent) with
 * maximum float32 (text, latent), total float32 (text, latent) and fires int32 (text, latent). `seq` counts as in
 * `RowsMessage`.
 */
export interface TokensMessage {
  kind: "tokens";
  seq: number;
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

/** To Python: stop computing a head by position and keep what there is, or take it away. */
export interface StripMessage {
  kind: "cancel_strip" | "remove_strip";
  cell: Cell;
}

/** To Python: a request for the view as one page. */
export interface HtmlRequest {
  kind: "request";
  id: string;
  name: "html";
}

/** To Python: a request for the card of a latent, which comes with the state `cards`. The answer says when. */
export interface CardRequest {
  kind: "request";
  id: string;
  name: "card";
  latent: number;
}

/** To Python: a request for all tokens on which a latent fires. The answer is a `WireColumn` as JSON. */
export interface ColumnRequest {
  kind: "request";
  id: string;
  name: "column";
  latent: number;
}

/** To Python: a request to run a head position by position. The answer says only that it will be. */
export interface StripRequest {
  kind: "request";
  id: string;
  name: "by_position";
  cell: Cell;
}

/**
 * To Python: turn a latent, at all tokens up to `token`, or null for the whole text, and those to come.
 *
 * The answer is a `WireReading` as JSON, which is then the state `dial` too.
 */
export interface DialRequest {
  kind: "request";
  id: string;
  name: "dial";
  latent: number;
  mode: DialMode;
  strength: number;
  token: number | null;
}

export type RequestMessage = HtmlRequest | StripRequest | CardRequest | ColumnRequest | DialRequest;

export type ToPage = RowsMessage | TokensMessage | ReplyMessage;

export type ToPython = CancelMessage | ResyncMessage | StripMessage | RequestMessage;

/** The synchronised state of a patching grid. Both sides write `selected`, `metric`, `pair` and `color_limit`. */
export interface GridState {
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

/** A text of one or more documents: what it is called, and its tokens as people read them. */
export interface WireText {
  name: string;
  labels: string[];
  /** The first token of each document. */
  starts: number[];
}

/** A short stretch of text with a number at each token. */
export interface WireValues {
  labels: string[];
  values: number[];
  /** Which of the tokens is the strongest. */
  peak: number;
}

/** A dictionary of latents in words. */
export interface WireDictionary {
  name: string;
  kind: "sae" | "transcoder" | "neurons" | "directions";
  reads: string;
  writes: string;
  n_latents: number;
  normalised: string;
  signed: boolean;
}

/** How well a dictionary stands for the model on the text; `loss_recovered` is null where it is not defined. */
export interface WireFit {
  variance_explained: number | null;
  l0: number;
  loss: number;
  loss_with: number;
  loss_without: number;
  loss_recovered: number | null;
  n_tokens: number;
}

/**
 * All that a view of features shows apart from numbers: one text, or two that are compared.
 *
 * Tokens of both are counted through.
 */
export interface FeatureSpec {
  texts: WireText[];
  dictionary: WireDictionary;
  /** A latent fires where the size of its activation is above this. */
  threshold: number;
  /** Most latents that Python has of a token; null where it has all that fire. */
  kept: number | null;
  /** Whether Python makes cards that are not there yet. */
  answers: boolean;
  /** Whether Python turns latents. */
  turns: boolean;
  /** Lines of nnsight that read one latent, a template with `$latent`; empty where there are none. */
  code: string;
  provenance: string[];
}

/**
 * Latents on tokens, committed when a job starts and when it ends.
 *
 * Of each token its strongest latents are here, and of the latents that are looked at all tokens. The statistics count
 * everything, so that a latent whose tokens are not all here is one that `fires` on more.
 */
export interface FeatureArrays {
  /** int32 (token + 1): token t has the entries from starts[t] to starts[t + 1]. */
  starts: WireArray;
  /** int32 (entry): rising for each token. */
  latents: WireArray;
  /** float32 (entry). */
  activations: WireArray;
  /** uint8 (token): 1 if it has been read. */
  computed: WireArray;
  /** int32 (latent): those that fire somewhere, rising. */
  firing: WireArray;
  /** float32 (text, latent): the activation of the largest size. */
  maximum: WireArray;
  /** float32 (text, latent): the sum of activations. */
  total: WireArray;
  /** int32 (text, latent): on how many tokens. */
  fires: WireArray;
  /** At most so many latents of a token are here, apart from those that are here as a whole; null where all are. */
  per_token: number | null;
  fit: WireFit | null;
}

/** All tokens on which a latent fires. */
export interface WireColumn {
  tokens: number[];
  activations: number[];
}

/** A token with what a latent adds to its logit for one unit of activation. */
export interface WireWeighted {
  label: string;
  logit: number;
}

/** Another latent with the cosine between the two decoder rows. */
export interface WireNeighbour {
  latent: number;
  cosine: number;
}

/** A component that writes to a latent or reads it, and how much. */
export interface WireLink {
  component: string;
  weight: number;
  /** Its number if it is a latent of the same dictionary. */
  latent: number | null;
}

/** How often a latent fires how strongly; one edge more than counts. */
export interface WireHistogram {
  edges: number[];
  counts: number[];
}

/** What is known of a latent beyond the text; null for what has not been looked for. */
export interface WireCard {
  promotes: WireWeighted[] | null;
  suppresses: WireWeighted[] | null;
  nearest: WireNeighbour[] | null;
  written_by: WireLink[] | null;
  feeds: WireLink[] | null;
  examples: WireValues[] | null;
  histogram: WireHistogram | null;
  density: number | null;
  corpus: string;
}

/** The latent that is shown, and the token that is held; null where none is. */
export interface LatentChoice {
  latent: number;
  token: number | null;
}

/** What turning a latent did to what the model says after a token. */
export interface WireReading {
  latent: number;
  mode: DialMode;
  strength: number;
  /** Null for the end of the text. */
  token: number | null;
  /** The likeliest next tokens as they are, and with the latent turned. */
  before: WirePrediction[];
  after: WirePrediction[];
  /** How far the prediction moved, in nats. */
  kl: number;
  /** What the model goes on with. */
  text_before: string;
  text_after: string;
}

/**
 * The synchronised state of a view of features. Both sides write all but `spec`, `arrays`, `cards`, `dial` and
 * `job`.
 */
export interface FeatureState {
  spec: FeatureSpec;
  arrays: FeatureArrays;
  /** By the latent's number. */
  cards: Record<string, WireCard>;
  /** The last one. */
  dial: WireReading | null;
  job: JobStatus;
  /** Null shows the latent that leads. */
  selected: LatentChoice | null;
  pinned: number[];
  sort: "max" | "mean" | "density" | "difference";
  /** The activation at which all scales end; null ends that of each latent at its own maximum. */
  color_limit: number | null;
  names: Record<string, string>;
  notes: Record<string, string>;
  theme: Theme;
}

/** Features that share dimensions: "pentagon", and which features it is made of. */
export interface WireShape {
  name: string;
  features: number[];
}

/** A dimensionality at which features of a regular shape sit. */
export interface WireLandmark {
  share: number;
  label: string;
  name: string;
}

/** All that a view of toy models shows apart from their weights. */
export interface SuperpositionSpec {
  title: string;
  /** The model as a formula. */
  model: string;
  /** From dense to sparse. */
  probabilities: number[];
  importance: number[];
  n_hidden: number;
  n_models: number;
  steps: number;
  correlated: number[][];
  anticorrelated: number[][];
  /** Those that fit into so many dimensions, from 1 down. */
  landmarks: WireLandmark[];
  /** Lines of torch that train one model: $probability, $model. */
  code: string;
  /** Short facts about where the numbers come from, in the order in which they are shown. */
  provenance: string[];
}

/** The models as they are now. What has no model axis is about the best of each sparsity. */
export interface SuperpositionArrays {
  /** Steps so far. */
  trained: number;
  /** The model of each sparsity that lost least. */
  best: number[];
  /** float32 (sparsity, hidden, feature): the features' directions. */
  weights: WireArray;
  /** float32 (sparsity, model, feature). */
  norms: WireArray;
  /** float32 (sparsity, model, feature). */
  dimensionality: WireArray;
  /** float32 (sparsity, model, feature). */
  interference: WireArray;
  /** float32 (sparsity, model, feature). */
  biases: WireArray;
  /** float32 (sparsity, model). */
  losses: WireArray;
  /** float32 (sparsity, model): the share of what there is to know that is lost. */
  lost: WireArray;
  /** For each sparsity, the shapes of the features that are kept. */
  shapes: WireShape[][];
  /** The same in words. */
  geometry: string[];
}

/** A sparsity by its number and, if one is pinned, a feature. */
export interface SuperpositionChoice {
  sparsity: number;
  feature: number | null;
}

/** The synchronised state of a view of toy models. Both sides write `selected`. */
export interface SuperpositionState {
  spec: SuperpositionSpec;
  arrays: SuperpositionArrays;
  job: JobStatus;
  selected: SuperpositionChoice | null;
  theme: Theme;
}
