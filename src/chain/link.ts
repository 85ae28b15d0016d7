/**
 * The contract between the server and whatever answers a mail: a filter in this isolate, in a sandbox, or elsewhere.
 *
 * A link takes the MTA's frames and gives reply frames; nobody else needs to know what carries them.
 *
 * @module
 */
import type { Agreement, Frame, FrameWriter, Options } from "../protocol/mod.ts";
import type { SessionHost } from "../session/plan.ts";

/** One filter, ready to serve any number of MTA connections. */
export interface Link {
  readonly name: string;
  /**
   * Opens a session for one MTA connection.
   *
   * @param answerData Negotiate for a carrier with delayed acknowledgements; see `wantsOf`.
   */
  open(host: SessionHost, answerData: boolean): LinkSession;
  /**
   * What its sessions would answer to that offer, `answerData` being false, if that is known without asking: a link that
   * no mail of a connection concerns is then not asked at all.
   */
  foretell?(offer: Options): Agreement | undefined;
  /** Unloads the filter; sessions that are still open fail by policy. */
  close(): Promise<void>;
}

/** One MTA connection as a link sees it. Every implementation passes `link_contract.ts`. */
export interface LinkSession {
  /** A mail has begun and has no verdict yet. */
  readonly mailOpen: boolean;
  /** The MTA has said goodbye: close the connection once the replies are out. */
  readonly finished: boolean;
  /** Works on the end of a message: the only place where every MTA takes SMFIR_PROGRESS. */
  readonly awaitingEndOfMessage: boolean;
  /**
   * When a filter at work on the end of a message last gave a sign of life (SMFIR_PROGRESS), ms on the host's clock: its
   * time counts from there. The sign is not in `out`, because the server sends its own. Undefined: there was none.
   */
  readonly progressed?: number;
  /**
   * Takes a frame and appends the replies to `out`.
   *
   * Undefined when all is done, else a promise: hold the frame, and receive no other, until it settles or `expire` has
   * been called. It rejects only with a ProtocolError.
   *
   * @throws {ProtocolError} for bytes that break the protocol; `lost()` is then what remains to be called.
   */
  receive(frame: Frame, out: FrameWriter): Promise<void> | undefined;
  /** The deadline, `ms` after `receive`, has passed: answers by policy. Returns a promise as `receive` does. */
  expire(out: FrameWriter, ms: number): Promise<void> | undefined;
  /** The connection is over. The promise, if any, settles when the filter has heard of it; it never rejects. */
  lost(): Promise<void> | undefined;
}
