/**
 * The error of the milter client.
 *
 * @module
 */

/** Why the milter gave no answer: `timeout`, `closed` by it, `stranger` (no milter), or `broken` (against the protocol). */
export type MtaClientErrorKind = "timeout" | "closed" | "stranger" | "broken";

/** The milter did not answer as the protocol demands; the connection is closed. */
export class MtaClientError extends Error {
  override readonly name = "MtaClientError";
  readonly kind: MtaClientErrorKind;

  constructor(kind: MtaClientErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
