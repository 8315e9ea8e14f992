// Written by tools/protocol.py from interp_widgets/views/protocol/attention_heads.py; edit that file instead.
import type { JobStatus, Theme, ToPython, ViewState, WireArray } from "./common";

export type AttentionSide = "clean" | "corrupt" | "difference";

export type HeadOrder = "layer" | "score";

export type ColorScale = "shared" | "own";

/** A prompt, or several whose mean is shown. */
export interface WireAttentionSide {
  /** Also what the code calls it. */
  name: string;
  /** Tokens of the first prompt. */
  labels: string[];
  prompts: number;
  /** All of its prompts as the code has them. */
  ids: string;
}

/** A score of heads, with the words that explain it. */
export interface WireScoreTerm {
  name: string;
  /** What a head is called in short. */
  badge: string;
  /** What it is called, with its article. */
  head: string;
  meaning: string;
  sample: string;
  baseline: string;
  source: string;
  low: number;
  high: number;
  /** Score from which a head is called so. */
  named: number;
}

/** All that is shown apart from numbers. */
export interface AttentionSpec {
  title: string;
  sides: WireAttentionSide[];
  layers: number[];
  heads: number[];
  /** How many tokens share a number along each axis; 1 where each has its own. */
  block: number;
  /** Whether the page has all numbers; else it has small pictures, and asks for tiles and lines. */
  whole: boolean;
  /** Numbers along a tile. */
  tile: number;
  /** Numbers along a small picture, at most; each the largest of those that it stands for. */
  small: number;
  /** Whether patterns weighted by value norms can be shown. */
  weighted: boolean;
  sides_shown: AttentionSide[];
  /** Whether Python can read a layer anew, token by token. */
  reads: boolean;
  /** Bytes of tiles and lines that a saved page keeps at most. */
  kept: number;
  terms: WireScoreTerm[];
  /** Lines that compute a pattern, with `$prompts`, `$shown`, `$layer`, `$head` and `$pos` to be filled in. */
  code: string;
  /** Likewise of a weighted one. */
  weighted_code: string;
  provenance: string[];
}

/** One layer of one prompt, in full. */
export interface WireMaps {
  /** float32 (head, query, key). */
  pattern: WireArray;
  /** Where it does not follow from `pattern` and `norms`. */
  weighted: WireArray | null;
  /** float32 (head, key): what patterns are multiplied by to be weighted. */
  norms: WireArray | null;
  /** Standard deviation over prompts. */
  spread: WireArray | null;
  weighted_spread: WireArray | null;
}

/** Small pictures of one layer's heads. */
export interface WirePictures {
  /** uint8 (head, query, key): 0 where there is no number, else 128 + 127 * value / peak. */
  codes: WireArray;
  /** float32 (head,): the largest size of a number. */
  peaks: WireArray;
}

/** What the page holds of one layer. */
export interface WireLayer {
  /** Empty where the page asks for numbers. */
  sides: WireMaps[];
  /** By side, with "/weighted" behind it where it is; empty where the page has all numbers. */
  pictures: Record<string, WirePictures>;
}

/** The numbers that the page holds. */
export interface AttentionArrays {
  /** None where a layer has not been read. */
  layers: (WireLayer | null)[];
  /** Layer and head that are shown until somebody chooses. */
  leading: number[] | null;
}

/** One score of every head. */
export interface WireScore {
  /** float32 (layer, head), as low and high; NaN where it has not been computed. */
  values: WireArray;
  low: WireArray;
  /** 95% confidence interval; NaN where there is none. */
  high: WireArray;
  baseline: number | null;
}

/** Scores by name, and why others are not there. */
export interface WireScores {
  scores: Record<string, WireScore>;
  missing: Record<string, string>;
  about: string[];
}

/** Heads of a layer that were read anew, with a number for each token or for smaller blocks. */
export interface WireClose {
  layer: number;
  heads: number[];
  block: number;
}

/** A tile or the lines through a token, which a saved page keeps. */
export interface WireKept {
  key: string;
  arrays: WireArray[];
}

/** What is shown large: a head, and the query that is held. */
export interface HeadChoice {
  layer: number;
  head: number;
  pos: number | null;
}

/** The state that Python and the page share. */
export interface AttentionState extends ViewState {
  spec: AttentionSpec;
  arrays: AttentionArrays;
  scored: WireScores | null;
  close_up: WireClose | null;
  kept: WireKept[];
  selected: HeadChoice | null;
  side: AttentionSide;
  weighted: boolean;
  score: string | null;
  order: HeadOrder;
  color_scale: ColorScale;
  job: JobStatus;
  theme: Theme;
}

/** To Python: a tile of one head's pattern, float32 in a buffer; its shape is the answer. */
export interface TileRequest {
  kind: "request";
  id: string;
  name: "tile";
  side: AttentionSide;
  layer: number;
  head: number;
  weighted: boolean;
  level: number;
  row: number;
  column: number;
}

/** To Python: where a token looks and who looks at it, float32 in two buffers; two more are their spreads. */
export interface LinesRequest {
  kind: "request";
  id: string;
  name: "lines";
  side: AttentionSide;
  layer: number;
  head: number;
  weighted: boolean;
  pos: number;
}

/** To Python: read a layer anew, token by token; the answer comes when it is there. */
export interface ReadRequest {
  kind: "request";
  id: string;
  name: "read";
  layer: number;
  head: number;
}

/** What the view may send. */
export type AttentionToPython = ToPython | TileRequest | LinesRequest | ReadRequest;
