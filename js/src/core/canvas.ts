/** Fits a canvas to its size on screen and returns a context that draws in CSS pixels. */
export function prepare(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const scale = devicePixelRatio || 1;
  const [wide, tall] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  if (canvas.width !== wide || canvas.height !== tall) {
    canvas.width = wide;
    canvas.height = tall;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context?.setTransform(scale, 0, 0, scale, 0, 0);
  context?.clearRect(0, 0, width, height);
  return context;
}

/** Draws pixels under the context's transform, which `putImageData` would ignore. */
export function drawPixels(
  context: CanvasRenderingContext2D,
  words: Uint32Array,
  pixels: { width: number; height: number },
  box: { x: number; y: number; width: number; height: number },
): void {
  const buffer = document.createElement("canvas");
  buffer.width = pixels.width;
  buffer.height = pixels.height;
  const image = new ImageData(new Uint8ClampedArray(words.buffer as ArrayBuffer), pixels.width, pixels.height);
  buffer.getContext("2d")?.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(buffer, box.x, box.y, box.width, box.height);
}
