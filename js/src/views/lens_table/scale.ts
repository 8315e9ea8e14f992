import { formatLimit, formatNumber } from "../../core/format";
import { DivergingScale } from "../../core/scales";
import type { LensQuantity } from "../../protocol/lens_table";
import type { Scene } from "./scene";
import { quantityAt } from "./words";

/** How values become colours: from the neutral one to the warm end, or between both ends where values have signs. */
export interface Scale {
  /** What the values are. */
  text: string;
  /** Share of the scale: 0 is neutral, 1 the warm end, −1 the cool one. */
  share(value: number): number;
  signed: boolean;
  ticks: [string, string, string];
}

/** The colour of a share in the palette's table. */
export function fillOf(share: number): number {
  return Math.round(Math.min(1, Math.max(-1, share)) * DivergingScale.HALF) + DivergingScale.HALF;
}

function ends(values: Iterable<number>): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

function* allValues({ data, rows, metric, answer }: Scene): Generator<number> {
  for (let prompt = 0; prompt < data.prompts; prompt++)
    for (const row of rows)
      for (let pos = 0; pos < data.length; pos++) yield quantityAt(data, metric, answer, data.at(prompt, row, pos));
}

/** The scale of the quantity that is shown, the same for both prompts. */
export function scaleOf(scene: Scene): Scale {
  const { metric } = scene;
  if (metric === "prob") return { text: "", share: (value) => value, signed: false, ticks: ["0", "", "1"] };
  const [low, high] = ends(allValues(scene));
  if (metric === "rank") {
    // Most of what matters happens near the top, so ranks are told apart by their logarithm.
    const most = Math.log1p(Math.max(1, high));
    const share = (value: number) => 1 - Math.log1p(value) / most;
    const middle = Math.round(Math.expm1(most / 2));
    return { text: "", share, signed: false, ticks: [Math.max(1, high).toLocaleString("en-US"), String(middle), "0"] };
  }
  const from = metric === "entropy" || metric === "kl" ? 0 : low;
  const span = Math.max(high - from, 1e-6);
  return {
    text: "",
    share: (value) => (value - from) / span,
    signed: false,
    ticks: [formatNumber(from), "", formatNumber(high)],
  };
}

/** What tells two prompts apart: of a followed token its difference, of what is said as a whole its divergence. */
export interface Difference extends Scale {
  at(row: number, pos: number): number;
}

const COMPARED: Partial<Record<LensQuantity, LensQuantity>> = { prob: "prob", logit: "logit" };

export function differenceOf(scene: Scene): Difference {
  const { data, rows, answer, metric } = scene;
  const compared = COMPARED[metric] ?? "logprob";
  const at =
    answer === null
      ? (row: number, pos: number) => data.apart(row, pos)
      : (row: number, pos: number) =>
          quantityAt(data, compared, answer, data.at(0, row, pos)) -
          quantityAt(data, compared, answer, data.at(1, row, pos));
  let largest = 0;
  for (const row of rows)
    for (let pos = 0; pos < data.length; pos++) {
      const size = Math.abs(at(row, pos));
      if (size > largest && Number.isFinite(size)) largest = size;
    }
  const limit = largest || 1;
  const end = formatLimit(limit);
  const name = { prob: "probability", logit: "logit", logprob: "log probability" }[compared as string];
  return {
    at,
    share: (value) => value / limit,
    signed: answer !== null,
    ticks: answer === null ? ["0", "", end] : [`−${end}`, "0", `+${end}`],
    text: answer === null ? "KL(clean ‖ corrupt) in nats" : `${name}, clean − corrupt`,
  };
}
