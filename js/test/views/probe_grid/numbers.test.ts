import { describe, expect, it } from "vitest";
import type { ProbeArrays, ProbeSpec } from "../../../src/protocol/probe_grid";
import { ProbeData } from "../../../src/views/probe_grid/data";
import { probesToCsv } from "../../../src/views/probe_grid/export_csv";
import { aboveChance } from "../../../src/views/probe_grid/scene";
import { formatDifference, formatShare, isToken, placeOf, rowLabels } from "../../../src/views/probe_grid/words";

const column = (pos: number | null, label: string, untested = "") => ({
  pos,
  label,
  untested,
  where: pos === null ? "mean over tokens" : `position ${pos}`,
  groups: 4,
  at: "",
  folds: "",
});
const term = (name: string) => ({ name, label: name, meaning: "", unit: "" });

/** One measure and kind, two rows of one site and three columns, of which the first is not tested. */
const spec: ProbeSpec = {
  title: "",
  noun: "text",
  n_examples: 4,
  classes: ["bad", "good"],
  counts: [2, 2],
  kinds: [term("means")],
  measures: [term("accuracy")],
  chance: [0.5],
  rows: [
    { site: "resid_post", layer: 3 },
    { site: "resid_post", layer: 7 },
  ],
  columns: [column(0, "␣The", "the same"), column(2, "pos 2"), column(null, "mean")],
  control: { meaning: "", draws: 1 },
  transfers: ["songs"],
  transfer_sizes: [2],
  transfer_chance: [[0.5]],
  code: {},
  provenance: [],
};

function floats(shape: number[], values: number[]) {
  return { dtype: "float32" as const, shape, data: new DataView(Float32Array.from(values).buffer) };
}

function ints(shape: number[], values: number[]) {
  return { dtype: "int32" as const, shape, data: new DataView(Int32Array.from(values).buffer) };
}

const NONE = Number.NaN;
const cells = [1, 1, 2, 3];
const arrays: ProbeArrays = {
  values: floats(cells, [NONE, 0.75, 1, NONE, 1, 0.25]),
  low: floats(cells, [NONE, 0.3, 0.5, NONE, 0.5, 0.1]),
  high: floats(cells, [NONE, 0.9, 1, NONE, 1, 0.6]),
  control: floats(cells, [NONE, 0.5, 0.5, NONE, 0.25, 0.5]),
  transfer: floats([1, ...cells], [NONE, 0.5, 0.5, NONE, 1, 0.5]),
  transfer_low: floats([1, ...cells], new Array(6).fill(NONE)),
  transfer_high: floats([1, ...cells], new Array(6).fill(NONE)),
  confusion: ints([1, 2, 3, 2, 2], [...new Array(4).fill(0), 2, 0, 1, 1, ...new Array(16).fill(5)]),
  mistakes: ints([1, 2, 3, 2], [-1, -1, 1, -1, -1, -1, -1, -1, -1, -1, 0, 1]),
  mistaken: ints([1, 2, 3, 2], [-1, -1, 0, -1, -1, -1, -1, -1, -1, -1, 1, 0]),
  margins: floats([1, 2, 3, 2], [NONE, NONE, 2.5, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 3, 1]),
  examples: [
    { tokens: ["␣sad"], token: null, number: 0, label: 0 },
    { tokens: ["␣glad"], token: null, number: 3, label: 1 },
  ],
  promoted: ints([1, 2, 3, 1, 2, 2], [...new Array(4).fill(-1), 1, 0, 2, -1, ...new Array(16).fill(-1)]),
  tokens: ["␣nice", "␣great", "␣awful"],
};

const data = new ProbeData(spec, arrays);

describe("the numbers of probes", () => {
  it("are found by measure, kind, row and column", () => {
    const { value, low, high, control } = data.figures(0, 0, { row: 0, column: 1 });
    expect([value, low, high, control].map((number) => Number(number.toFixed(2)))).toEqual([0.75, 0.3, 0.9, 0.5]);
    expect(data.isComputed({ row: 1, column: 0 })).toBe(false);
    expect(data.transferred(0, 0, 0, { row: 1, column: 1 }).value).toBe(1);
    expect(data.confusion(0, { row: 0, column: 1 })).toEqual([
      [2, 0],
      [1, 1],
    ]);
    expect(data.promoted(0, { row: 0, column: 1 })).toEqual([{ up: ["␣great", "␣nice"], down: ["␣awful"] }]);
  });

  it("tell mistakes with what they were read as", () => {
    expect(data.mistakes(0, { row: 0, column: 1 })).toMatchObject([{ number: 3, readAs: 0, margin: 2.5 }]);
    expect(data.mistakes(0, { row: 1, column: 2 }).map(({ number }) => number)).toEqual([0, 3]);
    expect(data.mistakes(0, { row: 1, column: 1 })).toEqual([]);
  });

  it("have a best cell, the first of equals, and cells by name", () => {
    expect(data.best(0, 0)).toEqual({ row: 0, column: 2 });
    expect(data.find({ site: "resid_post", layer: 7, pos: null })).toEqual({ row: 1, column: 2 });
    expect(data.find({ site: "resid_post", layer: 5, pos: null })).toBeNull();
    expect(data.choice({ row: 1, column: 1 })).toEqual({ site: "resid_post", layer: 7, pos: 2 });
  });

  it("refuse a spec that is not theirs", () => {
    expect(() => new ProbeData({ ...spec, rows: spec.rows.slice(1) }, arrays)).toThrow("6 values came for 3 cells");
  });

  it("are coloured from chance to 1", () => {
    expect(aboveChance({ spec, measure: 0 }, 0.5)).toBe(0);
    expect(aboveChance({ spec, measure: 0 }, 1)).toBe(1);
    expect(aboveChance({ spec, measure: 0 }, 0.25)).toBe(-0.5);
  });

  it("are written down as a table", () => {
    const lines = probesToCsv(data);
    expect(lines[0].trim().split(",").slice(-2)).toEqual(["selectivity", "transfer: songs"]);
    expect(lines[2].trim()).toBe("means,resid_post,3,2,pos 2,accuracy,0.75,0.3,0.9,0.5,0.5,0.25,0.5");
    expect(lines[1].trim()).toBe("means,resid_post,3,0,␣The,accuracy,,,,0.5,,,");
    expect(lines).toHaveLength(7);
  });
});

describe("the words of probes", () => {
  it("do not round what is not all up to all", () => {
    expect([1, 0.998, 0.994, 0.5, Number.NaN].map(formatShare)).toEqual(["1.00", "0.998", "0.99", "0.50", "no value"]);
    expect([0.251, -0.1, 0.001].map(formatDifference)).toEqual(["+0.25", "−0.10", "0.00"]);
  });

  it("name columns by their token where all texts have one", () => {
    expect(spec.columns.map(isToken)).toEqual([true, false, false]);
    expect([0, 1, 2].map((at) => placeOf(spec, at))).toEqual(["[␣The] (position 0)", "position 2", "mean over tokens"]);
  });

  it("name rows by their layer, and by their site where there are several", () => {
    expect(rowLabels(spec)).toEqual(["3", "7"]);
    expect(rowLabels({ ...spec, rows: [{ site: "resid_mid", layer: 3 }, spec.rows[0]] })).toEqual([
      "3 resid_mid",
      "3 resid_post",
    ]);
  });
});
