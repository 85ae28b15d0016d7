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

/** A small mail; a connection that has nothing to say keeps no more. */
const INITIAL_SIZE = 8192;
/** As large as a buffer gets by itself where reads fill it. */
const FILLED_SIZE = 65_536;
/** A larger buffer is given back once it is empty. */
const LARGEST_KEPT = 131_072;
/** Room behind a frame that is being collected, so that a read never has only a few bytes to fill. */
const READ_AHEAD = 4096;
const INITIAL_OUT = 512;

/** One frame where it lies: the payload is `bytes` from `start` up to `end`, the five bytes of its head are before it. */
export interface Frame {
  /** Command or reply byte. */
  readonly code: number;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** The complete frames that follow one another in `bytes`, without copying them. */
export function* framesIn(bytes: Uint8Array): Iterable<Frame> {
  for (let at = 0; at + 5 <= bytes.length;) {
    const length = (bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]) >>> 0;
    yield { code: bytes[at + 4], bytes, start: at + 5, end: at + 4 + length };
    at += 4 + length;
  }
}

/** Where readers that have nothing to keep put their buffers, and others find them. */
const spares: Uint8Array[] = [];
const MOST_SPARES = 8;
const NOTHING = new Uint8Array(0);

function takeSpare(size: number): Uint8Array | undefined {
  const at = spares.findIndex(({ length }) => length >= size);
  return at === -1 ? undefined : spares.splice(at, 1)[0];
}

/** Cuts bytes into frames. After `next()` gave true, `code`, `bytes`, `start` and `end` describe the frame. */
export class FrameReader implements Frame {
  /** Command or reply byte of the current frame. */
  code = 0;
  /** The bytes that hold the payload of the current frame, from `start` up to, not including, `end`. */
  bytes: Uint8Array;
  start = 0;
  end = 0;
  /** While true the current frame stays where it is: set it while a hook still works on the payload and bytes are read ahead. */
  held = false;

  readonly #limit: number;
  /** Where bytes arrive: `bytes` itself, until a held frame makes the two part. */
  #buffer: Uint8Array;
  #from = 0;
  #to = 0;
  #seen = false;
  /** The last read filled the buffer: there is more to be had at once. */
  #full = false;

  /**
   * @param limit The largest length field accepted, in bytes.
   * @param size The size of the buffer to begin with, in bytes.
   */
  constructor(limit: number = DEFAULT_FRAME_LIMIT, size: number = INITIAL_SIZE) {
    this.#limit = limit;
    this.bytes = this.#buffer = new Uint8Array(Math.min(size, limit + 4));
  }

  /** Bytes that are kept and not yet given out. */
  get buffered(): number {
    return this.#to - this.#from;
  }

  /** Size of the buffer in bytes: one frame and some room, or as much as came while nobody called `next()`. */
  get capacity(): number {
    return this.#buffer.length;
  }

  /**
   * The free part of the buffer, never empty, for a read straight into it; tell `commit` how much came.
   * The frame given out last stays valid until the next `space()` or `push()`, or longer if it is `held`.
   * Whoever reads ahead without taking frames out must bound `buffered`: the buffer grows as long as bytes come.
   */
  space(): Uint8Array {
    this.#room(1);
    // Most reads begin in an empty buffer, and then there is no view to make.
    return this.#to === 0 ? this.#buffer : this.#buffer.subarray(this.#to);
  }

  /** Counts `length` bytes, just written at the start of `space()`, as arrived. */
  commit(length: number): void {
    this.#to += length;
    this.#full = this.#to === this.#buffer.length;
  }

  /** Takes bytes that arrived elsewhere, by copying them. */
  push(chunk: Uint8Array): void {
    this.#room(chunk.length);
    this.#buffer.set(chunk, this.#to);
    this.#to += chunk.length;
  }

