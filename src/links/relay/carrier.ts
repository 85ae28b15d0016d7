/**
 * What carries a relayed connection to its filter, and where sessions get it from.
 *
 * @module
 */
import type { Agreement, Options, Reply } from "../../protocol/mod.ts";
import type { FailureKind, FailurePolicy } from "../../session/policy.ts";

/** Why a carrier ended, or will not come. */
export interface CarrierEnd {
  readonly kind: FailureKind;
  readonly message: string;
}

/** Where a session gets its carriers from. */
export interface Supply {
  readonly name: string;
  readonly policy: FailurePolicy;
  /**
   * A carrier that is ready; a promise while one starts, which rejects with the reason; or the reason at once if none
   * will come soon. Whoever no longer wants what was promised abandons it.
   */
  acquire(user: CarrierUser): Carrier | Promise<Carrier> | CarrierEnd;
  /** A filter has answered the first negotiation of a connection. */
  agreed?(offer: Options, agreement: Agreement): void;
}

/** The way to a filter for one relayed connection. It serves one session, and tells it of replies and of its end. */
export interface Carrier {
  /** Begins; comes before everything but `abandon`. `answerData` as for `Link.open`. */
  open(answerData: boolean): void;
  /**
   * Takes a whole frame of command `code`; the bytes are copied. Undefined if there was room, else a promise for the
   * moment when there is. `passive`: the answer moves nothing, because the mail is decided already.
   */
  send(code: number, frame: Uint8Array, passive: boolean): Promise<void> | undefined;
  /** The answer to the frame sent last, if the filter will give none although the MTA waits for one. */
  readonly instead: Reply | undefined;
  /** What to make of a reply to command `code`, before it is checked; undefined: nothing. @throws {ProtocolError} */
  understand(reply: Reply, code: number): Reply | undefined;
  /**
   * The deadline has passed.
   *
   * - `again`: what was slow is nothing that anybody waits for; the same command has a deadline of its own.
   * - `behind`: the carrier goes on, and the answer that is owed comes too late.
   * - `gone`: the carrier is of no more use.
   */
  expire(late: Late): "again" | "behind" | "gone";
  /** The session has let go, in the middle of its beginning: `end` says why. */
  abandon(end: CarrierEnd): void;
  /** The MTA connection is over. The promise, if any, settles when the filter has heard of it. */
  lost(): Promise<void> | undefined;
}

/** A deadline that has passed. */
export interface Late {
  /** The deadline, ms. */
  readonly ms: number;
  readonly end: CarrierEnd;
  /** An answer is waited for; else it is room, or word that a lost connection was noticed. */
  readonly asked: boolean;
  /** A hook whose answer nobody waits for (abort, close) may be what takes the time. */
  readonly aside: boolean;
  /** Whether answers are still owed, also later. */
  behind(): boolean;
}

/** A session as its carrier sees it. */
export interface CarrierUser {
  /** Reply frames, cut anywhere. @throws {ProtocolError} if they are not legal: the carrier is to be ended. */
  replied(bytes: Uint8Array): void;
  /**
   * A failure that the filter's side reports; the answer follows, by the same policy. Untrusted values.
   *
   * @throws {ProtocolError} for more than there can be.
   */
  failed(kind: string, hook: string, message: string): void;
  /** The carrier has ended by itself. Not called after `abandon`, or after `expire` gave `gone`. */
  gone(end: CarrierEnd): void;
}

/** What becomes of a link's carriers over time, for the log. */
export interface LinkLog {
  event(
    level: "debug" | "info" | "warn" | "error",
    message: string,
    fields?: Readonly<Record<string, unknown>>,
  ): void;
}
