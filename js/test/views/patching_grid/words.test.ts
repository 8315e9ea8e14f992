import { describe, expect, test } from "vitest";
import { palettes } from "../../../src/core/theme";
import type { GridSpec } from "../../../src/protocol/patching_grid";
import { codeOf } from "../../../src/views/patching_grid/code";
import { GridData } from "../../../src/views/patching_grid/data";
import { gridToCsv } from "../../../src/views/patching_grid/export_csv";
import { seen } from "../../../src/views/patching_grid/header";
import type { Scene } from "../../../src/views/patching_grid/scene";
import { ShownGrid } from "../../../src/views/patching_grid/shown";
import { tipContent } from "../../../src/views/patching_grid/tip";
import {
  axisNames,
  explain,
  labelsAt,
  rowLabel,
  spoken,
  titleOf,
  tokenLabel,
  whichPairs,
  whyNot,
  whySo,
} from "../../../src/views/patching_grid/words";
import { arrays, denoising, heads, latents, noising, pair, panel, spec, state, wire } from "../../fixture";

const cell = { panel: 0, row: 1, column: 1 };

function scene(of: GridSpec = spec(), value = 3, pairShown: number | null = 0, metric = 0): Scene {
  const data = new GridData(
    of,
    arrays(of, () => value),
  );
  const { job } = state();
  const grid = new ShownGrid(data, metric, pairShown);
  return {
    spec: of,
    data,
    grid,
    version: 0,
    metric,
    pair: pairShown,
    each: false,
    strips: null,
    limit: 1,
    job,
    selected: null,
    palette: palettes.light,
    theme: "light",
    size: "middle",
    width: 800,
  };
}

describe("what a pinned cell means", () => {
  test.each([
    [2.92, "98% of the way to the clean run."],
    [3, "all the way to the clean run."],
    [4, "past the clean run, 125% of the way to it."],
    [-2, "25% of the gap in the other direction"],
  ])("a logit difference of %f", (value, words) => {
    const text = explain(scene(spec(), value), cell);
    expect(text).toContain(
      "Copying resid_pre of layer 4 at ␣cat (position 1) from the clean run moves the logit difference from −1.00 to ",
    );
    expect(text).toContain(words);
  });

  test.each([
    [-0.9, "hardly moves the logit difference, from −1.00 to −0.90. On its own"],
    [-1.0001, "leaves the logit difference at −1.00. On its own"],
  ])("a logit difference that stays near %f", (value, words) =>
    expect(explain(scene(spec(), value), cell)).toContain(words),
  );

  test("noising copies the other way and counts from the clean run", () => {
    const text = explain(scene(spec({ story: noising }), -1), cell);
    expect(text).toContain(
      "of layer 4 at ␣dog (position 1) from the corrupt run moves the logit difference from +3.00 to −1.00: all the way to the corrupt run.",
    );
  });

  test("without a gap it says so", () =>
    expect(explain(scene(spec(), 3, 0, 1), cell)).toContain("There is no gap in this metric"));
});

test("a cell that was not run says why", () => {
  const of = spec();
  const given = scene(of);
  const data = new GridData(of, {
    ...arrays(of, () => -1),
    status: wire("uint8", [1, 2, 3, 4], new Array(24).fill(2)),
  });
  const known = { ...given, data, grid: new ShownGrid(data, 0, 0) };
  expect(whySo(known, { ...cell, column: 0 })).toBe("not run: both runs agree up to here, so it is exactly 0");
  expect(whySo(known, { ...cell, column: 2 })).toContain("so it is exactly 0");
  expect(whyNot(known, { ...cell, column: 2 })).toBeNull();
});

test("a screen reader hears place, effect, value and predictions", () => {
  expect(spoken(scene(), cell)).toBe(
    "resid_pre, layer 4, ␣cat at position 1: effect +1.00, logit difference +3.00 logits, says ␣Mary 0.50, ␣John 0.50",
  );
});

test("the title names both answers in their colours; pairs that differ have none", () => {
  expect(
    titleOf(spec(), 0)
      .map(({ text }) => text)
      .join(""),
  ).toBe("Where is what makes the model say Mary rather than John?");
  expect(
    titleOf(spec(), 0)
      .filter(({ accent }) => accent)
      .map(({ accent }) => accent),
  ).toEqual(["clean", "corrupt"]);
  const many = spec({ pairs: [pair(["a"], ["b"]), pair(["a"], ["b"], "␣Tom")] });
  expect(titleOf(many, null)[0].text).toContain("prefer the answer?");
});

