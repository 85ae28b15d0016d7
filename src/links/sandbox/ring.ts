/**
 * Rings: bytes from one thread to another through shared memory, one writer and one reader, in records.
 *
 * The other side is never trusted: its index is checked each time it is read, and a record is copied out before
 * anything looks at it, so what is looked at cannot change.
 *
 * One side shares its isolate with a filter, which may replace any built-in method to get hold of the memory it is
 * called on. So methods that touch the shared memory are captured before a filter loads, and words are read and written
 * by index, which nobody can replace.
 *
 * @module
 */

const { load, store, notify, waitAsync } = Atomics;
const { apply } = Reflect;
const Bytes = Uint8Array;
const { set, subarray } = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;

/** Bytes of a record's head: length of the payload, session, kind. */
const HEAD = 12;
/** Index of the writer's and the reader's position in the control words; both count bytes and wrap at 2^32. */
const WRITE = 0;
const READ = 1;
/** Control words at the front, on a cache line of their own each. */
const CONTROL = 128;
const READ_WORD = 16;

/** A record: `kind` and `session` are the users' to define. */
export interface RingRecord {
  readonly kind: number;
  readonly session: number;
  readonly payload: Uint8Array;
}

/** Thrown when the other side has broken the ring: it can only be given up. */
export class RingFault extends Error {
  override readonly name = "RingFault";
}

/** Memory for a ring. @param capacity Bytes, a power of two. */
export function ringMemory(capacity: number): SharedArrayBuffer {
  if (!Number.isInteger(Math.log2(capacity)) || capacity < 4096) {
    throw new RangeError(`Cannot make a ring of ${capacity} bytes: a power of two from 4096 on is expected`);
  }
  return new SharedArrayBuffer(CONTROL + capacity);
}

/** What reader and writer have in common. */
class Ring {
  readonly memory: SharedArrayBuffer;
  readonly control: Int32Array;
  readonly data: Uint8Array;
  readonly words: Uint32Array;
  readonly capacity: number;

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.capacity = memory.byteLength - CONTROL;
    this.control = new Int32Array(memory, 0, CONTROL / 4);
    this.data = new Uint8Array(memory, CONTROL);
    this.words = new Uint32Array(memory, CONTROL);
  }

  load(word: number): number {
    return load(this.control, word === WRITE ? 0 : READ_WORD) >>> 0;
  }

  store(word: number, value: number): void {
    store(this.control, word === WRITE ? 0 : READ_WORD, value | 0);
  }

  notify(word: number): void {
    notify(this.control, word === WRITE ? 0 : READ_WORD);
  }

  /** Resolves when the word is no longer `seen`; undefined if it already is not. */
  changed(word: number, seen: number): Promise<unknown> | undefined {
    const wait = waitAsync(this.control, word === WRITE ? 0 : READ_WORD, seen | 0);
    return wait.async ? wait.value : undefined;
  }
}

function part(bytes: Uint8Array, from: number, to: number): Uint8Array {
  return apply(subarray, bytes, [from, to]) as Uint8Array;
}

function padded(length: number): number {
  return (length + 3) & ~3;
}

/** Payloads up to so many bytes are copied one by one: that is faster than a call, and makes no view. */
const SHORT = 128;

/** The writing side. Records become visible with `flush()`, many with one wake-up. */
export class RingWriter {
  readonly #ring: Ring;
  #at: number;
  #flushed: number;
  /** The reader's position when the last record was written or found no room. */
  #seen = 0;
  /** The last record: where it begins, and what it is. It may grow as long as nobody can see it. */
  #last = 0;
  #kind = 0;
  #session = 0;
  #length = 0;

  constructor(memory: SharedArrayBuffer) {
    this.#ring = new Ring(memory);
    this.#at = this.#flushed = this.#ring.load(WRITE);
  }

  /** The most payload bytes of one record: a quarter of the ring, so that a large mail leaves room for others. */
  get largest(): number {
    return this.#ring.capacity / 4;
  }

