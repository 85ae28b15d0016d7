/**
 * The mail as a filter sees it: client, envelope, header, body, macros.
 *
 * @module
 */
import type { HeaderList } from "./header_list.ts";

/** The SMTP client (SMFIC_CONNECT). */
export interface Client {
  /** Verified host name, or the address in brackets (`[192.0.2.7]`) when there is none. */
  readonly host: string;
  /** Address family. `unix` and `unknown` come from local submission. */
  readonly family: "inet" | "inet6" | "unix" | "unknown";
  /** Address in text form without Sendmail's `IPv6:` prefix and in the short form (RFC 5952), a socket path for `unix`, undefined for `unknown`. */
  readonly address: string | undefined;
  /** TCP port, 0 if the MTA does not know it. */
  readonly port: number;
}

/** An address of the envelope (RFC 5321 section 4.1.1.2 and 4.1.1.3), from SMFIC_MAIL or SMFIC_RCPT. */
export interface EnvelopeAddress {
  /** The address as the client typed it, angle brackets included, byte for byte. */
  readonly raw: Uint8Array<ArrayBuffer>;
  /** The address without angle brackets, decoded as UTF-8; `""` is the null sender. */
  readonly address: string;
  /** The part after the last `@`, in lower case; `""` if there is none. */
  readonly domain: string;
  /** The ESMTP arguments in order, for example `["SIZE=100", "BODY=8BITMIME"]`. */
  readonly args: readonly string[];
  /** Value of an ESMTP parameter (any case), `""` for one without a value, undefined if absent. */
  parameter(name: string): string | undefined;
  /** Set on a recipient that the MTA itself refused (asked for with `refusedRecipients`): the reason, from `{rcpt_addr}`. */
  readonly refused?: string;
}

/** The body in wire form: CRLF line ends, dots unstuffed, any byte (SMFIC_BODY). */
export interface Body {
  /** Length in bytes. */
  readonly size: number;
  /** The whole body. Do not change it; the same array is returned each time. */
  bytes(): Uint8Array<ArrayBuffer>;
  /** The whole body decoded as UTF-8, with replacement characters where it is not. */
  text(): string;
  /** The body as a stream of chunks; each call starts anew. */
  stream(): ReadableStream<Uint8Array<ArrayBuffer>>;
}

/** Macro values of the MTA (SMFIC_MACRO). */
export interface Macros {
  /** Value by name, `{name}` and `name` alike; the latest stage first, as smfi_getsymval does. Undefined if not sent. */
  get(name: string): string | undefined;
}

/** A whole mail, as the `message` hook gets it. */
export interface Mail {
  readonly client: Client;
  /** Name given at HELO or EHLO; undefined if there was none. */
  readonly helo: string | undefined;
  readonly sender: EnvelopeAddress;
  /** The accepted recipients, in order. */
  readonly recipients: readonly EnvelopeAddress[];
  readonly headers: HeaderList;
  readonly body: Body;
  readonly macros: Macros;
  /** The MTA's queue id (macro `i`), if it sent one. */
  readonly queueId: string | undefined;
}