test("a position where pairs differ does not pretend to be one token", () => {
  const many = spec({ pairs: [pair(["a", "␣Mary"], ["a", "␣Eve"]), pair(["a", "␣Tom"], ["a", "␣Tom"])] });
  expect(tokenLabel(many, null, 1)).toEqual({ text: "␣Mary…", accent: "clean" });
  expect(tokenLabel(many, null, 0)).toEqual({ text: "a", accent: null });
  expect(tokenLabel(many, 1, 1)).toEqual({ text: "␣Tom", accent: null });
  expect(labelsAt(many, null, 1, "corrupt")).toEqual(["␣Eve", "␣Tom"]);
});

test("the code of a cell is filled in from its templates", () => {
  expect(codeOf(scene(), cell)).toBe("h[4][1] [0, 1, 2, 3] [100, 101, 102, 103]\nprint(logits[7] - logits[8])");
  expect(codeOf(scene(), { ...cell, panel: 1 })).toBeNull();
});

test("what fills in for a pair gives way to what fills in for the mean of all", () => {
  const of = spec({
    pairs: [pair(["a", "b", "c", "d"], ["a", "x", "c", "d"]), pair(["a", "b", "c", "d"], ["a", "y", "c", "d"])],
    metrics: spec().metrics.map((metric) => ({ ...metric, baselines: [metric.baselines[0], metric.baselines[0]] })),
    code_sites: { resid_pre: "$places[$role] $samples" },
    code_fills: { places: ["{'end': [1]}", "{'end': [2]}"], samples: ["[0]", "[1]"] },
    code_mean: { samples: "range(2)" },
  });
  expect(codeOf(scene(of, 3, 1), cell)).toBe("{'end': [2]}[null] [1]");
  expect(codeOf(scene(of, 3, null), cell)).toBe("{'end': [1]}[null] range(2)");
});

test("CSV has every cell in the order of the frame, with tokens quoted where they must be", () => {
  const of = spec({ pairs: [pair(['"', ",", "c", "d"], ['"', "x", "c", "d"])] });
  const lines = gridToCsv(scene(of)).join("").trim().split("\n");
  expect(lines).toHaveLength(1 + 2 * 2 * 3 * 4);
  expect(lines[0]).toBe("prompt,site,layer,pos,token,token_corrupt,metric,value,effect,status");
  expect(lines[1]).toBe('0,resid_pre,0,0,"""","""",logit_diff,3,1,computed');
  expect(lines[2]).toBe('0,resid_pre,0,1,",",x,logit_diff,3,1,computed');
  expect(lines.at(-1)).toBe("0,mlp_out,8,3,d,d,rank,3,,computed");
});

test("a long prompt is shown around its differences and at both ends", () => {
  expect(seen(40, [3])).toEqual([[0, 40]]);
  expect(seen(2000, [777, 780])).toEqual([
    [0, 15],
    [763, 795],
    [1985, 2000],
  ]);
});

describe("cells of other kinds", () => {
  const note = "key-value head shared by query heads 0 to 3";
  const of = (given: Parameters<typeof panel>[1]) => spec({ panels: [panel("k", given)] });
  const at = { panel: 0, row: 1, column: 1 };

  test.each([
    [of({ columns: "head", labels: ["0", "6"] }), "Copying k of layer 4, head 6 from the clean run moves"],
    [of({ lines: heads }), "Copying k of layer 0, head 1 at ␣cat (position 1) from the clean run moves"],
    [of({ lines: latents }), "Copying k of layer 1, latent 532 at ␣cat (position 1) from the clean run moves"],
    [of({ columns: "neuron", labels: ["0", "70"] }), "Copying k of layer 4, neuron 70 from the clean run moves"],
    [of({ columns: "role", labels: ["S1", "S2"] }), "Copying k of layer 4 at S2 from the clean run moves"],
    [
      of({ columns: "head", labels: ["0", "1"], notes: ["", note] }),
      `all the way to the clean run. K${note.slice(1)}.`,
    ],
  ])("are explained by their own axes", (given, words) => {
    expect(explain(scene(given), at)).toContain(words);
  });

  test("rows of latents are named by their number, and what is no latent in words", () => {
    const given = of({ lines: latents });
    expect([0, 1, 2].map((row) => rowLabel(given, 0, row))).toEqual(["error", "532", "all"]);
    expect(axisNames(given, 0).rows).toBe("latent");
    expect(spoken(scene(given), { ...at, row: 0 })).toContain("layer 1, error of the dictionary");
  });

  test("a cell that stands for a whole layer has no further place", () => {
    const text = explain(scene(of({ columns: "layer" })), { ...at, column: 0 });
    expect(text).toContain("Copying k of layer 4 from the clean run moves");
    expect(spoken(scene(of({ columns: "layer" })), { ...at, column: 0 })).toMatch(/^k, layer 4: effect/);
  });

  test("a note is spoken", () => {
    const given = of({ columns: "head", labels: ["0", "1"], notes: ["", note] });
    expect(spoken(scene(given), at)).toContain(`k, layer 4, head 1: effect +1.00`);
    expect(spoken(scene(given), at)).toContain(note);
  });
});

