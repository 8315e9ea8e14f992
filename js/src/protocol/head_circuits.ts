// Written by tools/protocol.py from interp_widgets/views/protocol/head_circuits.py; edit that file instead.
import type { CancelMessage, HtmlRequest, JobStatus, ResyncMessage, Theme, ViewState, WireArray } from "./common";

export type CircuitName = "qk" | "ov";

export type CircuitScale = "shared" | "own";

/** All that is shown apart from numbers. */
export interface CircuitSpec {
  title: string;
  /** The tokens of all axes. */
  labels: string[];
  layers: number[];
  heads: number[];
  offset: number;
  positions: "rotary" | "added" | "none";
  /** The tokens' ids, as lines of code have them. */
  ids: string;
  /** Whether Python looks through the whole vocabulary when it is asked to. */
  answers: boolean;
}

/** The numbers of all heads; NaN where nothing is computed (yet). */
export interface CircuitArrays {
  /** float32 (layer, head, query, key). */
  qk: WireArray;
  /** float32 (layer, head, source, output). */
  ov: WireArray;
  /** float32 (layer, head): from -1 to 1. */
  copying: WireArray;
  /** float32 (layer, head, eigenvalue, 2): real and imaginary parts. */
  eigenvalues: WireArray;
  /** float32 (layer, head, offset). */
  by_offset: WireArray;
  /** Why something is not there. */
  missing: Record<string, string>;
  /** The lines that compute both circuits of a head, by layer: templates of `ids` and `head`, empty where none do. */
  code: string[];
  provenance: string[];
}

/** An entry of a circuit over the whole vocabulary. */
export interface WireTokenPair {
  first: string;
  second: string;
  value: number;
}

/** The largest and the smallest entries of one circuit over the whole vocabulary. */
export interface WireExtremes {
  layer: number;
  head: number;
  circuit: CircuitName;
  highest: WireTokenPair[];
  lowest: WireTokenPair[];
}

/** How far looking through the whole vocabulary for a head's strongest entries is. */
export interface WireLook {
  layer: number;
  head: number;
  job: JobStatus;
}

/** The head that is shown, and the token that is attended to, as its place on the axes. */
export interface CircuitChoice {
  layer: number;
  head: number;
  token: number | null;
}

/** The state that Python and the page share. */
export interface CircuitState extends ViewState {
  spec: CircuitSpec;
  arrays: CircuitArrays;
  extremes: WireExtremes[];
  /** Null before somebody asked. */
  looking: WireLook | null;
  /** Null shows the head that copies most. */
  selected: CircuitChoice | null;
  /** What the small maps show. */
  small: CircuitName;
  color_scale: CircuitScale;
  job: JobStatus;
  theme: Theme;
}

/** To Python: look through the whole vocabulary for a head's strongest entries; `looking` tells how far that is. */
export interface VocabularyRequest {
  kind: "request";
  id: string;
  name: "vocabulary";
  layer: number;
  head: number;
}

/** To Python: look no further through the whole vocabulary. */
export interface CancelVocabulary {
  kind: "cancel_vocabulary";
}

/** What the view may send. */
export type CircuitToPython = CancelMessage | ResyncMessage | HtmlRequest | VocabularyRequest | CancelVocabulary;
