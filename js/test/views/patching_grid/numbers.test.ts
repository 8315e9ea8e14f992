import { expect, test } from "vitest";
import { findCell, GridData, nameCell } from "../../../src/views/patching_grid/data";
import { ShownGrid } from "../../../src/views/patching_grid/shown";
import { arrays, denoising, heads, latents, noising, pair, panel, spec, unaligned, wire } from "../../fixture";

const two = () =>
  spec({
    pairs: [pair(["a", "b", "c", "d"], ["a", "x", "c", "d"]), pair(["a", "b", "c", "d"], ["a", "y", "c", "d"])],
    metrics: [
      {
        term: { name: "m", label: "m", meaning: "", unit: "" },
        baselines: [
          [3, -1],
          [1, 0],
        ],
      },
    ],
  });

test("every axis is where it should be: pair, panel, row, column", () => {
  const grid = new GridData(two(), arrays(two()));
  expect(grid.valueAt(0, 1, grid.at({ panel: 1, row: 2, column: 3 }))).toBe(1123);
  expect(grid.valueAt(0, 0, grid.at({ panel: 0, row: 1, column: 2 }))).toBe(12);
});

test("the effect is the share of the gap from host to donor, in both directions", () => {
  const effects = (direction: "denoising" | "noising", value: number) => {
    const of = spec({ story: direction === "denoising" ? denoising : noising });
    return new GridData(
      of,
      arrays(of, () => value),
    ).effectAt(0, 0, 0);
  };
  expect([3, -1, 1, 7].map((value) => effects("denoising", value))).toEqual([1, 0, 0.5, 2]);
  expect([3, -1, 1, 7].map((value) => effects("noising", value) + 0)).toEqual([0, 1, 0.5, -1]);
});

test("a metric without a gap has no effect", () => {
  expect(new GridData(spec(), arrays(spec())).effectAt(1, 0, 0)).toBeNaN();
});

test("a baseline that is no finite number leaves the effect undefined instead of counting as 0", () => {
  const of = spec();
  of.metrics[0].baselines = [[3, null as unknown as number]];
  expect(new GridData(of, arrays(of)).effectAt(0, 0, 0)).toBeNaN();
});

test("the mean is over the effects of pairs, the spread their sample standard deviation", () => {
  const of = two();
  // Effects of the first pair are (v + 1) / 4, those of the second v.
  const grid = new ShownGrid(
    new GridData(
      of,
      arrays(of, (p) => (p ? 1 : 1)),
    ),
    0,
    null,
  );
  const cell = { panel: 1, row: 2, column: 3 };
  expect(grid.effect[grid.at(cell)]).toBe(0.75);
  expect(grid.uncertainty(cell)?.spread).toBeCloseTo(Math.sqrt(2 * 0.25 ** 2));
  expect(new ShownGrid(grid.data, 0, 1).uncertainty(cell)).toBeNull();
});

test("a mean takes only the pairs that are computed, and a cell is pending until one is", () => {
  const of = two();
  const given = arrays(of, (p) => (p ? Number.NaN : 3));
  const status = new Uint8Array(48).fill(1);
  status.fill(0, 24);
  const grid = new ShownGrid(new GridData(of, { ...given, status: wire("uint8", [2, 2, 3, 4], status) }), 0, null);
  expect(grid.effect[0]).toBe(1);
  expect(grid.status[0]).toBe(1);
});

test("a message of rows lands where its indices say, for every metric and pair", () => {
  const of = two();
  const data = new GridData(of, arrays(of));
  const values = Float32Array.from({ length: 2 * 2 * 4 }, (_, i) => 5000 + i); // (metric 1, row 2, pair 2, pos 4)
  const ids = Int32Array.from({ length: 2 * 2 * 4 * 2 }, () => 42);
  data.apply(
    {
      kind: "rows",
      seq: 1,
      rows: [
        [1, 2],
        [0, 1],
      ],
      vocab: { 42: "␣new" },
    },
    [values, new Uint8Array(16).fill(2), ids, new Float32Array(32).fill(0.25)].map((array) =>
      unaligned(array.buffer as ArrayBuffer),
    ),
  );
  expect(data.valueAt(0, 0, data.at({ panel: 1, row: 2, column: 3 }))).toBe(5003);
  expect(data.valueAt(0, 1, data.at({ panel: 1, row: 2, column: 0 }))).toBe(5004);
  expect(data.valueAt(0, 1, data.at({ panel: 0, row: 1, column: 3 }))).toBe(5015);
  expect(data.valueAt(0, 1, data.at({ panel: 0, row: 2, column: 3 }))).toBe(1023);
  expect(data.statusAt(1, data.at({ panel: 0, row: 1, column: 0 }))).toBe(2);
  expect(data.top(1, { panel: 0, row: 1, column: 0 })[0]).toEqual({ label: "␣new", prob: 0.25 });
});

