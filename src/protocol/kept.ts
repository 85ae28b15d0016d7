/**
 * Room for small pieces of bytes that outlive the buffer they came in.
 *
 * A new ArrayBuffer costs Deno 1 to 3 µs, however small it is: more than everything else that is done with a header
 * field. So pieces share blocks. A block is let go when nobody holds a piece of it any more.
 *
 * @module
 */

/** Bytes of a block: the header of some dozen mails. Large ones cost less for each byte. */
const BLOCK = 65_536;
/** Longer pieces get an ArrayBuffer of their own. */
const LONGEST = BLOCK / 16;

/** Up to so many bytes a loop is faster than a call. */
const SHORT = 128;

let block = new Uint8Array(0);
let used = 0;

/**
 * Room for `length` bytes, all 0. Its `buffer` is shared with others, so it goes to no filter.
 */
export function room(length: number): Uint8Array {
  if (length > LONGEST) return new Uint8Array(length);
  if (used + length > block.length) {
    block = new Uint8Array(BLOCK);
    used = 0;
  }
  const start = used;
  used += length;
  return block.subarray(start, used);
}

/** A copy of the bytes from `start` up to `end`. Its `buffer` is shared with others, so it goes to no filter. */
export function kept(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const copy = room(end - start);
  copyBytes(bytes, start, end, copy, 0);
  return copy;
}

/** Copies the bytes from `start` up to `end` to `at` in `into`. Short ones in a loop: faster than the call and its view. */
export function copyBytes(
  bytes: Uint8Array,
  start: number,
  end: number,
  into: Uint8Array,
  at: number,
): void {
  const length = end - start;
  if (length > SHORT) into.set(bytes.subarray(start, end), at);
  else for (let i = 0; i < length; i++) into[at + i] = bytes[start + i];
}
