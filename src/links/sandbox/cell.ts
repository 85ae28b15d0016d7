/**
 * One running sandbox as the runtime sees it: two rings, a warden, an end.
 *
 * @module
 */
import type { FilterDescription } from "../../session/filter_module.ts";
import {
  type CellEnd,
  FromInmate,
  type InmateSetup,
  ToInmate,
  Vitals,
  type WardenOrder,
  type WardenReport,
} from "./messages.ts";
import { type Guarded, memoryGuard } from "./memory_guard.ts";
import type { WorkerPermissions } from "./permissions.ts";
import { ringMemory, RingReader, RingWriter } from "./ring.ts";

/** Bytes of each ring. A mail's body passes through in pieces of at most a quarter. */
const RING = 1 << 19;

/** Drains in a row, without a wait, before other work gets its turn. */
const BUSY_TURNS = 8;

/** What a cell tells the link that owns it. */
export interface CellOwner {
  /** Replies, failures and log lines of a session; `payload` is valid until the call returns. */
  record(cell: Cell, kind: number, session: number, payload: Uint8Array): void;
  /** The cell is over, by whatever cause; called once. */
  ended(cell: Cell, end: CellEnd): void;
}

/** What a cell is started with. */
export interface CellSetup extends Omit<InmateSetup, "toInmate" | "fromInmate" | "vitals"> {
  readonly permissions: WorkerPermissions;
  readonly heapMiB: number;
  /** Time for the filter to load and start, ms. */
  readonly startTimeout: number;
}

/** A sandbox: a thread with one filter in it. */
export class Cell implements Guarded {
  /** Sessions that are open in it. */
  load = 0;
  /** Records in the current second that nobody waited for; counted by the link. */
  unasked = { second: 0, count: 0 };
  readonly bufferLimit: number;
  readonly allowance: number;
  /** Settles when the filter is loaded; rejects if the cell ends before. */
  readonly ready: Promise<FilterDescription>;

