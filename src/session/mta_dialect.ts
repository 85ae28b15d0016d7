/**
 * Where Postfix and Sendmail differ as the MTA of a milter (milter-protocol, 9.4).
 *
 * @module
 */
import { MAX_VERSION, MIN_VERSION, type Options } from "../protocol/mod.ts";

/** Whose ways the client side follows. */
export type MtaDialect = "postfix" | "sendmail";

/** Protocol flags by version; the actions of Postfix are the same for every version, Sendmail's grew. */
const PROTOCOL = [0x7f, 0x17f, 0x37f, 0x37f, 0x1fffff];

/**
 * What the MTA offers at a version, 2 to 6 (milter-protocol, 2.4).
 *
 * @throws {RangeError} for any other version.
 */
export function offerOf(dialect: MtaDialect, version: number = MAX_VERSION): Options {
  if (!Number.isInteger(version) || version < MIN_VERSION || version > MAX_VERSION) {
    throw new RangeError(
      `Cannot play an MTA of protocol version ${version}: expected ${MIN_VERSION} to ${MAX_VERSION}`,
    );
  }
  const actions = dialect === "sendmail" && version < 6 ? 0x3f : 0x1ff;
  return { version, actions, protocol: PROTOCOL[version - MIN_VERSION] };
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** A client's IPv6 address as the dialect writes it: Postfix as it is, Sendmail uncompressed with `IPv6:` before it. */
export function wireAddress(dialect: MtaDialect, address: Uint8Array): Uint8Array {
  const bare = decoder.decode(address).replace(/^IPv6:/i, "");
  return encoder.encode(dialect === "postfix" ? bare : `IPv6:${uncompressed(bare)}`);
}

/** `2001:db8::1` as `2001:db8:0:0:0:0:0:1`; what is no such address stays as it is. */
function uncompressed(address: string): string {
  const halves = address.split("::");
  if (halves.length !== 2 || address.includes(".")) return address;
  const [before, after] = halves.map((half) => half === "" ? [] : half.split(":"));
  const missing = 8 - before.length - after.length;
  return missing < 0 ? address : [...before, ...Array(missing).fill("0"), ...after].join(":");
}
