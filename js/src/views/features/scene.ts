import type { Look } from "../../core/frame";
import { Shading } from "../../core/shading";
import type { JobStatus } from "../../protocol/common";
import type { DialRequest, FeatureSpec, WireCard, WireReading } from "../../protocol/features";
import type { FeatureData } from "./data";
import type { Ranked, Sort } from "./ranking";

/** All that is on screen at one moment. Parts read it and never write it. */
export interface Scene extends Look {
  spec: FeatureSpec;
  data: FeatureData;
  /** Grows with every change of the numbers in `data`. */
  version: number;
  /** All latents that fire, ranked. */
  order: Ranked[];
  sort: Sort;
  cards: Record<string, WireCard>;
  /** The last reading of a turned latent. */
  dial: WireReading | null;
  names: Record<string, string>;
  notes: Record<string, string>;
  job: JobStatus;
  /** The latent that is shown; null while none fires. */
  shown: number | null;
  /** Whether somebody chose it. */
  chosen: boolean;
  held: number | null;
  pinned: readonly number[];
  limit: number | null;
  /** Whether Python answers. */
  live: boolean;
  /** What became of the requests for cards. */
  asked: ReadonlyMap<number, Asked>;
}

export type Turn = Pick<DialRequest, "latent" | "mode" | "strength" | "token">;

export type Asked = "waiting" | { error: string };

/** What a reader can do. */
export interface Actions {
  /** Shows a latent. */
  choose(latent: number): void;
  /** Holds a token, or lets go. */
  hold(token: number | null): void;
  /** Points at a token, or at none. */
  point(token: number | null): void;
  /** Goes to the next token on which the shown latent fires. */
  step(direction: 1 | -1): void;
  /** Draws a latent as a row under the text, or no longer. */
  pin(latent: number): void;
  setSort(sort: Sort): void;
  setLimit(limit: number | null): void;
  rename(latent: number, name: string): void;
  write(latent: number, note: string): void;
  /** Asks Python for a latent's card. */
  ask(latent: number): void;
  /** Turns a latent; the reading then comes with the state. */
  turn(turn: Turn): Promise<unknown>;
  redraw(): void;
  cancel(): void;
  /** Says something to those who listen instead of look. */
  announce(text: string): void;
}

/** The colours of a latent: up to its own largest activation, unless all scales end at the same. */
export function shadingOf({ data, spec, palette, limit }: Scene, latent: number): Shading {
  return new Shading(palette, limit ?? (data.largest(latent) || 1), spec.dictionary.signed);
}
