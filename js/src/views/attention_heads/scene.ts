import type { Look } from "../../core/frame";
import type { PatternPlace } from "../../core/pattern";
import type { AttentionSide, AttentionSpec, ColorScale, HeadOrder } from "../../protocol/attention_heads";
import type { JobStatus } from "../../protocol/common";
import type { At, HeadData, Kind } from "./data";
import type { Scores } from "./scores";

/** A head by the model's numbers. */
export interface Head {
  layer: number;
  head: number;
}

/** All that is on screen at one moment. Parts read it and never write it. */
export interface Scene extends Look {
  spec: AttentionSpec;
  data: HeadData;
  /** Grows with every change of the numbers in `data`. */
  version: number;
  scores: Scores;
  job: JobStatus;
  kind: Kind;
  /** The head that is large; null while none has been read. */
  shown: Head | null;
  /** Whether somebody chose it. */
  chosen: boolean;
  /** The query that is held. */
  held: number | null;
  /** What the reader points at. */
  spot: PatternPlace | null;
  /** The head that the reader points at. */
  pointed: Head | null;
  /** What somebody points at in a view that is linked to this one. */
  ghost: { layer: number | null; head: number | null; pos: number | null } | null;
  score: string | null;
  order: HeadOrder;
  scale: ColorScale;
  /** Whether Python answers. */
  live: boolean;
  /** Whether a layer is being read anew. */
  reading: boolean;
}

/** What a reader can do. */
export interface Actions {
  choose(head: Head): void;
  /** Points at a head, beside which something is said, or at none. */
  pointHead(head: Head | null, beside?: DOMRect, all?: DOMRect): void;
  /** Points at a place of the pattern, or at none. */
  point(spot: PatternPlace | null): void;
  /** Holds a query, or lets go. */
  hold(query: number | null): void;
  setSide(side: AttentionSide): void;
  setWeighted(weighted: boolean): void;
  setScore(score: string | null): void;
  setOrder(order: HeadOrder): void;
  setScale(scale: ColorScale): void;
  /** Reads the layer that is shown anew, token by token. */
  read(): void;
  cancel(): void;
  announce(text: string): void;
}

export function atOf({ kind }: Pick<Scene, "kind">, head: Head): At {
  return { ...kind, layer: head.layer, head: head.head };
}

/** Where a head's colours end. */
export function limitOf({ data, kind, scale }: Pick<Scene, "data" | "kind" | "scale">, head: Head): number {
  if (scale === "shared") return data.sharedLimit(kind);
  return data.peak(atOf({ kind }, head)) || 1;
}

/** The query and the key that are looked at: what is pointed at, else the held query, else the last token. */
export function focusOf({ spot, held, data, kind }: Scene): { query: number; key: number } {
  const last = data.labels(kind.side).length - 1;
  const query = Math.min(last, spot?.query ?? held ?? last);
  return { query, key: Math.min(last, spot?.key ?? query) };
}

export function sameHead(a: Head | null, b: Head | null): boolean {
  return a !== null && b !== null && a.layer === b.layer && a.head === b.head;
}