test("a row that the grid does not have is not written", () => {
  const of = two();
  const data = new GridData(of, arrays(of));
  const buffers = [new Float32Array(8), new Uint8Array(8), new Int32Array(16), new Float32Array(16)].map(
    (a) => a.buffer,
  );
  data.apply({ kind: "rows", seq: 1, rows: [[5, 0]], vocab: {} }, buffers);
  expect(data.valueAt(0, 0, data.at({ panel: 0, row: 0, column: 1 }))).toBe(1);
});

test("what was estimated stays known when an exact value comes, for the metric that was asked for", () => {
  const of = spec();
  const status = wire("uint8", [1, 2, 3, 4], new Array(24).fill(1).fill(5, 4, 8).fill(0, 8, 12));
  const data = new GridData(of, { ...arrays(of), status });
  const [exact, passing, pending] = [0, 1, 2].map((row) => data.at({ panel: 0, row, column: 2 }));
  expect([exact, passing, pending].map((at) => data.estimateAt(0, 0, at))).toEqual([Number.NaN, 12, Number.NaN]);
  expect(data.estimateAt(1, 0, passing)).toBeNaN();
  const buffers = [new Float32Array(16).fill(99), new Uint8Array(8).fill(1), new Int32Array(16), new Float32Array(16)];
  const rows = [
    [0, 1],
    [0, 2],
  ];
  data.apply(
    { kind: "rows", seq: 1, rows, vocab: {} },
    buffers.map(({ buffer }) => buffer),
  );
  expect(data.valueAt(0, 0, passing)).toBe(99);
  expect([passing, pending].map((at) => data.estimateAt(0, 0, at))).toEqual([12, Number.NaN]);
  const values = Array.from({ length: 24 }, (_, i) => (i === exact ? 7 : Number.NaN));
  const later = new GridData(of, { ...arrays(of), estimates: wire("float32", [1, 2, 3, 4], values) });
  expect([later.hasEstimates, later.estimateAt(0, 0, exact), later.estimateAt(1, 0, exact)]).toEqual([
    true,
    7,
    Number.NaN,
  ]);
  expect(new GridData(of, arrays(of)).hasEstimates).toBe(false);
});

test("a cell is found by its site's name and its layer's number, and refused outside the grid", () => {
  expect(findCell(spec(), { site: "mlp_out", layer: 4, pos: 3 })).toEqual({ panel: 1, row: 1, column: 3 });
  for (const wrong of [{ site: "z" }, { layer: 1 }, { pos: 4 }, { pos: -1 }, { pos: 0.5 }]) {
    expect(findCell(spec(), { site: "mlp_out", layer: 4, pos: 3, ...wrong })).toBeNull();
  }
});

test("the survey counts what lies beyond the scale, and the strongest cell is found by magnitude", () => {
  const of = spec();
  const grid = new ShownGrid(
    new GridData(
      of,
      arrays(of, (_, s, l, t) => (s === 1 && l === 2 && t === 1 ? -9 : 3)),
    ),
    0,
    0,
  );
  expect(grid.survey(1)).toMatchObject({ beyond: 1, extreme: -2, largest: 2 });
  expect(grid.survey(2).beyond).toBe(0);
  expect(grid.strongest()).toEqual({ panel: 1, row: 2, column: 1 });
});

/** A wide panel of heads, and beside it one with fewer heads and one with a single column. */
const mixed = () =>
  spec({
    panels: [
      panel("z", { columns: "head", labels: ["0", "1", "2"] }),
      panel("k", { columns: "head", labels: ["0"], notes: ["key-value head shared by query heads 0 to 2"] }),
      panel("mlp_out", { columns: "layer" }),
    ],
  });

