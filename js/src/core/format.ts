const MINUS = "\u2212";

function signed(text: string, plus: boolean): string {
  const zero = !/[1-9]/.test(text);
  if (text.startsWith("-")) return zero ? text.slice(1) : MINUS + text.slice(1);
  return plus && !zero ? `+${text}` : text;
}

/** An effect, always with its sign: +0.98, −0.12, 0. */
export function formatEffect(effect: number): string {
  if (Number.isNaN(effect)) return "no value";
  if (Math.abs(effect) < 1e-6) return "0"; // what is exactly 0 may have gone through 32-bit floats
  return signed(effect.toFixed(2), true);
}

/** A number with three sensible digits, a true minus and, if asked, a plus. */
export function formatNumber(value: number, { plus = false } = {}): string {
  if (Number.isNaN(value)) return "no value";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : `${MINUS}∞`;
  const size = Math.abs(value);
  if (size !== 0 && size < 0.0005) return signed(value.toExponential(1), plus).replace("e-", `e${MINUS}`);
  if (size >= 1e6) return signed(value.toExponential(2).replace("e+", "e"), plus);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 || size === 0 ? 2 : size >= 0.01 ? 3 : 4;
  return signed(value.toFixed(digits), plus);
}

/** The end of a scale, without digits that say nothing: 1, 0.42. */
export function formatLimit(limit: number): string {
  return String(Number(limit.toPrecision(3)));
}

export function formatProbability(probability: number): string {
  if (probability > 0 && probability < 0.001) return "<0.001";
  if (probability < 0.005) return probability.toFixed(3);
  return probability.toFixed(2);
}

export function formatPercent(share: number): string {
  // What is not all must not read as all.
  const digits = Math.abs(share) < 1 && Math.abs(share) >= 0.995 ? 1 : 0;
  return `${signed((share * 100).toFixed(digits), false)}%`;
}

export function formatDuration(seconds: number): string {
  if (seconds < 1) return "less than a second";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export function formatCount(count: number, singular: string, plural = `${singular}s`): string {
  return `${count.toLocaleString("en-US")} ${count === 1 ? singular : plural}`;
}
