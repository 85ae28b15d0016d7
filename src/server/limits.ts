/**
 * Limits of the server, with their defaults.
 *
 * @module
 */

/** Bounds on what MTAs may take of the process. */
export interface Limits {
  /** Open MTA connections; one more is closed at once, and the MTA applies its own default action. */
  readonly connections: number;
  /** Silence of an MTA before its connection is closed, ms. An idle SMTP client keeps it silent: libmilter waits 7,210 s. */
  readonly idle: number;
  /** Time for open mails to finish after the signal to stop, ms. */
  readonly drain: number;
  /** Length of one frame, bytes. */
  readonly frame: number;
  /** Header names and values of one mail, bytes. */
  readonly headers: number;
  /** Body of one mail kept for a `message` hook, bytes. */
  readonly body: number;
  /** Recipients of one mail. */
  readonly recipients: number;
}

/** What holds where the configuration says nothing. */
export const DEFAULT_LIMITS: Limits = Object.freeze({
  connections: 1000,
  idle: 7_210_000,
  drain: 30_000,
  frame: 1024 * 1024 + 4096,
  headers: 1024 * 1024,
  body: 64 * 1024 * 1024,
  recipients: 10_000,
});
