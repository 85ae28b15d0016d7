/**
 * What the server drives: a connection's session with its deadline.
 *
 * @module
 */
import type { Frame, FrameWriter } from "../protocol/mod.ts";

/** One MTA connection as the server sees it: as a `LinkSession`, but with a deadline of its own. */
export interface Session {
  /** A mail has begun and has no verdict yet. */
  readonly mailOpen: boolean;
  /** The MTA has said goodbye: close the connection once the replies are out. */
  readonly finished: boolean;
  /** Works on the end of a message: the only place where every MTA takes SMFIR_PROGRESS. */
  readonly awaitingEndOfMessage: boolean;
  /** When the work under way is late, ms on the host's clock. Means nothing while nothing is under way. */
  readonly deadline: number;
  /**
   * Takes a frame and appends the replies to `out`.
   *
   * Undefined when all is done, else a promise: hold the frame, and receive no other, until it settles or `expire` has
   * been called. It rejects only with a ProtocolError.
   *
   * @throws {ProtocolError} for bytes that break the protocol; `lost()` is then what remains to be called.
   */
  receive(frame: Frame, out: FrameWriter): Promise<void> | undefined;
  /** The deadline has passed: answers by policy. Returns a promise as `receive` does, with a deadline of its own. */
  expire(out: FrameWriter): Promise<void> | undefined;
  /** The connection is over. The promise, if any, settles when all have heard of it; it never rejects. */
  lost(): Promise<void> | undefined;
}
