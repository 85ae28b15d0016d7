/**
 * What commands make of a configuration alike: what the mail servers are to be told.
 *
 * @module
 */
import type { Address } from "../transport/address.ts";
import { postfixSpelling, sendmailSpelling } from "../transport/mta_spelling.ts";

/** The line for Postfix's `main.cf`. */
export function postfixLine(address: Address): string {
  return `smtpd_milters = ${postfixSpelling(address)}`;
}

/** The line for Sendmail's `sendmail.mc`. With `F=T` mail waits while millrace is down; without it, it passes. */
export function sendmailLine(address: Address): string {
  return `INPUT_MAIL_FILTER(\`millrace', \`S=${sendmailSpelling(address)}, F=T')dnl`;
}
