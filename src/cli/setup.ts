/**
 * What commands make of a configuration alike: the filter to run, and what the mail servers are to be told.
 *
 * @module
 */
import type { Address } from "../transport/address.ts";
import { postfixSpelling, sendmailSpelling } from "../transport/mta_spelling.ts";
import { CommandError } from "./command.ts";
import type { OpenFilter } from "./open_filter.ts";
import type { OpenFilters } from "./open_filters.ts";

/**
 * The filter to run. This version runs one; leaving the others out silently would let mail pass unfiltered.
 *
 * @throws {CommandError} if there are several
 */
export function onlyFilter({ filters, upstreams }: OpenFilters): OpenFilter {
  if (filters.length === 1 && upstreams.length === 0) return filters[0];
  const names = [...filters.map(({ config }) => config), ...upstreams].map(({ name }) => name);
  throw new CommandError(
    `Cannot run ${names.length} filters (${names.join(", ")}): this version runs ` +
      "one in a process; keep one, or give each a configuration and an address of its own, and list the addresses " +
      "in the mail server's configuration",
    2,
  );
}

/** The line for Postfix's `main.cf`. */
export function postfixLine(address: Address): string {
  return `smtpd_milters = ${postfixSpelling(address)}`;
}

/** The line for Sendmail's `sendmail.mc`. With `F=T` mail waits while millrace is down; without it, it passes. */
export function sendmailLine(address: Address): string {
  return `INPUT_MAIL_FILTER(\`millrace', \`S=${sendmailSpelling(address)}, F=T')dnl`;
}
