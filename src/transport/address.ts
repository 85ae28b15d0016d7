/**
 * Socket addresses in the milter spelling (smfi_setconn): `inet:port@host`, `inet6:port@host`, `unix:/path`,
 * `local:/path`.
 *
 * @module
 */
import { correction } from "./address_correction.ts";

/** A TCP port on an address or host name. */
export interface InetAddress {
  readonly kind: "inet";
  /** 4 for `inet:`, 6 for `inet6:`. */
  readonly family: 4 | 6;
  /** IP address without brackets, or host name. `0.0.0.0` and `::` are all addresses of the machine. */
  readonly host: string;
  /** 0 to 65535; 0 lets the system choose a free port when listening. */
  readonly port: number;
}

/** A Unix socket. */
export interface UnixAddress {
  readonly kind: "unix";
  /** Absolute path of the socket file, at most {@linkcode longestUnixPath} bytes. */
  readonly path: string;
}

/** Where a milter listens, or where an MTA finds it. */
export type Address = InetAddress | UnixAddress;

/** Longest path of a Unix socket in bytes: `sun_path` of Linux holds 108, with the closing NUL. */
export const longestUnixPath = 107;

/** A text that is not a socket address. The message holds the right spelling where it can be guessed. */
export class AddressError extends Error {
  override readonly name = "AddressError";
  /** The spelling that was most likely meant, undefined if there is no guess. */
  readonly suggestion: string | undefined;

  constructor(message: string, suggestion?: string) {
    super(message);
    this.suggestion = suggestion;
  }
}

/** Longer texts are cut in messages. */
const longestQuote = 200;
/** RFC 1035 section 2.3.4. */
const longestHost = 253;
const allSpellings = "inet:8891@127.0.0.1, inet6:8891@[::1] or unix:/run/millrace/millrace.sock";

/**
 * Reads a socket address. The kind may be in any case; a host may stand in brackets; without `@host` it means all
 * addresses of the machine.
 *
 * Names for ports are not taken, unlike in libmilter: no service of this kind is registered, and what such a name
 * means differs from machine to machine.
 *
 * @throws {AddressError} If the text is anything else. Spellings of other programs (`tcp:host:port`, Postfix's
 * `inet:host:port`, `host:port`, `unix://path`, a bare path) are answered with the right one.
 */
export function parseAddress(text: string): Address {
  const corrected = correction(text);
  if (corrected !== undefined) {
    // A guess is only offered if it is right itself.
    if (corrected.suggestion !== undefined && isAddress(corrected.suggestion)) {
      throw refuse(text, `${corrected.reason}; write ${corrected.suggestion}`, corrected.suggestion);
    }
    throw refuse(text, `${corrected.reason}; expected ${allSpellings}`);
  }
  const colon = text.indexOf(":");
  const kind = text.slice(0, Math.max(colon, 0)).toLowerCase();
  const rest = text.slice(colon + 1);
  switch (kind) {
    case "unix":
    case "local":
      return parseUnix(text, kind, rest);
    case "inet":
      return parseInet(text, 4, rest);
    case "inet6":
      return parseInet(text, 6, rest);
    default:
      throw refuse(text, `it does not start with inet:, inet6: or unix:; expected ${allSpellings}`);
  }
}

/**
 * Writes an address in the milter spelling. {@linkcode parseAddress} reads it back to the same address.
 */
export function formatAddress(address: Address): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  if (address.family === 4) return `inet:${address.port}@${address.host}`;
  return `inet6:${address.port}@${bracketed(address.host)}`;
}

/** A host as it stands in front of a port: IPv6 addresses in brackets. */
export function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

function isAddress(text: string): boolean {
  try {
    parseAddress(text);
    return true;
  } catch (error) {
    if (error instanceof AddressError) return false;
    throw error;
  }
}

