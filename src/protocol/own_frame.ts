/**
 * Frames that are kept: in bytes of their own, whatever becomes of the buffer they came in.
 *
 * @module
 */
import type { Frame } from "./frame.ts";

/** Bytes before a payload: the length and the command byte. */
const HEAD = 5;

/** A frame of its own, in bytes that belong to it. */
export class OwnFrame implements Frame {
  readonly code: number;
  readonly bytes: Uint8Array;
  readonly start = HEAD;
  readonly end: number;

  /** @param bytes A whole frame, head included. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.code = bytes[4];
    this.end = bytes.length;
  }

  /** A copy of a frame that lies elsewhere. */
  static copy(frame: Frame): OwnFrame {
    return new OwnFrame(frame.bytes.slice(frame.start - HEAD, frame.end));
  }

  /** Makes a frame with room for `length` bytes of payload. */
  static of(code: number, length: number): OwnFrame {
    const bytes = new Uint8Array(HEAD + length);
    frameHead(bytes, code, length);
    return new OwnFrame(bytes);
  }
}

/** Writes the head of a frame with `length` bytes of payload at the start of `bytes`. */
export function frameHead(bytes: Uint8Array, code: number, length: number): void {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, length + 1);
  bytes[4] = code;
}
