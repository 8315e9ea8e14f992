export function mean(values: readonly number[]): number {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : Number.NaN;
}

/** Sample standard deviation, with n − 1 in the denominator; NaN for fewer than two values. */
export function deviation(values: readonly number[]): number {
  const centre = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
  return values.length < 2 ? Number.NaN : Math.sqrt(squares / (values.length - 1));
}

const FEW = [12.706, 4.303, 3.182, 2.776];
const NORMAL = 1.959964;

/** The 97.5% quantile of Student's t: a table where it is steep, then the expansion about the normal distribution. */
export function studentT(freedom: number): number {
  const z = NORMAL;
  return (
    FEW[freedom - 1] ??
    z +
      (z ** 3 + z) / (4 * freedom) +
      (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * freedom ** 2) +
      (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * freedom ** 3)
  );
}

/** Half the width of the 95% confidence interval of a mean; NaN for fewer than two values. */
export function confidence(values: readonly number[]): number {
  return (studentT(values.length - 1) * deviation(values)) / Math.sqrt(values.length);
}
