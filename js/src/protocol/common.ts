// Written by tools/protocol.py from interp_widgets/views/protocol/common.py; edit that file instead.

export type JobState = "running" | "done" | "cancelled" | "failed";

export type Dtype = "float32" | "float16" | "int32" | "uint16" | "uint8";

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

/** A site or a metric, with the words that explain it. */
export interface WireTerm {
  name: string;
  label: string;
  meaning: string;
  unit: string;
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

/** To Python: a request for the view as one page. */
export interface HtmlRequest {
  kind: "request";
  id: string;
  name: "html";
}

/** A place that views share, in the words of `selected`: each names what it has, and passes over what it has not. */
export interface Spot {
  site?: string;
  layer?: number;
  head?: number;
  /** Position in the text. */
  pos?: number;
  /** Id of a token of the vocabulary. */
  token?: number;
  latent?: number;
  neuron?: number;
  /** Number of the prompt that is shown, of several. */
  prompt?: number;
  /** The tokens at `pos` as people read them: that of each prompt which is shown. */
  words?: string[];
}

/** A group of views that share where the reader is. */
export interface WireLink {
  group: string;
  /** The keys of `Spot` that are shared. */
  by: string[];
  /** Whether a position counts only where both views have the same token. */
  same_tokens: boolean;
  /** Whether selecting nothing is shared too. */
  empties: boolean;
}

/** A view that opens from places of this one. */
export interface WireWay {
  name: string;
  meaning: string;
  key: string;
  /** The keys of `Spot` that a place must have. */
  needs: string[];
  /** The sites whose places it takes; all where there are none. */
  sites: string[];
  /** The keys of `Spot` that make it another view: places that agree in them are shown by the same one. */
  apart: string[];
}

/** A view that was opened from this one. */
export interface WireOpened {
  /** Id of its model. */
  model: string;
  way: string;
  /** What of the place made it another view. */
  place: Spot;
  /** The way to it from the first view, in words. */
  trail: string[];
}

/** The synchronised state that every view has beside its own; pages that were saved earlier lack it. */
export interface ViewState {
  links?: WireLink[];
  ways?: WireWay[];
  /** Why there are none. */
  no_ways?: string;
  opened?: WireOpened[];
}

/** To Python: a request to open a view of a place. */
export interface OpenRequest {
  kind: "request";
  id: string;
  name: "open";
  way: string;
  place: Spot;
}

/** To Python: close a view that was opened from this one. */
export interface CloseMessage {
  kind: "close";
  model: string;
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

/** What every view may send. */
export type ToPython = CancelMessage | ResyncMessage | HtmlRequest | OpenRequest | CloseMessage;
