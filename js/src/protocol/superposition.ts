// Written by tools/protocol.py from interp_widgets/views/protocol/superposition.py; edit that file instead.
import type { JobStatus, Theme, WireArray } from "./common";

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
