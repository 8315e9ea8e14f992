import type { Run } from "./flow";
import type { Palette } from "./theme";

const WIDEST = 1600;

/** Pixels of a picture for each CSS pixel. */
export const SCALE = 2;

/** Room around what is in a picture. */
export const MARGIN = 24;

/** Type faces that a picture takes over from the page. */
export interface Fonts {
  sans: string;
  mono: string;
}

/** The type faces of the view that an element is in. */
export function fontsOf(element: Element): Fonts {
  const style = getComputedStyle(element);
  const sans = getComputedStyle(element.parentElement ?? element).fontFamily || "sans-serif";
  return { sans, mono: style.getPropertyValue("--_mono").trim() || "monospace" };
}

/** Runs of text in the two voices of a picture: what is told, and what it is told of. */
export function pensOf({ muted, fg }: Palette, { sans }: Pick<Fonts, "sans">) {
  return {
    plain: (text: string, size = 12.5): Run => ({ text, color: muted, font: `${size}px ${sans}` }),
    bold: (text: string, size = 12.5): Run => ({ text, color: fg, font: `bold ${size}px ${sans}` }),
  };
}

/**
 * A view as a picture at twice its size on screen.
 *
 * `draw` draws everything on a picture of a width, the margins among it, and returns how tall that is.
 */
export function takePicture(
  { width, palette }: { width: number; palette: Palette },
  narrowest: number,
  draw: (context: CanvasRenderingContext2D, width: number) => number,
): Promise<Blob | null> {
  const full = Math.min(WIDEST, Math.max(narrowest, width)) + 2 * MARGIN;
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  if (!context) return Promise.resolve(null);
  // The first drawing only finds out how tall the picture is.
  const height = draw(context, full);
  canvas.width = full * SCALE;
  canvas.height = height * SCALE;
  context.scale(SCALE, SCALE);
  context.fillStyle = palette.bg;
  context.fillRect(0, 0, full, height);
  draw(context, full);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
