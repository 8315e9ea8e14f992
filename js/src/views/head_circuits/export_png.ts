import { MARGIN, takePicture } from "../../core/picture";
import type { Scene } from "./scene";
import { copyingOf, nameOf } from "./words";

/** What is large, as a picture: both maps of the head that is shown, with their names. */
export function circuitsToPng(
  scene: Scene,
  maps: readonly { name: string; element: HTMLElement }[],
  fonts: { sans: string },
): Promise<Blob | null> {
  const { spec, shown, data, palette } = scene;
  const canvases = maps.map(({ element }) => [...element.querySelectorAll("canvas")]);
  const sizes = canvases.map(([first]) => ({ width: first.clientWidth, height: first.clientHeight }));
  const side = scene.size === "narrow" ? 1 : sizes.length;
  const needed = sizes.reduce((sum, { width }) => sum + width + 30, 0);
  return takePicture(scene, side === 1 ? 320 : needed, (context, width) => {
    context.textBaseline = "alphabetic";
    context.textAlign = "left";
    context.fillStyle = palette.fg;
    context.font = `600 16px ${fonts.sans}`;
    context.fillText(spec.title, MARGIN, MARGIN + 14, width - 2 * MARGIN);
    context.fillStyle = palette.muted;
    context.font = `12px ${fonts.sans}`;
    context.fillText(`${nameOf(shown)}, ${copyingOf(data.copying(shown))}`, MARGIN, MARGIN + 36);
    let [x, y, tallest] = [MARGIN, MARGIN + 62, 0];
    maps.forEach(({ name }, number) => {
      const size = sizes[number];
      if (number > 0 && x + size.width > width - MARGIN) [x, y, tallest] = [MARGIN, y + tallest + 34, 0];
      context.fillStyle = palette.fg;
      context.font = `600 12px ${fonts.sans}`;
      context.fillText(name, x, y, size.width);
      for (const canvas of canvases[number]) context.drawImage(canvas, x, y + 10, size.width, size.height);
      x += size.width + 30;
      tallest = Math.max(tallest, size.height + 10);
    });
    return y + tallest + MARGIN;
  });
}
