/** Round steps between ticks, so that the numbers on an axis are easy to count on. */
export function niceStep(least: number): number {
  for (let power = 1; ; power *= 10) {
    for (const digit of [1, 2, 3, 5]) if (digit * power >= least) return digit * power;
  }
}

/**
 * Chooses which of `count` ticks get a label when labels need `gap` ticks of room: first those in `first` (in that
 * order, as far as they do not touch each other), then every round step, then the last one if it still fits.
 */
export function thinLabels(
  count: number,
  gap: number,
  {
    first = [],
    from = 0,
    to = count,
    last = false,
  }: { first?: readonly number[]; from?: number; to?: number; last?: boolean } = {},
): number[] {
  const least = Math.max(1, gap);
  const chosen: number[] = [];
  const fits = (tick: number) => chosen.every((other) => Math.abs(other - tick) >= least);
  const add = (tick: number) => {
    if (tick >= from && tick < to && tick < count && fits(tick)) chosen.push(tick);
  };
  for (const tick of first) add(tick);
  if (last) add(count - 1);
  const step = niceStep(Math.ceil(least - 1e-9));
  for (let tick = Math.ceil(from / step) * step; tick < Math.min(to, count); tick += step) add(tick);
  return chosen.sort((a, b) => a - b);
}

/** Cuts a text to a width, at whole characters, with an ellipsis. */
export function fitText(text: string, width: number, measure: (text: string) => number): string {
  if (measure(text) <= width) return text;
  const characters = Array.from(text);
  let low = 0;
  let high = characters.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (measure(`${characters.slice(0, middle).join("")}…`) <= width) low = middle;
    else high = middle - 1;
  }
  return `${characters.slice(0, low).join("")}…`;
}
