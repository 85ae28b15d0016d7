/**
 * The macros that conditions read: when each is known, and which of them an MTA has to be asked for.
 *
 * @module
 */
import type { MacroRequest } from "../filter/mod.ts";
import type { Pattern } from "./patterns.ts";
import type { StageSet } from "./stages.ts";

/** A condition on a macro. Where the macro is not set it is false, whatever is asked. */
export type MacroLeaf =
  /** The client has logged in, talks TLS: `{auth_authen}`, `{tls_version}` have a value. */
  | { readonly kind: "authenticated" | "tls" }
  /** The name of the MTA's daemon that took the connection: `{daemon_name}`. */
  | { readonly kind: "daemon"; readonly patterns: readonly Pattern[] }
  /** Any macro, by its name without braces. */
  | { readonly kind: "macro"; readonly name: string; readonly patterns: readonly Pattern[] };

/** Where a macro is to be had. */
export interface MacroPlace {
  /**
   * The stages at which it becomes known: from the first one on as soon as it is set; at the last one a macro that is
   * not set counts as never set.
   */
  readonly known: StageSet;
  /** The stages in whose list of macros it belongs. */
  readonly lists: readonly (keyof MacroRequest)[];
  /** Postfix and Sendmail send it unasked, or the one of them does that has it at all. */
  readonly unasked: boolean;
}

const CONNECT: MacroPlace = { known: ["connect"], lists: ["connect"], unasked: true };
const CONNECT_ASKED: MacroPlace = { ...CONNECT, unasked: false };
/**
 * STARTTLS comes after a first HELO, so what HELO says of TLS holds from MAIL on. The macros come with the second HELO
 * (RFC 3207 section 4.2): a client that leaves that out is taken for one without TLS.
 */
const TLS: MacroPlace = { known: ["mail"], lists: ["helo"], unasked: true };
const MAIL: MacroPlace = { known: ["mail"], lists: ["mail"], unasked: true };
/** Sendmail has the queue id at MAIL, Postfix after the first recipient. */
const QUEUE_ID: MacroPlace = {
  known: ["mail", "endOfHeaders"],
  lists: ["mail", "endOfHeaders"],
  unasked: true,
};
/**
 * What no list has by default, such as the macros that rulesets of Sendmail set. It is asked for at MAIL, by which most
 * are set, and at the end of the header, when even `{msg_id}` is. The first value that is seen holds for the mail.
 */
const OTHER: MacroPlace = { ...QUEUE_ID, unasked: false };

/** By the default lists of both (Sendmail's cfhead.m4, Postfix's mail_params.h). Names without braces. */
export const PLACES: ReadonlyMap<string, MacroPlace> = new Map([
  ...each("j _ daemon_name if_name if_addr", CONNECT),
  ...each(
    "v daemon_addr daemon_port client_addr client_name client_ptr client_port client_connections client_resolve",
    CONNECT_ASKED,
  ),
  ...each("tls_version cipher cipher_bits cert_subject cert_issuer", TLS),
  ...each("auth_type auth_authen auth_ssf auth_author mail_mailer mail_host mail_addr", MAIL),
  ...each("i", QUEUE_ID),
]);

function each(names: string, place: MacroPlace): (readonly [string, MacroPlace])[] {
  return names.split(" ").map((name) => [name, place]);
}

/** Macros with another value for each recipient, of which a condition on the mail would see any one. */
export const RECIPIENT_MACROS: readonly string[] = ["rcpt_addr", "rcpt_host", "rcpt_mailer"];

/** Where a macro is to be had, by its name without braces. */
export function placeOf(name: string): MacroPlace {
  return PLACES.get(name) ?? OTHER;
}

/** The macro that a condition reads, without braces. */
export function macroOf(leaf: MacroLeaf): string {
  switch (leaf.kind) {
    case "authenticated":
      return "auth_authen";
    case "tls":
      return "tls_version";
    case "daemon":
      return "daemon_name";
    case "macro":
      return leaf.name;
  }
}
