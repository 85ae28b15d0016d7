/**
 * Watches the memory that sandboxes take outside their heaps, from outside, for the whole process.
 *
 * V8 limits a sandbox's heap, but not its buffers. What a sandbox counts itself is good while its thread comes to its
 * timers. A hook that fills buffers and never returns is seen only by the process's resident memory, which belongs to
 * all: so the growth is put to the sandboxes whose threads are held up meanwhile.
 *
 * @module
 */
import { ALONE, type GuardBoard } from "./guard_board.ts";
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
const TICK = 50;
/** Growth beyond the allowances that is put down to the allocator and other threads, bytes. */
const MARGIN = 64 << 20;
/** The same for the process as a whole. */
const WIDE_MARGIN = 256 << 20;
/** Looks without a beat before a sandbox can be at fault: on a busy machine an innocent one misses some as well. */
const MISSED = 3;
/** Looks that it must have missed more than any other. */
const LEAD = 3;
/** Looks after which the guard acts even if it is not clear who is at fault. */
const PATIENCE = 20;
/** Looks after an end in which nobody is judged: memory takes time to go, and freeing it holds up the others. */
const QUIET = 10;

interface Watch {
  beats: number;
  /** Looks since the last beat. */
  missed: number;
  /** Memory of others than the runtime when the last beat was seen. */
  since: number;
}

/** Ends sandboxes that take too much. */
export class MemoryGuard {
  readonly #memory: () => ProcessMemory;
  readonly #watches = new Map<Guarded, Watch>();
  /** Memory of others than the runtime before the first sandbox. */
  #base = 0;
  /** Looks in a row that found too much memory. */
  #over = 0;
  #quiet = 0;
  /** Memory of the runtime's own isolate in this thread. */
  #own = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** The guards of other threads. */
  #board: typeof ALONE = ALONE;

  constructor(memory: () => ProcessMemory) {
    this.#memory = memory;
  }

  /** From now on it counts what the guards of other threads tell; each ends sandboxes of its own thread only. */
  share(board: GuardBoard | undefined): void {
    this.#board = board ?? ALONE;
  }

  /** Watches a sandbox until `remove`; the timer runs while there is one. */
  add(cell: Guarded): void {
    const foreign = this.#foreign();
    if (this.#watches.size === 0) this.#base = foreign;
    this.#watches.set(cell, { beats: 0, missed: 0, since: foreign });
    this.#timer ??= setInterval(() => this.look(), TICK);
  }

  remove(cell: Guarded): void {
    this.#watches.delete(cell);
    if (this.#watches.size > 0) return;
    this.#board.clear();
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tell(): void {
    const held = [...this.#watches].filter(([, { missed }]) => missed > 0);
    this.#board.write({
      allowance: sum(this.#watches.keys()),
      held: sum(held.map(([cell]) => cell)),
      missed: Math.max(0, ...held.filter(([{ beats }]) => beats > 0).map(([, { missed }]) => missed)),
      own: this.#own,
    });
  }

  /** Looks once. */
  look(): void {
    const foreign = this.#foreign();
    for (const [cell, watch] of this.#watches) {
      const { beats, external, bufferLimit } = cell;
      if (external > bufferLimit) {
        cell.end({
          kind: "memory",
          message: `${external} bytes outside the heap, the limit is ${bufferLimit}`,
        });
      }
      watch.missed = beats === watch.beats ? watch.missed + 1 : 0;
      watch.beats = beats;
      if (watch.missed === 0 || this.#quiet > 0) watch.since = foreign;
    }
    this.#tell();
    if (this.#board.settled()) this.#settle();
    if (this.#quiet > 0) this.#quiet--;
    else this.#judge(foreign);
  }

  #judge(foreign: number): void {
    const grown = foreign - this.#base;
    const others = this.#board.others();
    const allowance = sum(this.#watches.keys()) + others.allowance;
    const wide = grown > allowance + WIDE_MARGIN;
    const held = [...this.#watches].filter(([, { missed }]) => missed > 0);
    // A thread that has not begun yet takes what a thread takes, and is no suspect.
    const heldAllowance = sum(held.map(([cell]) => cell)) + others.held;
    const suspects = held.filter(([cell, { missed, since }]) =>
      cell.beats > 0 && missed >= MISSED && (wide || foreign - since > heldAllowance + MARGIN)
    ).sort(([, a], [, b]) => b.missed - a.missed);
    this.#over = wide || suspects.length > 0 ? this.#over + 1 : 0;
    if (suspects.length > 0) {
      const [[cell, { missed, since }]] = suspects;
      const next = Math.max(
        others.missed,
        ...held.filter(([other]) => other !== cell && other.beats > 0).map(([, watch]) => watch.missed),
      );
      // Of several threads' sandboxes the one held longest is judged first, by the guard of its thread. What that tells
      // may be a look old, so that as much is more.
      if (missed <= others.missed || missed - next < LEAD && this.#over < PATIENCE) return;
      this.#settle();
      this.#board.settle();
      cell.end({
        kind: "memory",
        message:
          `the process grew by ${wide ? grown : foreign - since} bytes, and the filter held its thread ` +
          `meanwhile; it may take ${cell.allowance}`,
      });
    } else if (wide && this.#over >= PATIENCE) {
      // Better all sandboxes anew than the process dead. What then still is there is nobody's.
      this.#settle();
      this.#board.settle();
      this.#base = foreign - allowance;
      const message = `the process has grown by more than all filters together may take (${allowance} bytes)`;
      for (const cell of [...this.#watches.keys()]) cell.end({ kind: "memory", message });
    }
  }

  #settle(): void {
    this.#over = 0;
    this.#quiet = QUIET;
  }

  /** What is not the runtime's own: sandboxes, threads, the program itself. */
  #foreign(): number {
    const { rss, heapTotal, external } = this.#memory();
    this.#own = heapTotal + external;
    return rss - this.#own - this.#board.others().own;
  }
}

function sum(cells: Iterable<Guarded>): number {
  let bytes = 0;
  for (const { allowance } of cells) bytes += allowance;
  return bytes;
}

/** The guard of this thread. */
export const memoryGuard: MemoryGuard = new MemoryGuard(() => Deno.memoryUsage());
