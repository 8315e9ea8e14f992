// Written by tools/protocol.py from interp_widgets/views/protocol/residual_map.py; edit that file instead.
import type { JobStatus, Theme, ToPython, ViewState, WireArray } from "./common";

export type ColorBy = "label" | "token" | "position" | "prompt";

/** All that a map shows apart from where points are. */
export interface ResidualMapSpec {
  title: string;
  /** What a point is, and what the axes are. */
  meaning: string;
  /** What a reader should know of the choice of points. */
  notes: string[];
  method: string;
  layers: number[];
  axes: string[];
  /** How many of the axes are directions that were given; they come first. */
  n_given: number;
  n_points: number;
  /** Labels of tokens. */
  vocab: string[];
  /** What prompts are called, each name once; empty where they have none. */
  labels: string[];
  /** Lines of nnsight that compute a layer's coordinates: $there. Empty where there are none. */
  code: string;
  /** For each layer, what $there is. */
  reads: string[];
  provenance: string[];
}

/** One layer: its points and what is known of its axes. Shares are null for t-SNE and UMAP. */
export interface WireLayer {
  /** Which of the layers. */
  row: number;
  low: number[];
  /** For each axis, the coordinates that 0 and 65535 stand for. */
  high: number[];
  /** uint16 (axis, point): null where it has to be asked for, or comes beside this. */
  coords: WireArray | null;
  /** (axis, axis): what coordinates are multiplied by, from the right, to lie as in the layer before. */
  turn: number[][];
  /** Of the variance, along each axis as it is. */
  shares: (number | null)[];
  /** Along each axis after the turn. */
  turned_shares: (number | null)[];
  /** By all axes together; null where they are not at right angles. */
  explained: number | null;
  /** Between directions, where two or more were given. */
  cosines: number[][];
  /** Shares of the leading principal components. */
  scree: number[];
  /** Standard deviation in all dimensions together. */
  spread: number;
}

/** Tokens and points. */
export interface ResidualMapArrays {
  /** uint16 or int32 (token): the tokens of all prompts, as indices into the vocabulary. */
  text: WireArray;
  /** int32 (prompt): where each begins. */
  starts: WireArray;
  /** uint8 (token): whether it is a point. Points are counted through all tokens. */
  taken: WireArray;
  /** int32 (prompt): what each is called, as an index; without entries where they have no labels. */
  labels: WireArray;
  /** Those that are placed. */
  layers: WireLayer[];
}

/**
 * To the page: a layer that was placed, or asked for. Its coordinates come as the message's only buffer, uint16
 * (axis, point). `seq` counts up by one; on a gap the page asks for a resync.
 */
export interface LayerMessage {
  kind: "layer";
  seq: number;
  layer: WireLayer;
}

/** To Python: a request for the coordinates of a layer. They come as a `LayerMessage` before the answer. */
export interface LayerRequest {
  kind: "request";
  id: string;
  name: "layer";
  row: number;
}

/** The synchronised state of a map. Both sides write all but `spec`, `arrays` and `job`. */
export interface ResidualMapState extends ViewState {
  spec: ResidualMapSpec;
  arrays: ResidualMapArrays;
  job: JobStatus;
  /** Numbers of points. */
  selected: number[];
  layer: number | null;
  color_by: ColorBy;
  align: boolean;
  /** Whether all layers are drawn to one scale. */
  one_scale: boolean;
  /** Which axis is drawn across, and which up. */
  axes: number[];
  theme: Theme;
}

export type ResidualMapToPython = ToPython | LayerRequest;
