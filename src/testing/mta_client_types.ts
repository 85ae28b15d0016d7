/**
 * Options, results and errors of the milter client.
 *
 * @module
 */
import type { Reply } from "../protocol/mod.ts";
import type { MtaAnswer, Sent } from "../session/mta_types.ts";
import type { Dialect } from "./edited_mail.ts";
import type { TraceEntry } from "./trace.ts";

/** Which mail server to play, for which client. Everything has a default. */
export interface MtaClientOptions {
  /** Default: `postfix`. */
  readonly dialect?: Dialect;
  /** Protocol version to offer, 2 to 6. Default: 6. */
  readonly version?: number;
  /** SMFIF_* and SMFIP_* words to offer in place of the dialect's. */
  readonly actions?: number;
  readonly protocol?: number;
  /** The SMTP client. Default: `client.example.org`, 192.0.2.1, port 40000. */
  readonly client?: { readonly host?: string; readonly address?: string; readonly port?: number };
  /** Name in HELO. Default: the client's host. */
  readonly helo?: string;
  /** Macro values by name, with or without braces, in place of the dialect's own. */
  readonly macros?: Readonly<Record<string, string>>;
  /** Longest wait for one reply, ms; each frame of the filter starts it anew. Default: 30,000. */
  readonly timeout?: number;
  /** Longest wait for the whole answer to the end of a message, ms, as Sendmail has it. Default: 300,000. */
  readonly endTimeout?: number;
  /**
   * Find out who it is, if nobody answers the negotiation: sends an empty line, which servers of text protocols answer.
   * A milter that is only slow takes it for a broken frame. Default: false.
   */
  readonly probe?: boolean;
  /** Closes the connection when aborted. */
  readonly signal?: AbortSignal;
  /** Sees each frame as it is sent or read. */
  readonly onFrame?: (entry: TraceEntry) => void;
}

/** What happened to one command. */
export interface Exchange {
  readonly sent: Sent;
  /** The answer, if one was waited for. */
  readonly answer: MtaAnswer | undefined;
  /** Edits that came before the answer. */
  readonly edits: readonly Reply[];
}

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
