/**
 * Client and envelope addresses from the wire, in the form filters see.
 *
 * @module
 */
import type { Client, EnvelopeAddress } from "../filter/mod.ts";
import type { ConnectCommand } from "../protocol/mod.ts";

const decoder = new TextDecoder();

/** The address as Postfix writes it (RFC 5952), so that a filter sees one spelling; Sendmail writes all eight groups. */
function shortIpv6(address: string): string {
  const url = `http://[${address}]/`;
  return URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : address;
}

/** The client of a mail when the MTA did not say. */
export const UNKNOWN_CLIENT: Client = Object.freeze({
  host: "unknown",
  family: "unknown",
  address: undefined,
  port: 0,
});

/** The client of a SMFIC_CONNECT. Sendmail's `IPv6:` prefix goes. */
export function clientOf(command: ConnectCommand): Client {
  const text = decoder.decode(command.address);
  const address = command.family === "inet6" ? shortIpv6(text.replace(/^IPv6:/i, "")) : text;
  return {
    host: decoder.decode(command.host),
    family: command.family,
    address: command.family === "unknown" ? undefined : address,
    port: command.port,
  };
}

/** An address of MAIL or RCPT with its ESMTP arguments. */
export class WireAddress implements EnvelopeAddress {
  readonly #raw: Uint8Array;
  readonly address: string;
  readonly args: readonly string[];
  readonly refused?: string;

  constructor(raw: Uint8Array, args: readonly Uint8Array[], refused?: string) {
    this.#raw = raw;
    this.args = args.map((arg) => decoder.decode(arg));
    const text = decoder.decode(raw).trim();
    this.address = text.startsWith("<") && text.endsWith(">") ? text.slice(1, -1) : text;
    if (refused !== undefined) this.refused = refused;
  }

  get raw(): Uint8Array<ArrayBuffer> {
    return this.#raw.slice();
  }

  get domain(): string {
    const at = this.address.lastIndexOf("@");
    return at === -1 ? "" : this.address.slice(at + 1).toLowerCase();
  }

  parameter(name: string): string | undefined {
    const wanted = name.toUpperCase();
    for (const arg of this.args) {
      const equals = arg.indexOf("=");
      const keyword = equals === -1 ? arg : arg.slice(0, equals);
      if (keyword.toUpperCase() === wanted) return equals === -1 ? "" : arg.slice(equals + 1);
    }
    return undefined;
  }
}