test.each([
  [mixed(), { panel: 0, row: 1, column: 2 }, { site: "z", layer: 4, head: 2 }],
  [mixed(), { panel: 2, row: 2, column: 0 }, { site: "mlp_out", layer: 8 }],
  [
    spec({ panels: [panel("z", { lines: heads })] }),
    { panel: 0, row: 3, column: 2 },
    { site: "z", layer: 1, head: 1, pos: 2 },
  ],
  [
    spec({ panels: [panel("resid_post", { lines: latents })] }),
    { panel: 0, row: 1, column: 2 },
    { site: "resid_post", layer: 1, latent: 532, pos: 2 },
  ],
  [
    spec({ panels: [panel("mlp_post", { columns: "neuron", labels: ["5", "70"] })] }),
    { panel: 0, row: 0, column: 1 },
    { site: "mlp_post", layer: 0, neuron: 70 },
  ],
  [
    spec({ panels: [panel("resid_pre", { columns: "role", labels: ["S1", "END"] })] }),
    { panel: 0, row: 1, column: 1 },
    { site: "resid_pre", layer: 4, role: "END" },
  ],
])("a cell of any kind has a name, and is found by it", (of, index, name) => {
  expect(nameCell(of, index)).toEqual(name);
  expect(findCell(of, name)).toEqual(index);
});

test("a narrow panel has no cell where only a wider one has", () => {
  for (const wrong of [
    { site: "k", layer: 4, head: 1 },
    { site: "z", layer: 4 },
    { site: "z", layer: 4, pos: 0 },
  ]) {
    expect(findCell(mixed(), wrong)).toBeNull();
  }
});

test("cells beyond a panel are never counted, strongest or averaged, whatever the arrays hold there", () => {
  const of = mixed();
  const grid = new ShownGrid(
    new GridData(
      of,
      arrays(of, (_, p, __, column) => (column > 0 && p > 0 ? 1e6 : p)),
    ),
    0,
    null,
  );
  expect(grid.strongest()).toMatchObject({ panel: 2, column: 0 });
  expect(grid.strongest(1)).toMatchObject({ panel: 1, column: 0 });
  expect(grid.survey(1)).toMatchObject({ beyond: 0, largest: 0.75, undefined: 0, pending: 0 });
});

test("an array that is too small for its panels is refused in words", () => {
  const of = mixed();
  expect(() => new GridData(of, arrays(spec()))).toThrow("the grid has 1 pairs of 3 x 3, 3 x 1, 3 x 1 cells");
});

test("samples are averaged as values, so that one with next to no gap does not count for more", () => {
  const of = two();
  of.story = { ...denoising, averaging: "values" };
  of.metrics[0].baselines = [
    [4, 0],
    [4, 3.9],
  ];
  // The patch restores 2 of 4 in the first sample, and overshoots by 1 in the second, ten times its gap of 0.1.
  const grid = new ShownGrid(
    new GridData(
      of,
      arrays(of, (p) => (p ? 4.9 : 2)),
    ),
    0,
    null,
  );
  expect(grid.effect[0]).toBeCloseTo((2 + 1) / 2 / ((4 + 0.1) / 2));
  const single = new ShownGrid(grid.data, 0, 1);
  expect(single.effect[0]).toBeCloseTo(10);
});

test("the confidence interval is Student's, and the odd pair out is named", () => {
  const labels = ["a", "b", "c", "d"];
  const pairs = [0, 1, 2, 3].map(() => pair(labels, ["a", "x", "c", "d"]));
  const of = spec({
    pairs,
    metrics: [{ term: { name: "m", label: "m", meaning: "", unit: "" }, baselines: pairs.map(() => [1, 0]) }],
  });
  const given = [0.2, 0.4, 0.3, 0.9];
  const grid = new ShownGrid(
    new GridData(
      of,
      arrays(of, (p) => given[p]),
    ),
    0,
    null,
  );
  const cell = { panel: 0, row: 0, column: 0 };
  // scipy.stats.t.interval(0.95, 3, loc=0.45, scale=scipy.stats.sem([0.2, 0.4, 0.3, 0.9])) is 0.45 -+ 0.4947.
  expect(grid.uncertainty(cell)?.interval).toBeCloseTo(0.4947, 3);
  expect(grid.odd(cell)?.pair).toBe(3);
  expect(new ShownGrid(grid.data, 0, 2).odd(cell)).toBeNull();
});

test("a mean that takes in an estimate is one, until all pairs are measured", () => {
  const of = two();
  const status = new Uint8Array(48).fill(1);
  status[0] = 4;
  const grid = new ShownGrid(new GridData(of, { ...arrays(of), status: wire("uint8", [2, 2, 3, 4], status) }), 0, null);
  expect([grid.status[0], grid.status[1]]).toEqual([4, 1]);
  expect(grid.survey(1).estimated).toBe(1);
});
