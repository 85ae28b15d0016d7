/**
 * A filter in sandboxes: starts them, shares out the connections, replaces those that fail, holds back a filter that
 * fails again and again.
 *
 * @module
 */
import type { Link, LinkSession } from "../../chain/link.ts";
import type { Filter } from "../../filter/mod.ts";
import { type Agreement, type Options, ProtocolError } from "../../protocol/mod.ts";
import type { FilterDescription } from "../../session/filter_module.ts";
import { foretold } from "../../session/negotiation.ts";
import type { SessionHost } from "../../session/plan.ts";
import type { FailurePolicy } from "../../session/policy.ts";
import type { Carrier, CarrierUser, LinkLog, Supply } from "../relay/carrier.ts";
import { RelaySession } from "../relay/session.ts";
import { Cell, type CellOwner, type CellSetup } from "./cell.ts";
import { type CellEnd, type FailureNote, FromInmate, type LogNote, type RefusalNote } from "./messages.ts";
import { RefusalBook } from "./refusal_book.ts";
import { Seat, type SeatOwner } from "./seat.ts";

/** What becomes of a filter's sandboxes over time. */
export type SandboxLog = LinkLog;

/** How a filter is to be run. */
export interface SandboxOptions {
  readonly setup: CellSetup;
  /** Sandboxes side by side. */
  readonly instances: number;
  readonly log: SandboxLog;
  /** Clock, ms. */
  readonly now: () => number;
  readonly times?: Partial<SandboxTimes>;
}

/** How long things may take in a sandbox's life, ms. */
export interface SandboxTimes {
  /** For a thread that has missed a deadline to show that it is alive. */
  readonly grace: number;
  /** The first pause of a filter that keeps failing; each next one is twice as long. */
  readonly firstPause: number;
  readonly longestPause: number;
  /** A sandbox that ran this long has not failed at once. */
  readonly healthy: number;
}

/** What holds where nothing else is said. */
export const SANDBOX_TIMES: SandboxTimes = Object.freeze({
  grace: 500,
  firstPause: 1000,
  longestPause: 60_000,
  healthy: 30_000,
});

/** Log lines of a filter that are passed on in one second. */
const LOG_RATE = 50;
/** Records that nobody waits for, in one second: over that the sandbox only keeps the process busy. */
const UNASKED_RATE = 5000;
/** Bytes of a note (failure, log line, refusal); the sandbox's side cuts them far below. */
const NOTE_LIMIT = 16_384;

/** A filter behind the wall. */
export class SandboxLink implements Link, Supply, SeatOwner, CellOwner {
  readonly #options: SandboxOptions;
  readonly #slots: Slot[];
  readonly #times: SandboxTimes;
  readonly #refusals: RefusalBook;
  readonly #seats = new Map<Cell, Map<number, Seat>>();
  /** Sandboxes that have missed a deadline and not shown since that they are alive; what to call when that is clear. */
  readonly #suspects = new Map<Cell, PromiseWithResolvers<void>>();
  /** The filter as it describes itself, once somebody has read and checked that. */
  described: Filter | undefined;
  #nextId = 1;
  #closed = false;
  #logged = 0;
  #logSecond = 0;
  #dropped = 0;

