// Written by tools/protocol.py from interp_widgets/views/protocol/lens_table.py; edit that file instead.
import type { JobStatus, Theme, ToPython, ViewState, WireArray, WireText } from "./common";

export type LensQuantity = "prob" | "logprob" | "logit" | "rank" | "entropy" | "kl";

export type LensTrajectory = "prob" | "logprob" | "rank";

export type LensRows = "all" | "layers";

/**
 * To the page: cells that have been read, with their numbers for every prompt.
 *
 * Buffers, in order: cells int32 (row * length + position), then logprobs and ranks float32 (prompt, cell, answer),
 * entropy, kl and log_sums float32 (prompt, cell), apart float32 (comparison, cell), top int32 (prompt, cell, k) and
 * top_probs float32 (prompt, cell, k). `seq` counts up by one; on a gap the page asks for a resync.
 */
export interface LensCellsMessage {
  kind: "cells";
  seq: number;
  /** Labels of tokens that are new in `top`, and go behind those that are there. */
  vocab: string[];
  vocab_ids: number[];
}

/** To Python: a request to follow one more token. The answer is its number, and the state then has it. */
export interface FollowRequest {
  kind: "request";
  id: string;
  name: "follow";
  /** What somebody typed; not looked at where there is a token. */
  text: string;
  /** Id of a token. */
  token: number | null;
}

/** A place where the stream is read. */
export interface LensRow {
  site: string;
  layer: number;
}

/** All that a view of a lens shows apart from numbers: one prompt, or a clean and a corrupt one of one length. */
export interface LensSpec {
  prompts: WireText[];
  /** Token ids of each prompt. */
  ids: number[][];
  /** The embedding first, the model's own prediction last. */
  rows: LensRow[];
  /** How streams are read: "logit lens", or which tuned lens. */
  lens: string;
  /** Whether Python follows tokens that are asked for. */
  follows: boolean;
  /**
   * Lines of nnsight that compute a cell by site, templates with `$ids`, `$layer` and `$pos`; "last" is the last
   * row's. Empty where there are none.
   */
  code: Record<string, string>;
  provenance: string[];
}

/**
 * The numbers of all cells, NaN where not read yet; of long prompts in half precision.
 *
 * Committed when a job starts and when it ends, and when one more token is followed.
 */
export interface LensArrays {
  /** Labels of the tokens that are followed. */
  answers: string[];
  /** (prompt, row, position, answer), natural logarithms. */
  logprobs: WireArray;
  /** (prompt, row, position, answer): 0 is the top prediction; in half precision an eighth of it. */
  ranks: WireArray;
  /** (prompt, row, position), in nats. */
  entropy: WireArray;
  /** (prompt, row, position): KL divergence from the model's own prediction, in nats. */
  kl: WireArray;
  /** (prompt, row, position): what makes a logit of a log probability. */
  log_sums: WireArray;
  /** (comparison, row, position): KL divergence of corrupt from clean, in nats; no comparison of one prompt. */
  apart: WireArray;
  /** int32 or uint16 (prompt, row, position, k): the likeliest tokens as numbers into `vocab`. */
  top: WireArray;
  /** (prompt, row, position, k). */
  top_probs: WireArray;
  vocab: string[];
  /** int32 (label): token ids. */
  vocab_ids: WireArray;
}

/** A cell: a site of a layer at a position of a prompt, 0 or 1. */
export interface LensCell {
  site: string;
  layer: number;
  pos: number;
  prompt: number;
}

/** A line through the layers: one of the followed tokens at a position of a prompt. */
export interface LensPin {
  pos: number;
  answer: number;
  prompt: number;
}

/** The synchronised state of a view of a lens. Both sides write all but `spec`, `arrays` and `job`. */
export interface LensState extends ViewState {
  spec: LensSpec;
  arrays: LensArrays;
  job: JobStatus;
  selected: LensCell | null;
  /** The followed token that colour is about; null for what is said, whichever it is. */
  answer: number | null;
  metric: LensQuantity;
  /** All places, or only those between layers. */
  rows: LensRows;
  pinned: LensPin[];
  trajectory: LensTrajectory;
  theme: Theme;
}

export type LensToPython = ToPython | FollowRequest;
