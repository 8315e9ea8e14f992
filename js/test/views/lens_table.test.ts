import { expect, test } from "vitest";
import { floats } from "../../src/core/array";
import type { LensArrays, LensSpec } from "../../src/protocol/lens_table";
import { LensData } from "../../src/views/lens_table/data";
import { cellAt, cellOf, ghostAt, nameCell } from "../../src/views/lens_table/places";
import { inCell } from "../../src/views/lens_table/words";

const wire = (dtype: "float32" | "int32", shape: number[], values: number[]) => {
  const data = dtype === "float32" ? Float32Array.from(values) : Int32Array.from(values);
  return { dtype, shape, data: new DataView(data.buffer) };
};

const spec: LensSpec = {
  prompts: [{ name: "prompt", labels: ["a", "b"], starts: [0] }],
  ids: [[7, 8]],
  rows: [
    { site: "resid_pre", layer: 0 },
    { site: "resid_mid", layer: 0 },
    { site: "resid_post", layer: 0 },
  ],
  lens: "logit lens",
  follows: false,
  code: {},
  provenance: [],
};

function unread(): LensArrays {
  const nan = (...shape: number[]) => wire("float32", shape, Array(shape.reduce((a, b) => a * b)).fill(Number.NaN));
  return {
    answers: ["x", "y"],
    logprobs: nan(1, 3, 2, 2),
    ranks: nan(1, 3, 2, 2),
    entropy: nan(1, 3, 2),
    kl: nan(1, 3, 2),
    log_sums: nan(1, 3, 2),
    apart: wire("float32", [0, 3, 2], []),
    top: wire("int32", [1, 3, 2, 2], Array(12).fill(0)),
    top_probs: nan(1, 3, 2, 2),
    vocab: [],
    vocab_ids: wire("int32", [0], []),
  };
}

test("cells that come later go where they belong, with tokens that were not known before", () => {
  const data = new LensData(spec, unread());
  const buffers = [
    wire("int32", [1], [4]), // row 2, position 0
    ...[[-1, -2], [0, 3], [0.5], [0.25], [10], []].map((values) => wire("float32", [values.length], values)),
    wire("int32", [2], [1, 0]),
    wire("float32", [2], [0.75, 0.125]),
  ].map(({ data: bytes }) => bytes);
  data.apply({ kind: "cells", seq: 1, vocab: ["q", "b"], vocab_ids: [9, 8] }, buffers);
  const at = data.at(0, 2, 0);
  expect(data.top(at)).toEqual([
    { token: 8, label: "b", prob: 0.75 },
    { token: 9, label: "q", prob: 0.125 },
  ]);
  expect([data.logprob(at, 1), data.rank(at, 1), data.logit(at, 0), data.entropy(at), data.kl(at)]).toEqual([
    -2, 3, 9, 0.5, 0.25,
  ]);
  expect(data.hits(0, 2, 0)).toBe(true); // after a comes b, token 8
  expect(data.top(data.at(0, 2, 1))).toEqual([]);
  expect(data.complete).toBe(false);
});

test("half precision is read as numbers", () => {
  const bits = Uint16Array.from([0x0000, 0x3c00, 0xc000, 0x3555, 0x7bff, 0x0001, 0x7c00, 0x7e00]);
  const read = floats({ dtype: "float16", shape: [8], data: new DataView(bits.buffer) });
  const expected = [0, 1, -2, 0.333251953125, 65504, 2 ** -24, Number.POSITIVE_INFINITY, Number.NaN];
  expect(Array.from(read)).toEqual(expected.map(Math.fround));
});

test("places are found by either of their names, and those of other views by what they are about", () => {
  expect(cellOf(spec, { site: "resid_pre", layer: 1, pos: 1, prompt: 0 })).toEqual({ row: 2, pos: 1, prompt: 0 });
  expect(cellOf(spec, { site: "resid_post", layer: 1, pos: 1, prompt: 0 })).toBeNull();
  expect(cellOf(spec, { site: "resid_post", layer: 0, pos: 2, prompt: 0 })).toBeNull();
  expect(nameCell(spec, { row: 1, pos: 0, prompt: 0 })).toEqual({ site: "resid_mid", layer: 0, pos: 0, prompt: 0 });
  const here = { row: 0, pos: 1, prompt: 0 };
  expect(cellAt(spec, { site: "z", layer: 0, head: 3 }, here)).toEqual({ ...here, row: 1 });
  expect(cellAt(spec, { layer: 0, pos: 0 }, here)).toEqual({ ...here, row: 2, pos: 0 });
  expect(cellAt(spec, { layer: 5 }, here)).toBeNull();
  expect(cellAt(spec, { head: 5 }, here)).toBeNull();
  expect(ghostAt(spec, [0, 2], { layer: 0 })).toEqual({ row: 1, column: -1 });
  expect(ghostAt(spec, [0, 2], { pos: 1 })).toEqual({ row: -1, column: 1 });
  expect(ghostAt(spec, [0, 2], { pos: 9 })).toBeNull();
});

test("numbers in cells keep two digits where they are small", () => {
  expect([0.0099, 0.026, 0.13, 4.94, 16.6].map((value) => inCell(value, false))).toEqual(
    ["0.01", "0.03", "0.13", "4.94", "16.6"], // what is cut to 0.00… would read as nothing
  );
  expect([-0.026, 0.026, -16.6].map((value) => inCell(value, true))).toEqual(["−0.03", "+0.03", "−16.6"]);
});
