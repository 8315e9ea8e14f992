import type { Theme } from "../protocol/common";
import { DivergingScale } from "./scales";

/** Colours that canvas and style sheet share. `clean` and `corrupt` are the two accents; all else is grey. */
export interface Palette {
  name: "light" | "dark";
  bg: string;
  fg: string;
  muted: string;
  line: string;
  faint: string;
  clean: string;
  corrupt: string;
  cleanChip: string;
  corruptChip: string;
  /** From the corrupt side to the clean side. */
  scale: DivergingScale;
}

export const palettes: Record<"light" | "dark", Palette> = {
  light: {
    name: "light",
    bg: "#ffffff",
    fg: "#1b1c1e",
    muted: "#66686e",
    line: "#e2e2e6",
    faint: "#c3c4ca",
    clean: "#b8390e",
    corrupt: "#1f5fae",
    cleanChip: "#fcebe4",
    corruptChip: "#e5eefa",
    scale: new DivergingScale({ negative: "#1a57a6", neutral: "#f3f3f1", positive: "#b5380a" }),
  },
  dark: {
    name: "dark",
    bg: "#17181c",
    fg: "#ececee",
    muted: "#9c9da6",
    line: "#303239",
    faint: "#50525b",
    clean: "#f28c5f",
    corrupt: "#7fb4f6",
    cleanChip: "#3b2219",
    corruptChip: "#172b43",
    scale: new DivergingScale({ negative: "#5ba3f7", neutral: "#26282d", positive: "#f0713c" }),
  },
};

/** A colour on the way from one to another, both "#rrggbb". */
export function mix(from: string, to: string, share: number): string {
  const channel = (color: string, at: number) => Number.parseInt(color.slice(at, at + 2), 16);
  const between = [1, 3, 5].map((at) => Math.round(channel(from, at) + (channel(to, at) - channel(from, at)) * share));
  return `rgb(${between.join(" ")})`;
}

/** Takes on the host's own surface when it follows the host, and its own when a theme is forced. */
export function applyPalette(root: HTMLElement, palette: Palette, theme: Theme): void {
  const own = palette.bg;
  const surface = theme === "auto" ? `var(--jp-layout-color0, var(--vscode-editor-background, ${own}))` : own;
  root.dataset.theme = palette.name;
  root.style.colorScheme = palette.name;
  root.style.setProperty("--_bg", `var(--iw-bg, ${surface})`);
  root.style.setProperty("--_fg", `var(--iw-fg, ${palette.fg})`);
  for (const name of ["muted", "line", "faint", "clean", "corrupt"] as const) {
    root.style.setProperty(`--_${name}`, palette[name]);
  }
  root.style.setProperty("--_clean-chip", palette.cleanChip);
  root.style.setProperty("--_corrupt-chip", palette.corruptChip);
}

function luminance(color: string): number | null {
  const numbers = color.match(/[\d.]+/g)?.map(Number);
  const hex = /^#([0-9a-f]{3}|[0-9a-f]{6})$/i.exec(color.trim())?.[1];
  let rgb = numbers;
  if (hex) {
    const full = hex.length === 3 ? [...hex].map((digit) => digit + digit).join("") : hex;
    rgb = [0, 2, 4].map((at) => Number.parseInt(full.slice(at, at + 2), 16));
  } else if (!color.startsWith("rgb") || !rgb || (rgb.length > 3 && rgb[3] < 0.5)) {
    return null;
  }
  return rgb ? (0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2]) / 255 : null;
}

function byName(element: Element): "light" | "dark" | null {
  const lab = element.getAttribute("data-jp-theme-light");
  if (lab) return lab === "true" ? "light" : "dark";
  const said = `${element.getAttribute("data-vscode-theme-kind") ?? ""} ${element.getAttribute("data-theme") ?? ""} ${
    element.getAttribute("theme") ?? ""
  } ${[...element.classList].filter((name) => /^(dark|light|vscode-.*|theme-.*)$/.test(name)).join(" ")}`;
  if (/high-contrast-light/.test(said)) return "light";
  if (/\b(dark|high-contrast)\b/.test(said)) return "dark";
  return /\blight\b/.test(said) ? "light" : null;
}

/** The host's theme: what it says by attribute or class, else how bright its surface is, else the system's. */
export function hostTheme(element: Element): "light" | "dark" {
  const ancestors: Element[] = [];
  let at: Node | null = element.parentNode;
  while (at) {
    if (at instanceof Element) ancestors.push(at);
    at = at instanceof ShadowRoot ? at.host : at.parentNode;
  }
  for (const ancestor of ancestors) {
    const named = byName(ancestor);
    if (named) return named;
  }
  const surface = getComputedStyle(element).getPropertyValue("--jp-layout-color0");
  for (const color of [surface, ...ancestors.map((ancestor) => getComputedStyle(ancestor).backgroundColor)]) {
    const bright = luminance(color);
    if (bright !== null) return bright < 0.5 ? "dark" : "light";
  }
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Calls `changed` when the host may have changed its theme. Returns how to stop. */
export function watchHostTheme(changed: () => void): () => void {
  const observer = new MutationObserver(changed);
  for (const element of [document.documentElement, document.body]) {
    observer.observe(element, {
      attributes: true,
      attributeFilter: ["class", "style", "theme", "data-theme", "data-jp-theme-light", "data-vscode-theme-kind"],
    });
  }
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", changed);
  return () => {
    observer.disconnect();
    system.removeEventListener("change", changed);
  };
}