  readonly #owner: CellOwner;
  readonly #warden: Worker;
  readonly #in: RingReader;
  readonly #out: RingWriter;
  readonly #vitals: Int32Array;
  readonly #backlog: { kind: number; session: number; payload: Uint8Array }[] = [];
  readonly #gone = Promise.withResolvers<void>();
  readonly #started = Promise.withResolvers<FilterDescription>();
  #room: Promise<void> | undefined;
  #flushing = false;
  readonly #flush = (): void => {
    this.#flushing = false;
    this.#out.flush();
  };
  #up = false;
  #end: CellEnd | undefined;

  constructor(setup: CellSetup, owner: CellOwner) {
    this.#owner = owner;
    const { permissions, heapMiB, startTimeout, ...rest } = setup;
    const toInmate = ringMemory(RING);
    const fromInmate = ringMemory(RING);
    const vitals = new SharedArrayBuffer(4 * Vitals.COUNT);
    this.#out = new RingWriter(toInmate);
    this.#in = new RingReader(fromInmate);
    this.#vitals = new Int32Array(vitals);
    this.bufferLimit = setup.bufferLimit;
    this.allowance = heapMiB * 2 ** 20 + setup.bufferLimit;
    this.ready = this.#started.promise;
    // Whoever does not wait for it must not fail by it.
    this.ready.catch(() => {});
    const options = { type: "module", name: setup.name, deno: { permissions } };
    this.#warden = new Worker(new URL("./warden.ts", import.meta.url), options as WorkerOptions);
    this.#warden.onmessage = ({ data }: MessageEvent<WardenReport>) => this.#report(data);
    this.#warden.onerror = (event) => {
      event.preventDefault();
      this.end({ kind: "unavailable", message: `the sandbox could not start: ${event.message}` });
    };
    const order: WardenOrder = { setup: { ...rest, toInmate, fromInmate, vitals }, heapMiB };
    this.#warden.postMessage(order);
    const timer = setTimeout(
      () => this.end({ kind: "unavailable", message: `the filter did not start within ${startTimeout} ms` }),
      startTimeout,
    );
    this.ready.then(() => clearTimeout(timer), () => clearTimeout(timer));
    memoryGuard.add(this);
    void this.#listen();
  }

  /** The cell is over. */
  get dead(): boolean {
    return this.#end !== undefined;
  }

  get beats(): number {
    return Atomics.load(this.#vitals, Vitals.BEATS) >>> 0;
  }

  get external(): number {
    return (Atomics.load(this.#vitals, Vitals.EXTERNAL) >>> 0) * 1024;
  }

  /** Settles when the thread is gone. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  /**
   * Sends a record; undefined if it found room, else a promise for the moment when the backlog has gone.
   * The payload is copied.
   */
  send(kind: number, session: number, payload: Uint8Array): Promise<void> | undefined {
    if (this.#end !== undefined) return undefined;
    try {
      for (let at = 0; at === 0 || at < payload.length; at += this.#out.largest) {
        const piece = payload.length <= this.#out.largest
          ? payload
          : payload.subarray(at, at + this.#out.largest);
        // The frames of one sweep leave as one record.
        const written = this.#backlog.length === 0 &&
          (kind === ToInmate.FRAMES
            ? this.#out.append(kind, session, piece)
            : this.#out.write(kind, session, piece));
        if (!written) {
          this.#backlog.push({ kind, session, payload: piece.slice() });
        }
      }
    } catch (error) {
      this.end({ kind: "protocol", message: String(error) });
      return undefined;
    }
    this.#flushSoon();
    if (this.#backlog.length === 0) return undefined;
    return this.#room ??= this.#drain();
  }

  /** Ends the cell: its thread is halted, wherever it is. */
  end(end: CellEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    memoryGuard.remove(this);
    this.#started.reject(new Error(end.message));
    this.#backlog.length = 0;
    this.#in.wake();
    this.#out.wake();
    this.#warden.postMessage("kill");
    // The warden answers when the thread is gone; it may itself be, and then there is nothing left to wait for.
    const timer = setTimeout(() => this.#remove(), 5000);
    void this.#gone.promise.then(() => clearTimeout(timer));
    this.#owner.ended(this, end);
  }

  #report(report: WardenReport): void {
    if (this.#end !== undefined) {
      if (report.kind === "exit") this.#remove();
      return;
    }
    switch (report.kind) {
      case "ready":
        this.#up = true;
        this.#started.resolve(report.description);
        break;
      case "load-failed":
        // Once it has started, the same report means that the code around the hooks broke.
        this.end({
          kind: this.#up ? "crash" : "unavailable",
          message: String(report.message).slice(0, 4000),
        });
        break;
      case "memory":
        this.end({ kind: "memory", message: String(report.message).slice(0, 1000) });
        break;
      default:
        this.end({ kind: "crash", message: String(report.message).slice(0, 1000) });
    }
  }

  #remove(): void {
    this.#warden.terminate();
    this.#gone.resolve();
  }

  /** One wake-up for everything that is sent in one go. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(this.#flush);
  }

  async #drain(): Promise<void> {
    // Never done before it has begun: `send` must have noted the promise by then.
    await undefined;
    while (this.#backlog.length > 0 && this.#end === undefined) {
      const { kind, session, payload } = this.#backlog[0];
      if (this.#out.write(kind, session, payload)) {
        this.#backlog.shift();
        continue;
      }
      this.#out.flush();
      await this.#out.room();
    }
    this.#out.flush();
    this.#room = undefined;
  }

  async #listen(): Promise<void> {
    const take = (kind: number, session: number, payload: Uint8Array): void =>
      this.#owner.record(this, kind, session, payload);
    let busy = 0;
    while (this.#end === undefined) {
      try {
        this.#in.drain(take);
      } catch (error) {
        this.end({
          kind: "protocol",
          message: `broken ring: ${error instanceof Error ? error.message : error}`,
        });
        return;
      }
      const arrived = this.#in.arrived();
      if (arrived !== undefined) {
        await arrived;
        busy = 0;
      } else if (++busy === BUSY_TURNS) {
        // A sandbox that never stops writing must not keep the process from everything else.
        await new Promise((resolve) => setTimeout(resolve));
        busy = 0;
      }
    }
  }
}

/** Is this a record that a sandbox may send? */
export function isKnownRecord(kind: number): boolean {
  return kind >= FromInmate.REPLY && kind <= FromInmate.REFUSAL;
}
