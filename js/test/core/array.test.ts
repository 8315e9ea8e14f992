import { expect, test } from "vitest";
import { decode, numbers } from "../../src/core/array";
import { unaligned, wire } from "../fixture";

const floats = Float32Array.from([1.5, -2, Number.NaN, 4]);

test.each([0, 3, 4, 7, 8])("a DataView at byte offset %i is read from there, and ends where it ends", (offset) => {
  expect([...numbers("float32", unaligned(floats.buffer, offset))]).toEqual([...floats]);
});

test("hosts may hand over a bare buffer or bytes", () => {
  expect([...numbers("float32", floats.buffer)]).toEqual([...floats]);
  expect([...numbers("int32", new Uint8Array(Int32Array.from([7, -1]).buffer))]).toEqual([7, -1]);
});

test("an aligned buffer is read in place, so that rows written into it stay with the model", () => {
  const data = new DataView(floats.slice().buffer);
  numbers("float32", data)[0] = 9;
  expect(data.getFloat32(0, true)).toBe(9);
});

test("a buffer that does not fit its shape or its dtype is refused in words", () => {
  expect(() => decode(wire("uint8", [2, 3], [1, 2, 3]), "uint8")).toThrow("shape 2 x 3 came with 3 values");
  expect(() => decode(wire("uint8", [3], [1, 2, 3]), "int32")).toThrow("int32 was expected, uint8 came");
  expect(() => numbers("int32", new Uint8Array(5))).toThrow("5 bytes");
});
