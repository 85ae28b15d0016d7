/**
 * Frames that are kept: in bytes of their own, whatever becomes of the buffer they came in.
 *
 * @module
 */
import type { Frame } from "./frame.ts";
import { kept, room } from "./kept.ts";

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
    return new OwnFrame(kept(frame.bytes, frame.start - HEAD, frame.end));
  }

  /** Makes a frame with room for `length` bytes of payload. */
  static of(code: number, length: number): OwnFrame {
    const bytes = room(HEAD + length);
    frameHead(bytes, code, length);
    return new OwnFrame(bytes);
  }
}

/** Writes the head of a frame with `length` bytes of payload at the start of `bytes`. */
export function frameHead(bytes: Uint8Array, code: number, length: number): void {
  const word = length + 1;
  bytes[0] = word >>> 24;
  bytes[1] = word >>> 16;
  bytes[2] = word >>> 8;
  bytes[3] = word;
  bytes[4] = code;
}
