import type { Look } from "../../core/frame";
import { niceLimit } from "../../core/scales";
import type { AttributionSpec, WireNeurons, WireSources } from "../../protocol/attribution";
import type { JobStatus } from "../../protocol/common";
import type { AttributionData } from "./data";

/** What has become of a request for a part that is not here: it is under way, or it failed. */
export type Asked = "waiting" | { error: string };

/** All that is shown at one moment. */
export interface Scene extends Look {
  spec: AttributionSpec;
  data: AttributionData;
  /** What every component adds in what is shown. */
  values: Float64Array;
  sources: Record<string, WireSources>;
  neurons: Record<string, WireNeurons>;
  asked: ReadonlyMap<string, Asked>;
  job: JobStatus;
  /** The component that is chosen. */
  selected: number | null;
  prompt: number | null;
  target: number;
  /** Where the colour scale ends. */
  limit: number;
  /** What was asked for it; null for the largest contribution. */
  ownLimit: number | null;
  live: boolean;
}

/** What the reader does. */
export interface Actions {
  choose(component: number | null): void;
  /** Points at a component, or at none. */
  point(component: number | null): void;
  setPrompt(prompt: number | null): void;
  setTarget(target: number): void;
  setLimit(limit: number | null): void;
  retry(component: number): void;
  cancel(): void;
  announce(text: string): void;
}

/** The end of a colour scale that fits all contributions. */
export function limitOf(values: Float64Array): number {
  let largest = 0;
  for (const value of values) if (Math.abs(value) > largest) largest = Math.abs(value);
  return niceLimit(largest);
}

/** The prompt whose names and answers stand for what is shown. */
export function shownPrompt({ prompt, data }: Pick<Scene, "prompt" | "data">): number {
  return prompt ?? data.done[0] ?? 0;
}
