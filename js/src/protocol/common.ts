// Written by tools/protocol.py from interp_widgets/views/protocol/common.py; edit that file instead.

export type JobState = "running" | "done" | "cancelled" | "failed";

export type Dtype = "float32" | "int32" | "uint16" | "uint8";

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
export type ToPython = CancelMessage | ResyncMessage | HtmlRequest;
