/**
 * Frames: `u32 length | u8 code | payload`, the length counting the code (milter-protocol, section 1).
 *
 * Reader and writer keep one growing buffer each and move a cursor over it; neither allocates for a frame.
 *
 * @module
 */
import { DATA_SIZE_1M } from "./codes.ts";
import { ProtocolError } from "./errors.ts";
import { foreignProtocol } from "./foreign.ts";

/** Default limit for the length field of a frame: the largest negotiable data size, and some room. */
export const DEFAULT_FRAME_LIMIT = DATA_SIZE_1M + 4096;

const INITIAL_SIZE = 16_384;
const INITIAL_OUT = 512;

/** Cuts bytes into frames. After `next()` gave true, `code`, `bytes`, `start` and `end` describe the frame. */
export class FrameReader {
  /** Command or reply byte of the current frame. */
  code = 0;
  /** The buffer that holds the payload of the current frame, from `start` up to, not including, `end`. */
  bytes: Uint8Array;
  start = 0;
  end = 0;
  /** While true the current frame stays where it is: set it while a hook still works on the payload and bytes are read ahead. */
  held = false;

  readonly #limit: number;
  #from = 0;
  #to = 0;
  #seen = false;

  /** @param limit The largest length field accepted, in bytes. */
  constructor(limit: number = DEFAULT_FRAME_LIMIT) {
    this.#limit = limit;
    this.bytes = new Uint8Array(Math.min(INITIAL_SIZE, limit + 4));
  }

  /** Bytes that are kept and not yet given out. */
  get buffered(): number {
    return this.#to - this.#from;
  }

  /**
   * The free part of the buffer, never empty, for a read straight into it; tell `commit` how much came.
   * The frame given out last stays valid until the next `space()` or `push()`, or longer if it is `held`.
   */
  space(): Uint8Array {
    if (this.#from === this.#to && !this.held) {
      this.#from = this.#to = 0;
    } else if (this.#to === this.bytes.length) {
      this.#room();
    }
    return this.bytes.subarray(this.#to);
  }

  /** Counts `length` bytes, just written at the start of `space()`, as arrived. */
  commit(length: number): void {
    this.#to += length;
  }

  /** Takes bytes that arrived elsewhere, by copying them. */
  push(chunk: Uint8Array): void {
    let rest = chunk;
    while (rest.length > 0) {
      const space = this.space();
      const part = rest.subarray(0, space.length);
      space.set(part);
      this.commit(part.length);
      rest = rest.subarray(part.length);
    }
  }

  /**
   * Steps to the next whole frame; false if more bytes are needed.
   *
   * @throws {ProtocolError} `zero-length`, `too-large`, or `foreign` where the bytes are those of another protocol.
   */
  next(): boolean {
    const { bytes } = this;
    const at = this.#from;
    if (this.#to - at < 4) return false;
    const length = (bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]) >>> 0;
    if (length === 0 || length > this.#limit) this.#refuse(length);
    if (this.#to - at < 4 + length) return false;
    this.#seen = true;
    this.code = bytes[at + 4];
    this.start = at + 5;
    this.end = this.#from = at + 4 + length;
    return true;
  }

  /** Room for more: first by moving what is left to the front, then by growing up to one whole frame. */
  #room(): void {
    const left = this.#to - this.#from;
    const need = left >= 4 ? 4 + this.#pendingLength() : 0;
    // A frame being collected gets its whole size at once only when part of it has come: memory follows bytes sent.
    const size = need > this.bytes.length || left === this.bytes.length
      ? Math.min(Math.max(need, this.bytes.length), this.bytes.length * 2)
      : this.bytes.length;
    if (size === this.bytes.length && !this.held) {
      this.bytes.copyWithin(0, this.#from, this.#to);
    } else {
      // A held frame keeps the old buffer, whole.
      const bytes = new Uint8Array(size);
      bytes.set(this.bytes.subarray(this.#from, this.#to));
      this.bytes = bytes;
    }
    this.#from = 0;
    this.#to = left;
  }

  #pendingLength(): number {
    const { bytes } = this;
    const at = this.#from;
    return Math.min(
      (bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]) >>> 0,
      this.#limit,
    );
  }

  #refuse(length: number): never {
    const head = this.bytes.subarray(this.#from, Math.min(this.#to, this.#from + 16));
    const foreign = this.#seen ? undefined : foreignProtocol(head);
    if (foreign !== undefined) {
      throw new ProtocolError("foreign", `Cannot read a milter frame: ${foreign}`);
    }
    if (length === 0) {
      throw new ProtocolError("zero-length", "Cannot read a milter frame: its length is 0, the least is 1");
    }
    throw new ProtocolError(
      "too-large",
      `Cannot read a milter frame: its length is ${length}, the limit ${this.#limit}`,
    );
  }
}

/** Builds frames one behind the other in one buffer, to leave in one write. */
export class FrameWriter {
  #bytes: Uint8Array = new Uint8Array(INITIAL_OUT);
  #spare: Uint8Array = new Uint8Array(INITIAL_OUT);
  #length = 0;
  #frame = 0;

  /** Number of bytes written. */
  get length(): number {
    return this.#length;
  }

  /** All that was written; valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Gives out all that was written and starts anew in another buffer: two take turns, so one can be on its way. */
  take(): Uint8Array {
    const taken = this.view();
    const next = this.#spare;
    // Replies are small; a buffer that a large edit has grown is not kept.
    this.#spare = this.#bytes.length > 65_536 ? new Uint8Array(INITIAL_OUT) : this.#bytes;
    this.#bytes = next;
    this.#length = 0;
    return taken;
  }

  /** Takes back what was written after the first `length` bytes. */
  truncate(length: number): void {
    this.#length = Math.min(this.#length, length);
  }

  /** Writes a frame without payload. */
  simple(code: number): this {
    this.#need(5);
    const bytes = this.#bytes;
    const at = this.#length;
    bytes[at] = bytes[at + 1] = bytes[at + 2] = 0;
    bytes[at + 3] = 1;
    bytes[at + 4] = code;
    this.#length = at + 5;
    return this;
  }

  /** Starts a frame; `end()` completes it. */
  begin(code: number): this {
    this.#frame = this.#length;
    this.#need(5);
    this.#bytes[this.#length + 4] = code;
    this.#length += 5;
    return this;
  }

  u8(value: number): this {
    this.#need(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  u16(value: number): this {
    return this.u8(value >>> 8).u8(value);
  }

  u32(value: number): this {
    return this.u8(value >>> 24).u8(value >>> 16).u8(value >>> 8).u8(value);
  }

  raw(value: Uint8Array): this {
    this.#need(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** Text closed by a NUL. */
  text(value: Uint8Array): this {
    return this.raw(value).u8(0);
  }

  /** Completes the frame that `begin()` started. */
  end(): this {
    const length = this.#length - this.#frame - 4;
    const bytes = this.#bytes;
    const at = this.#frame;
    bytes[at] = length >>> 24;
    bytes[at + 1] = length >>> 16;
    bytes[at + 2] = length >>> 8;
    bytes[at + 3] = length;
    return this;
  }

  #need(count: number): void {
    const wanted = this.#length + count;
    if (wanted <= this.#bytes.length) return;
    const bytes = new Uint8Array(Math.max(wanted, this.#bytes.length * 2));
    bytes.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = bytes;
  }
}
