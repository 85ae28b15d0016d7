/**
 * Errors of the transport.
 *
 * @module
 */

/**
 * Why a socket could not be opened, for callers that act on the reason:
 *
 * - `in-use`: another program listens there
 * - `not-a-socket`: something that is not a socket has that name
 * - `denied`: file permissions, or a port only root may bind
 * - `missing`: no such directory, socket, host, address of this machine, or group
 * - `refused`: nothing listens there
 * - `timeout`: no answer in time
 * - `flag`: Deno was started without a permission that is needed
 * - `accept`: a listener could not take a waiting connection; it tries again
 * - `leftover`: a socket file could not be removed at the end
 * - `other`: what the system said is in the message and in `cause`
 */
export type TransportErrorKind =
  | "in-use"
  | "not-a-socket"
  | "denied"
  | "missing"
  | "refused"
  | "timeout"
  | "flag"
  | "accept"
  | "leftover"
  | "other";

/** A socket that could not be opened, accepted from or removed. The message says which, why, and what to do. */
export class TransportError extends Error {
  override readonly name = "TransportError";
  /** The reason, for programs. */
  readonly kind: TransportErrorKind;

  constructor(kind: TransportErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** What an unknown thrown value says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