  /**
   * Writes a record if there is room for it.
   *
   * @throws {RingFault} if the reader's index is impossible. @throws {RangeError} over `largest`.
   */
  write(kind: number, session: number, payload: Uint8Array): boolean {
    const { length } = payload;
    if (length > this.largest) throw new RangeError(`Cannot write a record of ${length} bytes`);
    const size = HEAD + padded(length);
    if (!this.#fits(size)) return false;
    const { capacity, words } = this.#ring;
    const mask = capacity - 1;
    words[(this.#at & mask) >>> 2] = length;
    words[((this.#at + 4) & mask) >>> 2] = session;
    words[((this.#at + 8) & mask) >>> 2] = kind;
    this.#copy(payload, length, this.#at + HEAD);
    this.#last = this.#at;
    this.#kind = kind;
    this.#session = session;
    this.#length = length;
    this.#at = (this.#at + size) >>> 0;
    return true;
  }

  /**
   * Writes bytes of a stream that may be cut anywhere: behind those of the last record, if that is of the same kind and
   * session and still unseen, else as a record.
   *
   * @throws as `write`.
   */
  append(kind: number, session: number, payload: Uint8Array): boolean {
    const { length } = payload;
    const whole = this.#length + length;
    const open = this.#at !== this.#flushed && this.#kind === kind && this.#session === session;
    if (!open || whole > this.largest) return this.write(kind, session, payload);
    const more = padded(whole) - padded(this.#length);
    if (!this.#fits(more)) return false;
    const { capacity, words } = this.#ring;
    this.#copy(payload, length, this.#last + HEAD + this.#length);
    words[(this.#last & (capacity - 1)) >>> 2] = whole;
    this.#length = whole;
    this.#at = (this.#at + more) >>> 0;
    return true;
  }

  #fits(size: number): boolean {
    const { capacity } = this.#ring;
    this.#seen = this.#ring.load(READ);
    const used = (this.#at - this.#seen) >>> 0;
    if (used > capacity) throw new RingFault("the reader's index is outside the ring");
    return capacity - used >= size;
  }

  #copy(payload: Uint8Array, length: number, to: number): void {
    const { capacity, data } = this.#ring;
    const mask = capacity - 1;
    if (length <= SHORT) {
      for (let i = 0; i < length; i++) data[(to + i) & mask] = payload[i];
      return;
    }
    const from = to & mask;
    const first = length < capacity - from ? length : capacity - from;
    if (first === length) apply(set, data, [payload, from]);
    else {
      apply(set, data, [part(payload, 0, first), from]);
      apply(set, data, [part(payload, first, length), 0]);
    }
  }

  /** Shows what was written to the reader and wakes it. */
  flush(): void {
    if (this.#at === this.#flushed) return;
    this.#flushed = this.#at;
    this.#ring.store(WRITE, this.#at);
    this.#ring.notify(WRITE);
  }

  /**
   * Resolves once the reader has taken something since the last `write`, or after `wake()`. Flush before: a reader that
   * sees nothing takes nothing.
   */
  async room(): Promise<void> {
    // Not since now: the reader may have emptied the ring between that write and this call, and then never moves again.
    await this.#ring.changed(READ, this.#seen);
  }

  /** Ends a wait for room. */
  wake(): void {
    this.#ring.notify(READ);
  }
}

/** The reading side. */
export class RingReader {
  readonly #ring: Ring;
  #at: number;
  /** Where records are copied to; grows to the longest one seen. */
  #scratch: Uint8Array = new Bytes(4096);
  /** The part of it that the last record took: the next one is often as long. */
  #payload: Uint8Array = this.#scratch;

  constructor(memory: SharedArrayBuffer) {
    this.#ring = new Ring(memory);
    this.#at = this.#ring.load(READ);
  }

  /**
   * Hands every record that is there to `take`; the payload is valid until `take` returns.
   *
   * @throws {RingFault} if indexes or lengths are impossible.
   */
  drain(take: (kind: number, session: number, payload: Uint8Array) => void): void {
    // No `subarray` of shared memory: it would ask the array for its constructor, which can be replaced.
    const { capacity, data, memory, words } = this.#ring;
    const mask = capacity - 1;
    const end = this.#ring.load(WRITE);
    let left = (end - this.#at) >>> 0;
    if (left > capacity) throw new RingFault("the writer's index is outside the ring");
    while (left > 0) {
      if (left < HEAD || (this.#at & 3) !== 0) throw new RingFault("a record is cut off");
      const length = words[(this.#at & mask) >>> 2];
      const session = words[((this.#at + 4) & mask) >>> 2];
      const kind = words[((this.#at + 8) & mask) >>> 2];
      if (length > capacity / 4 || HEAD + padded(length) > left) {
        throw new RingFault("a record is longer than what was written");
      }
      const size = HEAD + padded(length);
      const from = (this.#at + HEAD) & mask;
      if (length > this.#scratch.length) this.#scratch = new Bytes(capacity / 4);
      if (length !== this.#payload.length) this.#payload = part(this.#scratch, 0, length);
      const payload = this.#payload;
      if (length <= SHORT) {
        for (let i = 0; i < length; i++) payload[i] = data[(from + i) & mask];
      } else {
        const first = length < capacity - from ? length : capacity - from;
        apply(set, payload, [new Bytes(memory, CONTROL + from, first), 0]);
        if (first < length) apply(set, payload, [new Bytes(memory, CONTROL, length - first), first]);
      }
      this.#at = (this.#at + size) >>> 0;
      left -= size;
      take(kind, session, payload);
    }
    this.#ring.store(READ, this.#at);
    this.#ring.notify(READ);
  }

  /** Resolves once there is something to drain, or after `wake()`; undefined if there is something now. */
  arrived(): Promise<unknown> | undefined {
    return this.#ring.changed(WRITE, this.#at);
  }

  /** Ends a wait for arrivals. */
  wake(): void {
    this.#ring.notify(WRITE);
  }
}