function parseUnix(text: string, kind: string, path: string): UnixAddress {
  if (path === "") throw refuse(text, `the path is missing; write ${kind}:/run/millrace/millrace.sock`);
  if (path.startsWith("@")) {
    throw refuse(
      text,
      `sockets without a file have no owner and no mode; write ${kind}: and an absolute path`,
    );
  }
  if (!path.startsWith("/")) {
    throw refuse(
      text,
      `the path is relative; write ${kind}: and the whole path from /, such as unix:/run/${path}`,
    );
  }
  if ([...path].some((character) => character < " " || character === "\x7f")) {
    throw refuse(text, "the path has control characters; leave them out");
  }
  if (path.endsWith("/")) throw refuse(text, "the path names a directory; add the name of the socket file");
  const bytes = new TextEncoder().encode(path).length;
  if (bytes > longestUnixPath) {
    throw refuse(
      text,
      `the path has ${bytes} bytes, the system takes ${longestUnixPath}; choose a shorter one`,
    );
  }
  return { kind: "unix", path };
}

function parseInet(text: string, family: 4 | 6, rest: string): InetAddress {
  const kind = family === 4 ? "inet" : "inet6";
  const at = rest.indexOf("@");
  const portText = at < 0 ? rest : rest.slice(0, at);
  const example = `${kind}:8891@${family === 4 ? "127.0.0.1" : "[::1]"}`;
  if (portText === "") throw refuse(text, `the port is missing; write ${example}`);
  if (!/^[0-9]+$/.test(portText)) {
    throw refuse(
      text,
      `the port ${quote(portText)} is not a number, and names of services are not looked up; ` +
        `write ${example}`,
    );
  }
  const port = Number(portText);
  if (port > 65535) throw refuse(text, `the port ${quote(portText)} is out of range; expected 0 to 65535`);
  if (at < 0) return { kind: "inet", family, host: family === 4 ? "0.0.0.0" : "::", port };
  return { kind: "inet", family, host: parseHost(text, family, rest.slice(at + 1), port), port };
}

/** The host without brackets, IPv6 addresses in their shortest form (RFC 5952). */
function parseHost(text: string, family: 4 | 6, given: string, port: number): string {
  const host = given.startsWith("[") && given.endsWith("]") ? given.slice(1, -1) : given;
  if (host === "") {
    throw refuse(text, `the host after "@" is missing; leave "@" out for all addresses of this machine`);
  }
  if (host.includes(":")) {
    const canonical = canonicalIpv6(host);
    if (canonical === undefined) {
      throw refuse(text, `${quote(host)} is not an IPv6 address; expected one such as [::1]`);
    }
    if (family === 6) return canonical;
    const suggestion = `inet6:${port}@[${canonical}]`;
    throw refuse(text, `${quote(host)} is an IPv6 address; write ${suggestion}`, suggestion);
  }
  if (/^[0-9.]+$/.test(host)) {
    if (!isIpv4(host)) {
      throw refuse(text, `${quote(host)} is not an IPv4 address; expected one such as 127.0.0.1`);
    }
    if (family === 4) return host;
    const suggestion = `inet:${port}@${host}`;
    throw refuse(text, `${quote(host)} is an IPv4 address; write ${suggestion}`, suggestion);
  }
  if (host.length > longestHost || host !== given || !/^(?!-)[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?$/i.test(host)) {
    throw refuse(
      text,
      `${quote(host)} is not a host name or address; expected one such as 127.0.0.1 or localhost`,
    );
  }
  return host;
}

function isIpv4(host: string): boolean {
  const parts = host.split(".");
  return parts.length === 4 &&
    parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255);
}

function canonicalIpv6(host: string): string | undefined {
  if (!/^[0-9a-f:.]+$/i.test(host) || !URL.canParse(`http://[${host}]/`)) return undefined;
  return new URL(`http://[${host}]/`).hostname.slice(1, -1);
}

function refuse(text: string, reason: string, suggestion?: string): AddressError {
  return new AddressError(`Cannot read the socket address ${quote(text)}: ${reason}`, suggestion);
}

function quote(text: string): string {
  return JSON.stringify(text.length > longestQuote ? `${text.slice(0, longestQuote)}…` : text);
}
