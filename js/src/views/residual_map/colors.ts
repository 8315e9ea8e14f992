import { formatCount } from "../../core/format";
import { DivergingScale, word } from "../../core/scales";
import type { Palette } from "../../core/theme";
import type { ColorBy } from "../../protocol/residual_map";
import type { MapData } from "./data";

/** Okabe and Ito's colours, which colour-blind readers tell apart, without those that a white or a black page hides. */
const HUES = {
  light: ["#c4410b", "#0b62a8", "#00875f", "#b5538f", "#c98a00", "#3aa0d8", "#7a4fbf"],
  dark: ["#f2773f", "#5ba3f0", "#2fbf93", "#dd86b9", "#e8b33c", "#8fd0f5", "#b39af0"],
};
const OTHER = { light: "#a6a8af", dark: "#6d6f79" };
const RAMPS = {
  light: new DivergingScale({ negative: "#2b3f92", neutral: "#b04a86", positive: "#e0a21b" }),
  dark: new DivergingScale({ negative: "#5d76e0", neutral: "#d96aa8", positive: "#f6cf58" }),
};
const RAMP_STEPS = 64;
/** So many kinds have a colour of their own; all further ones are grey. */
export const MOST_KINDS = 7;

export interface Kind {
  name: string;
  color: string;
  /** Which outline its points have. */
  shape: number;
  count: number;
  /** Whether the name is a token's label. */
  isToken: boolean;
}

/** What colours say: a kind for each point, or a place on a ramp. */
export interface Coloring {
  by: ColorBy;
  /** (point): which of the words. */
  of: Uint8Array;
  /** 0xAABBGGRR of each. */
  words: Uint32Array;
  /** Outline of each. */
  shapes: Uint8Array;
  kinds: Kind[];
  /** The kind that is all others together; −1 where there is none. */
  grey: number;
  ramp: { low: string; high: string; name: string; colors: string[] } | null;
}

/** Which kinds of colouring make sense. */
export function colorings(data: MapData): { value: ColorBy; text: string }[] {
  const all: { value: ColorBy; text: string }[] = [
    { value: "label", text: "label" },
    { value: "token", text: "token" },
    { value: "position", text: "position" },
    { value: "prompt", text: "prompt" },
  ];
  const several = data.starts.length > 1;
  return all.filter(({ value }) => (value === "label" ? data.spec.labels.length > 0 : value !== "prompt" || several));
}

export function coloringOf(data: MapData, by: ColorBy, { name: theme }: Palette): Coloring {
  if (by === "label" && data.spec.labels.length) {
    const names = data.spec.labels;
    return kinds(
      data,
      by,
      theme,
      (point) => data.group(point),
      names.length,
      (kind) => names[kind],
    );
  }
  const prompts = data.starts.length;
  if (by === "prompt" && prompts <= MOST_KINDS)
    return kinds(
      data,
      by,
      theme,
      (point) => data.prompt[point],
      prompts,
      (kind) => `prompt ${kind}`,
    );
  if (by === "prompt") return ramp(data, by, theme, (point) => data.prompt[point], prompts - 1, "prompt");
  if (by === "position") {
    let last = 1;
    for (let point = 0; point < data.count; point++) last = Math.max(last, data.position(point));
    return ramp(data, by, theme, (point) => data.position(point), last, "position");
  }
  const { vocab } = data.spec;
  return kinds(
    data,
    "token",
    theme,
    (point) => data.word(point),
    vocab.length,
    (kind) => vocab[kind],
  );
}

/** Colours for the kinds with most points; as they were named first where all have one. */
function kinds(
  data: MapData,
  by: ColorBy,
  theme: "light" | "dark",
  kindOf: (point: number) => number,
  size: number,
  nameOf: (kind: number) => string,
): Coloring {
  const counts = new Int32Array(size);
  for (let point = 0; point < data.count; point++) counts[kindOf(point)]++;
  const present = Array.from(counts.keys()).filter((kind) => counts[kind] > 0);
  const leading = present.length <= MOST_KINDS ? present : present.sort((a, b) => counts[b] - counts[a]);
  const own = leading.slice(0, MOST_KINDS);
  const rest = leading.length - own.length;
  const slot = new Uint8Array(size).fill(own.length);
  const list: Kind[] = own.map((kind, n) => {
    slot[kind] = n;
    const color = HUES[theme][n];
    return { name: nameOf(kind), color, shape: n, count: counts[kind], isToken: by === "token" };
  });
  if (rest > 0) {
    const shown = own.reduce((sum, kind) => sum + counts[kind], 0);
    const what = by === "token" ? "token" : "label";
    const name = `${formatCount(rest, `other ${what}`)}`;
    list.push({ name, color: OTHER[theme], shape: 0, count: data.count - shown, isToken: false });
  }
  const of = new Uint8Array(data.count);
  for (let point = 0; point < data.count; point++) of[point] = slot[kindOf(point)];
  return {
    by,
    of,
    words: Uint32Array.from(list, ({ color }) => word(color)),
    shapes: Uint8Array.from(list, ({ shape }) => shape),
    kinds: list,
    grey: rest > 0 ? own.length : -1,
    ramp: null,
  };
}

function ramp(
  data: MapData,
  by: ColorBy,
  theme: "light" | "dark",
  amount: (point: number) => number,
  last: number,
  name: string,
): Coloring {
  const scale = RAMPS[theme];
  const step = (scale.words.length - 1) / (RAMP_STEPS - 1);
  const at = Array.from({ length: RAMP_STEPS }, (_, n) => Math.round(n * step));
  const of = new Uint8Array(data.count);
  for (let point = 0; point < data.count; point++)
    of[point] = Math.round((amount(point) / Math.max(1, last)) * (RAMP_STEPS - 1));
  return {
    by,
    of,
    words: Uint32Array.from(at, (n) => scale.words[n]),
    shapes: new Uint8Array(RAMP_STEPS),
    kinds: [],
    grey: -1,
    ramp: { low: "0", high: String(last), name, colors: at.map((n) => scale.css[n]) },
  };
}

/** The colour of a point as CSS. */
export function cssOf({ words, of }: Coloring, point: number): string {
  const color = words[of[point]];
  return `rgb(${color & 255} ${(color >> 8) & 255} ${(color >> 16) & 255})`;
}