  /** Lets the buffer go, if nothing is in it that is still to be read; the next bytes find another. */
  rest(): void {
    if (this.#from !== this.#to || this.held || this.#buffer.length < INITIAL_SIZE) return;
    if (this.#buffer.length <= LARGEST_KEPT && spares.length < MOST_SPARES) spares.push(this.#buffer);
    this.#buffer = this.bytes = NOTHING;
    this.#from =
      this.#to =
      this.start =
      this.end =
        0;
  }

  /**
   * Steps to the next whole frame; false if more bytes are needed.
   *
   * @throws {ProtocolError} `zero-length`, `too-large`, or `foreign` where the bytes are those of another protocol.
   */
  next(): boolean {
    const bytes = this.#buffer;
    const at = this.#from;
    if (this.#to - at < 4) return false;
    const length = (bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]) >>> 0;
    if (length === 0 || length > this.#limit) this.#refuse(length);
    if (this.#to - at < 4 + length) return false;
    this.#seen = true;
    this.bytes = bytes;
    this.code = bytes[at + 4];
    this.start = at + 5;
    this.end = this.#from = at + 4 + length;
    return true;
  }

  /** Makes room for `count` bytes: by starting over, by moving what is left to the front, or by growing. */
  #room(count: number): void {
    const left = this.#to - this.#from;
    const pinned = this.held && this.bytes === this.#buffer;
    if (left === 0 && !pinned) {
      this.#from = this.#to = 0;
      const { length } = this.#buffer;
      if (length > LARGEST_KEPT) this.#buffer = new Uint8Array(INITIAL_SIZE);
      else if (this.#full && length < FILLED_SIZE) this.#buffer = new Uint8Array(2 * length);
      this.#full = false;
    }
    const size = this.#buffer.length;
    const fits = this.#to + count <= size;
    if (fits && this.#from === 0) return;
    // A frame that cannot end in this buffer has to move once; the earlier, the less there is to move.
    const need = left < 4 ? 0 : 4 + this.#pendingLength();
    if (fits && this.#from + need <= size) return;
    const wanted = this.#sizeFor(left, left + count, need);
    if (wanted === size && !pinned) {
      this.#buffer.copyWithin(0, this.#from, this.#to);
    } else {
      // A held frame keeps the old buffer, whole.
      const bytes = takeSpare(wanted) ?? new Uint8Array(wanted);
      bytes.set(this.#buffer.subarray(this.#from, this.#to));
      this.#buffer = bytes;
    }
    this.#from = 0;
    this.#to = left;
  }

  /** The size for `least` bytes or more, where `left` wait and the first frame of them has `need`. */
  #sizeFor(left: number, least: number, need: number): number {
    const size = this.#buffer.length;
    const collecting = need > left;
    // Moving a long queue of whole frames again and again would be quadratic, so half of the buffer has to be free.
    if (least <= size && (collecting || left <= size / 2)) return size;
    // A frame being collected: memory follows the bytes sent, up to its end and some room for what comes behind.
    return collecting ? Math.max(least, Math.min(2 * size, need + READ_AHEAD)) : Math.max(least, 2 * size);
  }

  /** The length field of the frame that is being collected; one that `next()` will refuse counts as the limit. */
  #pendingLength(): number {
    const bytes = this.#buffer;
    const at = this.#from;
    const length = (bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]) >>> 0;
    return Math.min(length, this.#limit);
  }

  #refuse(length: number): never {
    const head = this.#buffer.subarray(this.#from, Math.min(this.#to, this.#from + 16));
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
  /** The last view made of each buffer: most answers are as long as the one before, and need no new one. */
  #view: Uint8Array = this.#bytes;
  #spareView: Uint8Array = this.#spare;
  #length = 0;
  /** The end of the last complete frame: one whose making threw half-way never leaves. */
  #done = 0;

  /** Number of bytes in complete frames. */
  get length(): number {
    return this.#done;
  }

  /** All complete frames; valid until the next write. */
  view(): Uint8Array {
    if (this.#view.length !== this.#done) this.#view = this.#bytes.subarray(0, this.#done);
    return this.#view;
  }

  /** Gives out all complete frames and starts anew in another buffer: two take turns, so one can be on its way. */
  take(): Uint8Array {
    const taken = this.view();
    const bytes = this.#bytes;
    this.#bytes = this.#spare;
    this.#view = this.#spareView;
    // Replies are small; a buffer that a large edit has grown is not kept.
    const large = bytes.length > 65_536;
    this.#spare = large ? new Uint8Array(INITIAL_OUT) : bytes;
    this.#spareView = large ? this.#spare : taken;
    this.#length = this.#done = 0;
    return taken;
  }

  /** Takes back what was written after the first `length` bytes. */
  truncate(length: number): void {
    this.#length = this.#done = Math.min(this.#done, length);
  }

  /** Writes a frame without payload. */
  simple(code: number): this {
    this.#length = this.#done;
    this.#need(5);
    const bytes = this.#bytes;
    const at = this.#length;
    bytes[at] = bytes[at + 1] = bytes[at + 2] = 0;
    bytes[at + 3] = 1;
    bytes[at + 4] = code;
    this.#length = this.#done = at + 5;
    return this;
  }

  /** Appends frames that are complete already. */
  frames(bytes: Uint8Array): this {
    this.#length = this.#done;
    this.raw(bytes);
    this.#done = this.#length;
    return this;
  }

  /** Starts a frame, behind the last complete one; `end()` completes it. */
  begin(code: number): this {
    this.#length = this.#done;
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
    const at = this.#done;
    const length = this.#length - at - 4;
    const bytes = this.#bytes;
    bytes[at] = length >>> 24;
    bytes[at + 1] = length >>> 16;
    bytes[at + 2] = length >>> 8;
    bytes[at + 3] = length;
    this.#done = this.#length;
    return this;
  }

  #need(count: number): void {
    const wanted = this.#length + count;
    if (wanted <= this.#bytes.length) return;
    const bytes = new Uint8Array(Math.max(wanted, this.#bytes.length * 2));
    bytes.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = this.#view = bytes;
  }
}
