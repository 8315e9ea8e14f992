import type { Look } from "../../core/frame";
import type { JobStatus } from "../../protocol/common";
import type { ColorBy, ResidualMapSpec, WireLayer } from "../../protocol/residual_map";
import type { Coloring } from "./colors";
import type { MapData } from "./data";

/** What a drag on the plot does. */
export type Tool = "move" | "lasso" | "box";

/** All that is on screen at one moment. Parts read it and never write it. */
export interface Scene extends Look {
  spec: ResidualMapSpec;
  data: MapData;
  /** Grows with every change of what is in `data`. */
  version: number;
  job: JobStatus;
  /** The layer that is wanted, and the one that is drawn: another one while its points are not here. */
  wanted: number;
  row: number | null;
  layer: WireLayer | null;
  axes: readonly number[];
  /** Whether it was asked to turn layers onto each other, and there is anything to turn. */
  align: boolean;
  oneScale: boolean;
  coloring: Coloring;
  /** Kinds that the legend hides. */
  hidden: ReadonlySet<number>;
  selected: readonly number[];
  /** (point): whether it is selected; null where none is. */
  chosen: Uint8Array | null;
  /** The point that is looked at. */
  cursor: number | null;
  tool: Tool;
  live: boolean;
}

/** What a reader can do. */
export interface Actions {
  setLayer(row: number): void;
  setColorBy(by: ColorBy): void;
  setAlign(align: boolean): void;
  setOneScale(one: boolean): void;
  setAxes(axes: number[]): void;
  setTool(tool: Tool): void;
  /** Hides or shows points of one kind. */
  toggle(kind: number): void;
  select(points: readonly number[]): void;
  /** Says which point the pointer is on, for linked views. */
  hover(point: number | null): void;
  /** Looks at a point, or at none. */
  point(point: number | null): void;
  play(): void;
  cancel(): void;
  announce(text: string): void;
}
