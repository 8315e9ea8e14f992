// Written by tools/protocol.py from interp_widgets/views/protocol/attribution.py; edit that file instead.
import type { JobStatus, Theme, ToPython, ViewState, WireArray, WireText } from "./common";

/** What a component is. */
export type AttributionKind = "embedding" | "token" | "position" | "head" | "attention" | "mlp" | "bias";

/** One of the parts whose outputs add up to the last stream; its place is `site`, `layer` and `head`. */
export interface WireComponent {
  name: string;
  kind: AttributionKind;
  site: string;
  layer: number | null;
  head: number | null;
}

/** All that a view of an attribution shows apart from numbers. */
export interface AttributionSpec {
  /** The prompts, each a document. */
  text: WireText;
  /** int32 (token): token ids of all prompts. */
  ids: WireArray;
  /** In the order in which the model adds them up. */
  components: WireComponent[];
  n_layers: number;
  /** Of a layer; 0 where heads cannot be told apart. */
  n_heads: number;
  /** int32 (prompt, target): the positions whose predictions are taken apart. */
  targets: WireArray;
  /** Whether Python takes heads and MLPs further apart. */
  opens: boolean;
  has_sources: boolean;
  /** Whether heads can be taken apart by source, and MLPs by neuron. */
  has_neurons: boolean;
  /**
   * By site: lines of nnsight that compute one component, templates with `$ids`, `$pos`, `$answer`, `$wrong_answer`,
   * `$layer` and `$head`.
   */
  code: Record<string, string>;
  provenance: string[];
}

/** The contributions, in logits; NaN where not computed yet. */
export interface AttributionArrays {
  /** float32 (prompt, target, component). */
  contributions: WireArray;
  /** float32 (prompt, target): the model's own logit difference. */
  logits: WireArray;
  /** float32 (prompt, target): that less the sum of all contributions. */
  unexplained: WireArray;
  /** float32 (prompt, target): what the last norm divides by, held fixed. */
  scales: WireArray;
  answers: string[];
  /** null: the mean over the vocabulary. */
  wrong_answers: (string | null)[];
  answer_ids: number[];
  wrong_answer_ids: (number | null)[];
}

/** What a head brings from each token that it attends to. */
export interface WireSources {
  /** float32 (prompt, target, source). */
  contributions: WireArray;
  /** float32 (prompt, target, source): its pattern. */
  weights: WireArray;
}

/** The strongest neurons of an MLP. */
export interface WireNeurons {
  /** How many the MLP has. */
  count: number;
  /** int32 (entry): which these are. */
  neurons: WireArray;
  /** float32 (prompt, target, entry). */
  contributions: WireArray;
  /** float32 (prompt, target, entry). */
  activations: WireArray;
}

/** A component by its place. Both Python and the page write it. */
export interface AttributionChoice {
  site: string;
  layer: number | null;
  head: number | null;
}

/** The synchronised state of a view of an attribution. */
export interface AttributionState extends ViewState {
  spec: AttributionSpec;
  arrays: AttributionArrays;
  /** By layer and head, such as "9.6". */
  sources: Record<string, WireSources>;
  /** By layer. */
  neuron_parts: Record<string, WireNeurons>;
  job: JobStatus;
  selected: AttributionChoice | null;
  /** The prompt that is shown; null for the mean over all. */
  prompt: number | null;
  /** Which of the targets is shown. */
  target: number;
  color_limit: number | null;
  theme: Theme;
}

/** To Python: take a head apart by source; what is found comes with the state `sources`. The answer says when. */
export interface SourcesRequest {
  kind: "request";
  id: string;
  name: "sources";
  layer: number;
  head: number;
}

/** To Python: take an MLP apart; what is found comes with the state `neuron_parts`. The answer says when. */
export interface NeuronsRequest {
  kind: "request";
  id: string;
  name: "neurons";
  layer: number;
}

/** What the page may send. */
export type AttributionToPython = ToPython | SourcesRequest | NeuronsRequest;
