import { expect, test } from "vitest";
import type { CircuitArrays, CircuitSpec } from "../../src/protocol/head_circuits";
import { CircuitData } from "../../src/views/head_circuits/data";
import { circuitsToCsv } from "../../src/views/head_circuits/export_csv";
import { copyingOf, meaningOf } from "../../src/views/head_circuits/words";
import { wire } from "../fixture";

const spec: CircuitSpec = {
  title: "What does each head look for?",
  labels: ["a", "b"],
  layers: [3],
  heads: [0, 1],
  offset: 1,
  positions: "rotary",
  ids: "[1, 2]",
  answers: false,
};

const arrays: CircuitArrays = {
  // Of head 1: query b attends to key a.
  qk: wire("float32", [1, 2, 2, 2], [0, 0, 0, 0, 1, 2, 9, 4]),
  ov: wire("float32", [1, 2, 2, 2], [-7, 0, 0, 0, 5, 6, 7, 8]),
  copying: wire("float32", [1, 2], [-0.5, Number.NaN]),
  eigenvalues: wire("float32", [1, 2, 1, 2], [-1, 0, Number.NaN, Number.NaN]),
  by_offset: wire("float32", [1, 2, 2], [1, 0, 0, 1]),
  missing: {},
  code: [],
  provenance: [],
};

const data = new CircuitData(spec, arrays);
const second = { layer: 3, head: 1 };

test("rows of both maps are the token that is attended to", () => {
  expect(data.value("qk", second, 0, 1)).toBe(9);
  expect(data.value("qk", second, 1, 0)).toBe(2);
  expect(data.value("ov", second, 0, 1)).toBe(6);
});

test("the largest entries are those of a row or of all", () => {
  expect(data.top("qk", second, 1)).toEqual([{ row: 0, column: 1, value: 9 }]);
  expect(data.top("ov", second, 2, 1)).toEqual([
    { row: 1, column: 1, value: 8 },
    { row: 1, column: 0, value: 7 },
  ]);
});

test("colours end at the largest size, of a head or of all", () => {
  expect(data.largest("ov", second)).toBe(8);
  expect(data.largest("ov", { layer: 3, head: 0 })).toBe(7);
  expect(data.largest("ov", null)).toBe(8);
});

test("the head that copies most leads, as far as that is known", () => {
  expect(data.leading).toEqual({ layer: 3, head: 0 });
  const unknown = { ...arrays, copying: wire("float32", [1, 2], [Number.NaN, Number.NaN]) };
  expect(new CircuitData(spec, unknown).leading).toEqual({ layer: 3, head: 0 });
});

test("a table names queries first, as Python does", () => {
  const lines = circuitsToCsv({ spec, data }).join("").split("\n");
  expect(lines[0]).toBe("circuit,layer,head,first,second,value");
  expect(lines).toContain("qk,3,1,b,a,9");
  expect(lines).toContain("ov,3,1,a,b,6");
});

test("words say what positions do and what is not known", () => {
  expect(meaningOf(spec)).toContain("a token 1 token before the one that attends");
  expect(meaningOf({ ...spec, positions: "added" })).toContain("in the chart by offset alone");
  expect(copyingOf(Number.NaN)).toBe("copying not known");
  expect(copyingOf(0.5)).toBe("copying +0.50");
});