test("a baseline that no run made is not called a run", () => {
  const alone = { ...pair(["a", "b", "c", "d"], []), corrupt_ids: [], differs: [] };
  const story = { ...noising, deed: "Replacing $what by its mean", sides: ["clean", "uniform prediction"] };
  const of = spec({ pairs: [alone], story, panels: [panel("z", { columns: "head", labels: ["0", "1"] })] });
  expect(explain(scene(of, 1), cell)).toBe(
    "Replacing z of layer 4, head 1 by its mean moves the logit difference from +3.00 to +1.00: 50% of the way to the uniform prediction.",
  );
  expect(explain(scene(of, 1, 0, 1), cell)).toContain("the same in the clean run and in the uniform prediction");
});

test("noise marks positions that have the same token on both sides", () => {
  const labels = ["a", "b", "c", "d"];
  const noised = { ...pair(labels, labels), differs: [1, 2] };
  const story = { ...denoising, sides: ["clean", "noised"], averaging: "values" as const, noun: "sample" };
  const of = spec({ pairs: [noised, noised], story });
  of.metrics.forEach((metric) => {
    metric.baselines = [metric.baselines[0], metric.baselines[0]];
  });
  expect(tokenLabel(of, null, 2)).toEqual({ text: "c", accent: "clean" });
  expect(whichPairs(of, null)).toBe("mean of 2 samples");
  const tip = tipContent(scene(of, 3, null), cell)
    .map(({ textContent }) => textContent)
    .join(" ");
  expect(tip).toContain("position 1 · noised");
  expect(tip).toContain("between 2 samples");
});

test("an answer is not asked for rather than itself", () => {
  const text = (of: GridSpec) =>
    titleOf(of, 0)
      .map(({ text: part }) => part)
      .join("");
  const itself = spec({ pairs: [pair(["a"], ["b"], "␣I", "␣I")] });
  expect(text(itself)).toBe("Where is what makes the model prefer the answer?");
  const story = { ...denoising, question: "What says $answer?" };
  expect(text({ ...itself, story })).toBe("What says I?");
});

test("an estimate says what it is, and what becomes of it", () => {
  const of = spec();
  const given = scene(of);
  const all = (status: number) =>
    new GridData(of, { ...arrays(of, () => 1), status: wire("uint8", [1, 2, 3, 4], new Array(24).fill(status)) });
  const data = all(4);
  const estimate = { ...given, data, grid: new ShownGrid(data, 0, 0) };
  expect(whySo(estimate, cell)).toContain("estimate");
  expect(explain(estimate, cell)).toContain("50% of the way to the clean run. Estimate");
  const running = { ...estimate, job: { ...given.job, state: "running" as const } };
  const stays = "estimate: by attribution patching, not by a run";
  expect(whySo(running, cell)).toBe(stays);
  const passing = { data: all(5), grid: new ShownGrid(all(5), 0, 0) };
  expect(whySo({ ...running, ...passing }, cell)).toBe(
    "estimated by attribution patching; the exact value will replace it",
  );
  expect(whySo({ ...estimate, ...passing }, cell)).toBe(stays);
  for (const { grid } of [estimate, passing]) expect(grid.survey(1).estimated).toBe(24);
  for (const shown of [estimate, { ...estimate, ...passing }])
    expect(gridToCsv(shown).join("")).toContain("0,resid_pre,0,0,The,The,logit_diff,1,1,0.5,estimated");
});

test("CSV of panels that differ has the columns of all, empty where they do not apply", () => {
  const of = spec({
    panels: [
      panel("z", { lines: heads }),
      panel("mlp_post", { columns: "neuron", labels: ["7"] }),
      panel("mlp_out", { columns: "layer" }),
      panel("resid_pre", { columns: "role", labels: ["S1"] }),
    ],
  });
  const lines = gridToCsv(scene(of)).join("").trim().split("\n");
  expect(lines[0]).toBe("prompt,site,layer,head,pos,token,token_corrupt,neuron,role,metric,value,effect,status");
  expect(lines[6]).toBe("0,z,0,1,1,␣cat,␣dog,,,logit_diff,3,1,computed");
  expect(lines[33]).toBe("0,mlp_post,0,,,,,7,,logit_diff,3,1,computed");
  expect(lines[39]).toBe("0,mlp_out,0,,,,,,,logit_diff,3,1,computed");
  expect(lines[45]).toBe("0,resid_pre,0,,,,,,S1,logit_diff,3,1,computed");
  expect(lines).toHaveLength(1 + 2 * (4 * 4 + 3 + 3 + 3));
});
