import type { Dtype, WireArray } from "../protocol/common";

/** What hosts hand over as a binary buffer: Jupyter a DataView, others a typed array or a bare buffer. */
export type Bytes = ArrayBuffer | ArrayBufferView;

interface TypedArrays {
  float32: Float32Array;
  int32: Int32Array;
  uint16: Uint16Array;
  uint8: Uint8Array;
}

const constructors = { float32: Float32Array, int32: Int32Array, uint16: Uint16Array, uint8: Uint8Array };

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
