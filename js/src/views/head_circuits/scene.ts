import type { Look } from "../../core/frame";
import { niceLimit } from "../../core/scales";
import type { JobStatus } from "../../protocol/common";
import type { CircuitName, CircuitScale, CircuitSpec, WireExtremes, WireLook } from "../../protocol/head_circuits";
import type { CircuitData, Head } from "./data";

/** What the reader points at: a token that is attended to, and the other one of a map; null for all of them. */
export interface Place {
  circuit: CircuitName;
  row: number;
  column: number;
}

/** All that is on screen at one moment. Parts read it and never write it. */
export interface Scene extends Look {
  spec: CircuitSpec;
  data: CircuitData;
  job: JobStatus;
  extremes: readonly WireExtremes[];
  shown: Head;
  /** The token that is held, by its place. */
  held: number | null;
  place: Place | null;
  /** The head that the reader points at. */
  pointed: Head | null;
  /** What somebody points at in a view that is linked to this one. */
  ghost: { layer?: number; head?: number } | null;
  small: CircuitName;
  scale: CircuitScale;
  /** Whether Python answers. */
  live: boolean;
  /** How far looking through the whole vocabulary is. */
  looking: WireLook | null;
  /** Why that was refused. */
  refused: { head: Head; why: string } | null;
}

/** What a reader can do. */
export interface Actions {
  choose(head: Head): void;
  pointHead(head: Head | null, beside?: DOMRect, all?: DOMRect): void;
  point(place: Place | null): void;
  /** Holds a token that is attended to, or lets go. */
  hold(token: number | null): void;
  setSmall(circuit: CircuitName): void;
  setScale(scale: CircuitScale): void;
  /** Looks through the whole vocabulary. */
  look(): void;
  stopLook(): void;
  cancel(): void;
  announce(text: string): void;
}

export function same(one: Head | null, other: Head | null): boolean {
  return one !== null && other !== null && one.layer === other.layer && one.head === other.head;
}

/** Where the colours of a map end. */
export function limitOf({ data, scale }: Pick<Scene, "data" | "scale">, circuit: CircuitName, head: Head): number {
  return niceLimit(data.largest(circuit, scale === "own" ? head : null));
}

/** The token that is attended to: what the reader points at, else what is held. */
export function attended({ place, held }: Scene): number | null {
  return place?.row ?? held;
}
