import type { Look } from "../../core/frame";
import type { JobStatus } from "../../protocol/common";
import type { SuperpositionSpec } from "../../protocol/superposition";
import type { Toys } from "./data";

/** A feature of one of the models. */
export interface Place {
  level: number;
  feature: number;
}

/** All that is on screen at one moment. Parts read it and never write it. */
export interface Scene extends Look {
  spec: SuperpositionSpec;
  toys: Toys;
  job: JobStatus;
  /** The sparsity that is shown large. */
  level: number;
  pinned: number | null;
  /** The feature at the pointer or the keyboard's cursor. */
  pointed: Place | null;
}

/** What a reader can do. */
export interface Actions {
  /** Shows a sparsity large, and pins a feature (null: none). */
  select(level: number, feature: number | null): void;
  /** Points at a feature, with a box on screen to tell beside. */
  point(place: Place | null, beside?: DOMRect, all?: DOMRect): void;
  cancel(): void;
  announce(text: string): void;
}

/** The feature that all pictures are seen from: the one pointed at, else the pinned one. */
export function focusOf({ pointed, pinned }: Pick<Scene, "pointed" | "pinned">): number | null {
  return pointed?.feature ?? pinned;
}

/** Whether models are drawn as arrows; with more dimensions they are drawn as WᵀW. */
export function inPlane(spec: SuperpositionSpec): boolean {
  return spec.n_hidden <= 2;
}
