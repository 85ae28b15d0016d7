/**
 * The one error of this folder: the peer sent what the protocol does not allow.
 *
 * @module
 */

/** What was wrong with the peer's bytes. */
export type ProtocolErrorCode =
  /** Bytes of another protocol: HTTP, TLS, SMTP, clamd … */
  | "foreign"
  /** A frame of length 0; the length counts the command byte, so 1 is the least. */
  | "zero-length"
  /** A frame over the limit. */
  | "too-large"
  /** A command or reply byte that the protocol does not have. */
  | "unknown-code"
  /** A command or reply at a stage where it is not legal. */
  | "wrong-stage"
  /** A field ends too early. */
  | "truncated"
  /** Text without its closing NUL, or a NUL where none may be. */
  | "bad-text"
  /** A list with more entries than allowed. */
  | "too-many"
  /** A value that the protocol does not know. */
  | "bad-value";

/** Thrown for bytes that break the milter protocol. The connection cannot go on after it. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  readonly code: ProtocolErrorCode;

  constructor(code: ProtocolErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
