/**
 * A milter's address as mail servers want it in their own configuration.
 *
 * @module
 */
import { type Address, bracketed, formatAddress } from "./address.ts";

/** How Postfix was set up. */
export interface PostfixSpellingOptions {
  /**
   * Postfix's `queue_directory`. Its processes work there, and many are locked into it (chroot), so that a socket
   * below it is named from there; such a name is right for both.
   * @default {"/var/spool/postfix"}
   */
  readonly queueDirectory?: string;
}

/**
 * The address for Postfix's `smtpd_milters`: `inet:127.0.0.1:8891`, `inet:[::1]:8891`, `unix:/run/m.sock`, or
 * `unix:millrace/m.sock` for a socket below the queue directory (Postfix MILTER_README). "All addresses" becomes
 * the loopback address: a client needs a single one.
 */
export function postfixSpelling(address: Address, options: PostfixSpellingOptions = {}): string {
  if (address.kind === "inet") return `inet:${bracketed(reachable(address.host))}:${address.port}`;
  const { queueDirectory = "/var/spool/postfix" } = options;
  const prefix = queueDirectory.endsWith("/") ? queueDirectory : `${queueDirectory}/`;
  const { path } = address;
  return `unix:${path.startsWith(prefix) ? path.slice(prefix.length) : path}`;
}

/**
 * The address for `S=` of Sendmail's `INPUT_MAIL_FILTER` or `X` line: `inet:8891@127.0.0.1`, `inet6:8891@[::1]`,
 * `unix:/run/m.sock` (Sendmail's cf/README). "All addresses" becomes the loopback address.
 */
export function sendmailSpelling(address: Address): string {
  if (address.kind === "unix") return formatAddress(address);
  return formatAddress({ ...address, host: reachable(address.host) });
}

function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}
