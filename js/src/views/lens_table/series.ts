import type { Palette } from "../../core/theme";

/** Colours of lines, told apart by colour-blind eyes too; after Okabe and Ito, darker on paper and lighter on black. */
const SERIES = {
  light: ["#b8390e", "#1f5fae", "#00785a", "#9a4f8a", "#8a6a00", "#3a3c40", "#0086a8", "#c0568a"],
  dark: ["#f28c5f", "#7fb4f6", "#4fc9a2", "#dc9bcb", "#e3c24f", "#d6d7da", "#5fd0ea", "#f39ac0"],
};

export function seriesColor({ name }: Palette, number: number): string {
  return SERIES[name][number % SERIES[name].length];
}
