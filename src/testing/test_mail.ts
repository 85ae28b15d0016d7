/**
 * The mail of a test, and how it comes in.
 *
 * @module
 */

/** The mail to run, and how it comes in. Everything but the mail has a default. */
export interface TestMail {
  /** A mail file: header, empty line, body; LF or CRLF. */
  readonly message?: string | Uint8Array;
  /** Envelope sender, with or without angle brackets; `""` is the null sender. Default: `sender@example.org`. */
  readonly sender?: string;
  /** ESMTP arguments of MAIL, such as `"SIZE=1000"`. */
  readonly senderArgs?: readonly string[];
  /** Envelope recipients. Default: `recipient@example.com`. */
  readonly recipients?: readonly string[];
  /** The SMTP client. Default: `client.example.org`, 192.0.2.1. */
  readonly client?: { readonly host?: string; readonly address?: string; readonly port?: number };
  /** Name in HELO. Default: the client's host. */
  readonly helo?: string;
  /** Macro values for all stages, such as `{ i: "4F2A", "{auth_type}": "PLAIN" }`. Default: `{ i: "TEST" }`. */
  readonly macros?: Readonly<Record<string, string>>;
}
