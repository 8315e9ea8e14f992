/** Running text on a canvas: words that wrap, each with its own look. */
export interface Run {
  text: string;
  color: string;
  font: string;
  /** Colour of a patch behind the text. */
  chip?: string;
  /** Keeps the text in one piece, as a token is. */
  whole?: boolean;
}

/** Draws runs of text from a line's middle on, and returns the middle of its last line. */
export function drawRuns(
  context: CanvasRenderingContext2D,
  runs: readonly Run[],
  { x, y, width, line }: { x: number; y: number; width: number; line: number },
): number {
  let [left, middle] = [x, y];
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.direction = "ltr";
  for (const { text, color, font, chip, whole } of runs) {
    context.font = font;
    for (const piece of whole ? [text] : text.split(/(?<= )/)) {
      const room = context.measureText(piece).width;
      if (left > x && left + context.measureText(piece.trimEnd()).width > x + width) {
        left = x;
        middle += line;
      }
      if (chip) {
        context.fillStyle = chip;
        context.fillRect(left, middle - line / 2 + 1, room, line - 2);
      }
      context.fillStyle = color;
      context.fillText(piece, left, middle);
      left += room;
    }
  }
  return middle;
}
