/**
 * Watches the memory that sandboxes take outside their heaps, from outside, for the whole process.
 *
 * V8 limits a sandbox's heap, but not its buffers. What a sandbox counts itself is good while its thread comes to its
 * timers. A hook that fills buffers and never returns is seen only by the process's resident memory, which belongs to
 * all: so the growth is put to the sandboxes whose threads are held up meanwhile.
 *
 * @module
 */
import type { CellEnd } from "./messages.ts";

/** A sandbox as the guard sees it. */
export interface Guarded {
  /** Bytes that it may take: heap and buffers. */
  readonly allowance: number;
  /** Bytes of buffers that it may take. */
  readonly bufferLimit: number;
  /** Rises while its thread comes to its timers; 0 before the thread runs. */
  readonly beats: number;
  /** Bytes outside the heap by its own count. */
  readonly external: number;
  end(end: CellEnd): void;
}

/** Memory of the process. */
export interface ProcessMemory {
  readonly rss: number;
  /** Of the runtime's own isolate. */
  readonly heapTotal: number;
  readonly external: number;
}

/** How often the guard looks, ms. */
const TICK = 100;
/** Growth beyond the allowances that is put down to the allocator and other threads, bytes. */
const MARGIN = 64 << 20;
/** The same where no single sandbox can be told. */
const WIDE_MARGIN = 256 << 20;

interface Watch {
  beats: number;
  /** Memory of others than the runtime when the last beat was seen. */
  since: number;
}

/** Ends sandboxes that take too much. */
export class MemoryGuard {
  readonly #memory: () => ProcessMemory;
  readonly #watches = new Map<Guarded, Watch>();
  #base = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(memory: () => ProcessMemory) {
    this.#memory = memory;
  }

  /** Watches a sandbox until `remove`; the timer runs while there is one. */
  add(cell: Guarded): void {
    const foreign = this.#foreign();
    if (this.#watches.size === 0) this.#base = foreign;
    this.#watches.set(cell, { beats: 0, since: foreign });
    this.#timer ??= setInterval(() => this.look(), TICK);
  }

  remove(cell: Guarded): void {
    this.#watches.delete(cell);
    if (this.#watches.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Looks once. */
  look(): void {
    const foreign = this.#foreign();
    const held: Guarded[] = [];
    let heldAllowance = 0;
    let allowance = 0;
    for (const [cell, watch] of this.#watches) {
      allowance += cell.allowance;
      const { beats, external, bufferLimit } = cell;
      if (external > bufferLimit) {
        cell.end({
          kind: "memory",
          message: `${external} bytes outside the heap, the limit is ${bufferLimit}`,
        });
      } else if (beats !== watch.beats) {
        watch.beats = beats;
        watch.since = foreign;
      } else {
        heldAllowance += cell.allowance;
        // A thread that has not begun yet only costs what a thread costs.
        if (beats > 0) held.push(cell);
      }
    }
    const over = held.filter((cell) => foreign - this.#watches.get(cell)!.since > heldAllowance + MARGIN);
    // The one held up longest has seen the most growth; if it was another, that one is next.
    const [worst] = over.sort((a, b) => this.#watches.get(a)!.since - this.#watches.get(b)!.since);
    if (worst !== undefined) {
      const grown = foreign - this.#watches.get(worst)!.since;
      // What is freed now must not count as growth of the others.
      for (const watch of this.#watches.values()) watch.since = foreign;
      worst.end({
        kind: "memory",
        message:
          `the process grew by ${grown} bytes while the filter held its thread, it may take ${worst.allowance}`,
      });
    } else if (foreign - this.#base > allowance + WIDE_MARGIN) {
      // Better all sandboxes anew than the process dead. What then still is there is nobody's.
      this.#base = foreign - allowance;
      const message = `the process has grown by more than all filters together may take (${allowance} bytes)`;
      for (const cell of [...this.#watches.keys()]) cell.end({ kind: "memory", message });
    }
  }

  /** What is not the runtime's own: sandboxes, threads, the program itself. */
  #foreign(): number {
    const { rss, heapTotal, external } = this.#memory();
    return rss - heapTotal - external;
  }
}

/** The guard of this process. */
export const memoryGuard: MemoryGuard = new MemoryGuard(() => Deno.memoryUsage());
