import type { Dtype, WireArray } from "../protocol/common";

/** What hosts hand over as a binary buffer: Jupyter a DataView, others a typed array or a bare buffer. */
export type Bytes = ArrayBuffer | ArrayBufferView;

interface TypedArrays {
  float32: Float32Array;
  /** As bits, which `floats` reads as numbers. */
  float16: Uint16Array;
  int32: Int32Array;
  uint16: Uint16Array;
  uint8: Uint8Array;
}

const constructors = {
  float32: Float32Array,
  float16: Uint16Array,
  int32: Int32Array,
  uint16: Uint16Array,
  uint8: Uint8Array,
};

/** Reads a buffer as numbers, in place where its offset is aligned, as a copy where it is not. */
export function numbers<D extends Dtype>(dtype: D, bytes: Bytes): TypedArrays[D] {
  const Numbers = constructors[dtype];
  const width = Numbers.BYTES_PER_ELEMENT;
  let { buffer, offset, length } = ArrayBuffer.isView(bytes)
    ? { buffer: bytes.buffer, offset: bytes.byteOffset, length: bytes.byteLength }
    : { buffer: bytes, offset: 0, length: bytes.byteLength };
  if (length % width !== 0) throw new Error(`${length} bytes are no whole number of ${dtype} values.`);
  if (offset % width !== 0) {
    buffer = buffer.slice(offset, offset + length);
    offset = 0;
  }
  return new Numbers(buffer as ArrayBuffer, offset, length / width) as TypedArrays[D];
}

/** Reads an array of the state, and refuses one whose buffer does not fill its shape. */
export function decode<D extends Dtype>(wire: WireArray, dtype: D): TypedArrays[D] {
  if (wire.dtype !== dtype) throw new Error(`an array of ${dtype} was expected, ${wire.dtype} came.`);
  const data = numbers(dtype, wire.data);
  const size = wire.shape.reduce((product, length) => product * length, 1);
  if (data.length !== size)
    throw new Error(`an array of shape ${wire.shape.join(" x ")} came with ${data.length} values.`);
  return data;
}

/** Reads an array of numbers that travelled in single or half precision. */
export function floats(wire: WireArray): Float32Array {
  return wire.dtype === "float16" ? Float32Array.from(decode(wire, "float16"), half) : decode(wire, "float32");
}

/** Reads whole numbers of either width. */
export function wholes(wire: WireArray): Int32Array {
  return wire.dtype === "uint16" ? Int32Array.from(decode(wire, "uint16")) : decode(wire, "int32");
}

/** The number that 16 bits stand for: a sign, 5 bits of exponent, 10 of fraction. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = (bits & 0x3ff) / 1024;
  if (exponent === 0) return sign * fraction * 2 ** -14;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction) * 2 ** (exponent - 15);
}
