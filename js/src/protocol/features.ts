// Written by tools/protocol.py from interp_widgets/views/protocol/features.py; edit that file instead.
import type { JobStatus, Theme, ToPython, ViewState, WireArray, WirePrediction, WireText, WireValues } from "./common";

/** What is done with a latent's activation: so much of it is taken out, it is multiplied, replaced, or added to. */
export type DialMode = "ablate" | "scale" | "clamp" | "add";

/**
 * To the page: tokens on which latents have been read.
 *
 * Buffers, in order: tokens int32 (token), how many latents each has int32 (token), those latents int32 and their
 * activations float32, one token after the other; then the latents whose statistics changed int32 (latent) with
 * maximum float32 (text, latent), total float32 (text, latent) and fires int32 (text, latent). `seq` counts up
 * by one; on a gap the page asks for a resync.
 */
export interface TokensMessage {
  kind: "tokens";
  seq: number;
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

/** A token: the number of its text, those of both sides counted through, and the position in it. */
export interface WireSpot {
  document: number;
  position: number;
}

/** What is known of a latent beyond the text; null for what has not been looked for. */
export interface WireCard {
  promotes: WireWeighted[] | null;
  suppresses: WireWeighted[] | null;
  nearest: WireNeighbour[] | null;
  written_by: WireLink[] | null;
  written_at: WireSpot | null;
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
export interface FeatureState extends ViewState {
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

export type FeatureToPython = ToPython | CardRequest | ColumnRequest | DialRequest;
