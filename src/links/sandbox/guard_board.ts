/**
 * What the memory guards of a program's threads know of each other: the process's memory is that of all.
 *
 * @module
 */

/** What one guard tells, or the sum of several: bytes, of `missed` the most. */
export interface GuardState {
  /** What its sandboxes may take, and of it those whose threads are held. */
  readonly allowance: number;
  readonly held: number;
  /** Looks that the worst of its sandboxes has missed. */
  readonly missed: number;
  /** The memory of its thread's own isolate. */
  readonly own: number;
}

const NOTHING: GuardState = { allowance: 0, held: 0, missed: 0, own: 0 };
const FIELDS = 4;
const KIB = 1024;

/** One thread's view of memory that all have. */
export class GuardBoard {
  /** The number of ends so far, then the fields of each thread. */
  readonly #cells: Int32Array<SharedArrayBuffer>;
  readonly #at: number;
  #seen = 0;

  /** Memory for so many threads. */
  static memory(threads: number): SharedArrayBuffer {
    return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT * (1 + threads * FIELDS));
  }

  /**
   * @param memory From {@linkcode GuardBoard.memory}.
   * @param thread Which thread this is, from 0.
   */
  constructor(memory: SharedArrayBuffer, thread: number) {
    this.#cells = new Int32Array(memory);
    this.#at = 1 + thread * FIELDS;
    this.#seen = Atomics.load(this.#cells, 0);
  }

  /** Tells the others. */
  write({ allowance, held, missed, own }: GuardState): void {
    const values = [allowance / KIB, held / KIB, missed, own / KIB];
    for (const [n, value] of values.entries()) Atomics.store(this.#cells, this.#at + n, Math.round(value));
  }

  /** Nothing is to be said of this thread, or any more. */
  clear(): void {
    this.write(NOTHING);
  }

  /** What the others have told. */
  others(): GuardState {
    let [allowance, held, missed, own] = [0, 0, 0, 0];
    for (let at = 1; at < this.#cells.length; at += FIELDS) {
      if (at === this.#at) continue;
      allowance += Atomics.load(this.#cells, at) * KIB;
      held += Atomics.load(this.#cells, at + 1) * KIB;
      missed = Math.max(missed, Atomics.load(this.#cells, at + 2));
      own += Atomics.load(this.#cells, at + 3) * KIB;
    }
    return { allowance, held, missed, own };
  }

  /** A sandbox is ended: memory that is still there is to be nobody's fault for a while. */
  settle(): void {
    Atomics.add(this.#cells, 0, 1);
    this.#seen++;
  }

  /** Has another thread ended a sandbox since this was last asked? */
  settled(): boolean {
    const count = Atomics.load(this.#cells, 0);
    if (count === this.#seen) return false;
    this.#seen = count;
    return true;
  }
}

/** What a guard knows that is alone. */
export const ALONE: Pick<GuardBoard, "write" | "others" | "settle" | "settled" | "clear"> = {
  write: () => {},
  others: () => NOTHING,
  settle: () => {},
  settled: () => false,
  clear: () => {},
};