  constructor(options: SandboxOptions) {
    this.#options = options;
    this.#times = { ...SANDBOX_TIMES, ...options.times };
    this.#slots = Array.from({ length: options.instances }, () => new Slot());
    this.#refusals = new RefusalBook(
      (message, fields) =>
        options.log.event("warn", `Filter "${this.name}" ${message}`, { filter: this.name, ...fields }),
      options.now,
    );
  }

  get name(): string {
    return this.#options.setup.name;
  }

  /** What the filter was refused, counted by right. */
  get refusals(): ReadonlyMap<string, number> {
    return this.#refusals.counts;
  }

  get policy(): FailurePolicy {
    return this.#options.setup.policy;
  }

  /**
   * Starts all instances.
   *
   * @throws {Error} the reason, if one of them cannot load or start the filter.
   */
  async start(): Promise<FilterDescription> {
    const descriptions = await Promise.all(this.#slots.map((slot) => this.#fill(slot).ready));
    return descriptions[0];
  }

  open(host: SessionHost, answerData: boolean): LinkSession {
    return new RelaySession(this, host, answerData);
  }

  foretell(offer: Options): Agreement | undefined {
    return this.described && foretold(this.described, offer);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const cells = this.#slots.map((slot) => slot.cell).filter((cell) => cell !== undefined);
    for (const slot of this.#slots) clearTimeout(slot.timer);
    for (const cell of cells) cell.end({ kind: "unavailable", message: "the filter was unloaded" });
    await Promise.all(cells.map((cell) => cell.gone));
  }

  acquire(user: CarrierUser): Carrier | Promise<Carrier> | CellEnd {
    const cell = this.cell();
    if (cell instanceof Promise) return cell.then((cell) => new Seat(this, cell, user));
    return "ready" in cell ? new Seat(this, cell, user) : cell;
  }

  /** A running sandbox; a promise while one starts; the reason if none will come soon. */
  cell(): Cell | Promise<Cell> | CellEnd {
    let best: Cell | undefined;
    let starting: Slot | undefined;
    let suspect: PromiseWithResolvers<void> | undefined;
    for (const slot of this.#slots) {
      if (slot.cell === undefined) continue;
      const suspicion = this.#suspects.get(slot.cell);
      if (suspicion !== undefined) suspect ??= suspicion;
      else if (!slot.up) starting ??= slot;
      else if (best === undefined || slot.cell.load < best.load) best = slot.cell;
    }
    if (best !== undefined) return best;
    const { cell } = starting ?? {};
    if (cell !== undefined) return cell.ready.then(() => cell);
    if (suspect !== undefined) return suspect.promise.then(() => this.#acquired());
    const last = this.#slots[0].last;
    return {
      kind: "unavailable",
      message: `held back after repeated failures: ${last?.message ?? "not started"}`,
    };
  }

  async #acquired(): Promise<Cell> {
    const next = this.cell();
    if (next instanceof Promise || "ready" in next) return await next;
    throw new Error(next.message);
  }

  attach(cell: Cell, seat: Seat): number {
    const id = this.#nextId = this.#nextId % 0x7fffffff + 1;
    this.#seats.get(cell)?.set(id, seat);
    cell.load++;
    return id;
  }

  detach(cell: Cell, id: number): void {
    if (this.#seats.get(cell)?.delete(id)) cell.load--;
  }

  overdue(cell: Cell, end: CellEnd, stuck: () => boolean): void {
    if (!this.#suspects.has(cell)) this.#suspects.set(cell, Promise.withResolvers());
    setTimeout(() => {
      if (stuck()) cell.end(end);
      this.#clear(cell);
    }, this.#times.grace);
  }

  #clear(cell: Cell): void {
    const suspicion = this.#suspects.get(cell);
    this.#suspects.delete(cell);
    suspicion?.resolve();
  }

  record(cell: Cell, kind: number, id: number, payload: Uint8Array): void {
    if (this.#suspects.size > 0) this.#clear(cell);
    const seat = this.#seats.get(cell)?.get(id);
    if ((seat === undefined || kind !== FromInmate.REPLY) && this.#floods(cell, payload)) return;
    try {
      this.#take(cell, seat, kind, payload);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      cell.end({ kind: "protocol", message: error.message });
    }
  }

  /** Counts a record that nobody waits for; true if it is one too many, or too long, and the sandbox is ended. */
  #floods(cell: Cell, payload: Uint8Array): boolean {
    const second = Math.floor(this.#options.now() / 1000);
    if (second !== cell.unasked.second) cell.unasked = { second, count: 0 };
    if (++cell.unasked.count > UNASKED_RATE) {
      cell.end({
        kind: "protocol",
        message: `it sent over ${UNASKED_RATE} records in a second that nobody waited for`,
      });
    } else if (payload.length > NOTE_LIMIT) {
      cell.end({
        kind: "protocol",
        message: `it sent a note of ${payload.length} bytes, the limit is ${NOTE_LIMIT}`,
      });
    }
    return cell.dead;
  }

  #take(cell: Cell, seat: Seat | undefined, kind: number, payload: Uint8Array): void {
    switch (kind) {
      case FromInmate.REPLY:
        seat?.replied(payload);
        break;
      case FromInmate.FAILURE: {
        const { kind, hook, message } = note<FailureNote>(payload);
        seat?.failed(text(kind, 40), text(hook, 40), text(message, 1000));
        break;
      }
      case FromInmate.LOG:
        if (this.#mayLog()) this.#logLine(note<LogNote>(payload));
        break;
      case FromInmate.REFUSAL: {
        const { right, value } = note<RefusalNote>(payload);
        this.#refusals.note(right, value);
        break;
      }
      case FromInmate.DONE:
        seat?.leave();
        break;
      default:
        cell.end({ kind: "protocol", message: `it sent a record of the unknown kind ${kind}` });
    }
  }

  ended(cell: Cell, end: CellEnd): void {
    const slot = this.#slots.find((slot) => slot.cell === cell);
    const seats = this.#seats.get(cell);
    this.#seats.delete(cell);
    this.#clear(cell);
    this.#tellDropped();
    if (!this.#closed) {
      const level = slot?.up ? "warn" : "error";
      this.#options.log.event(
        level,
        `The sandbox of filter "${this.name}" ended (${end.kind}): ${end.message}`,
        {
          filter: this.name,
          kind: end.kind,
        },
      );
    }
    if (slot !== undefined) this.#replace(slot, end);
    // The mail whose hook was late has its answer already; for the others the sandbox died by another's fault.
    const shared: CellEnd = end.kind === "timeout"
      ? { kind: "crash", message: `the sandbox was ended for another mail: ${end.message}` }
      : end;
    for (const seat of seats?.values() ?? []) seat.ended(shared);
  }

  #fill(slot: Slot): Cell {
    const cell = new Cell(this.#options.setup, this);
    this.#seats.set(cell, new Map());
    slot.cell = cell;
    slot.up = false;
    slot.since = this.#options.now();
    cell.ready.then(() => slot.up = slot.cell === cell, () => {});
    return cell;
  }

  /** At once after a first failure; after more, with growing pauses. */
  #replace(slot: Slot, end: CellEnd): void {
    const lived = this.#options.now() - slot.since;
    const neverUp = !slot.up;
    slot.cell = undefined;
    slot.up = false;
    slot.last = end;
    if (this.#closed) return;
    if (lived >= this.#times.healthy) slot.failures = 0;
    slot.failures++;
    const pause = slot.failures === 1 && !neverUp
      ? 0
      : Math.min(this.#times.longestPause, this.#times.firstPause * 2 ** Math.max(0, slot.failures - 2));
    if (pause === 0) {
      this.#fill(slot);
      return;
    }
    this.#options.log.event("warn", `Holding filter "${this.name}" back for ${pause} ms`, {
      filter: this.name,
      pause,
    });
    slot.timer = setTimeout(() => this.#fill(slot), pause);
  }

  /** Counts a log line; false if it is one too many for this second. Asked before the line is read. */
  #mayLog(): boolean {
    const second = Math.floor(this.#options.now() / 1000);
    if (second !== this.#logSecond) {
      this.#tellDropped();
      this.#logSecond = second;
      this.#logged = 0;
    }
    if (++this.#logged <= LOG_RATE) return true;
    this.#dropped++;
    return false;
  }

  #tellDropped(): void {
    if (this.#dropped === 0) return;
    this.#options.log.event("warn", `Dropped ${this.#dropped} log lines of filter "${this.name}"`, {
      filter: this.name,
      dropped: this.#dropped,
    });
    this.#dropped = 0;
  }

  #logLine(line: Partial<LogNote>): void {
    if (line.dropped !== undefined) {
      this.#dropped += Number.isSafeInteger(line.dropped) && line.dropped > 0
        ? Math.min(line.dropped, 1e9)
        : 0;
      return;
    }
    const level = (["debug", "info", "warn", "error"] as const).find((name) => name === line.level) ?? "info";
    const fields = typeof line.fields === "object" && line.fields !== null ? line.fields : {};
    this.#options.log.event(level, text(line.message, 1000), { ...fields, filter: this.name });
  }
}

/** A place for one sandbox. */
class Slot {
  cell: Cell | undefined;
  up = false;
  since = 0;
  failures = 0;
  last: CellEnd | undefined;
  timer: ReturnType<typeof setTimeout> | undefined;
}

const decoder = new TextDecoder();

/** A JSON record of the sandbox; an empty one if it is none. */
function note<T extends object>(payload: Uint8Array): Partial<T> {
  try {
    const value: unknown = JSON.parse(decoder.decode(payload));
    return typeof value === "object" && value !== null ? value as Partial<T> : {};
  } catch {
    return {};
  }
}

function text(value: unknown, limit: number): string {
  return typeof value === "string" ? value.slice(0, limit) : "";
}
