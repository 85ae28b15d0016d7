/**
 * Networks in CIDR form (RFC 4632, RFC 4291 section 2.3), and which addresses are in them.
 *
 * @module
 */
import ipaddr from "ipaddr.js";
import type { NetworkSet } from "./condition.ts";

type Address = ReturnType<typeof ipaddr.parse>;

/** A network: an address and the number of its bits that count. */
export interface Network {
  readonly address: Address;
  readonly bits: number;
}

const EXPECTED = "expected an IP address or network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32";

/**
 * Reads an address or a network. One of IPv4-mapped addresses (`::ffff:192.0.2.0/120`) becomes that of IPv4.
 *
 * @throws {TypeError} if it is none, or has bits set beyond its prefix length.
 */
export function parseNetwork(text: string): Network {
  const [host, prefix, ...rest] = text.split("/");
  // The parser also takes octal, hexadecimal and shortened IPv4 addresses, which are more often mistakes than meant.
  const plain = host.includes(":")
    ? ipaddr.IPv6.isValid(host) && !host.includes("%")
    : ipaddr.IPv4.isValidFourPartDecimal(host);
  if (!plain || rest.length > 0) throw new TypeError(EXPECTED);
  const written = ipaddr.parse(host);
  const width = written.kind() === "ipv4" ? 32 : 128;
  const length = prefix === undefined ? width : Number(prefix);
  if (prefix !== undefined && (!/^\d{1,3}$/.test(prefix) || length > width)) {
    throw new TypeError(`has the prefix length "${prefix}", expected 0 to ${width}`);
  }
  const first = written.kind() === "ipv4"
    ? ipaddr.IPv4.networkAddressFromCIDR(`${host}/${length}`)
    : ipaddr.IPv6.networkAddressFromCIDR(`${host}/${length}`);
  if (first.toString() !== written.toString()) {
    throw new TypeError(`has bits set after the first ${length}; write ${first.toString()}/${length}`);
  }
  const mapped = written instanceof ipaddr.IPv6 && written.isIPv4MappedAddress() && length >= 96;
  return mapped ? { address: ipaddr.process(host), bits: length - 96 } : { address: written, bits: length };
}

/** Is the address in one of the networks? An IPv4-mapped address counts as the IPv4 address that it holds. */
export function inNetworks(networks: readonly Network[], address: string | undefined): boolean {
  // A socket path and the address of a local submission are in no network.
  if (address === undefined || !ipaddr.isValid(address)) return false;
  const candidate = ipaddr.process(address);
  return networks.some(({ address, bits }) => {
    return address.kind() === candidate.kind() && candidate.match(address, bits);
  });
}

/** Networks as a condition asks them. */
export function networkSet(networks: readonly Network[]): NetworkSet {
  return { sources: networks.map(formatNetwork), has: (address) => inNetworks(networks, address) };
}

/** As {@linkcode parseNetwork} reads it; without a prefix length if it is a single address. */
function formatNetwork({ address, bits }: Network): string {
  const width = address.kind() === "ipv4" ? 32 : 128;
  return bits === width ? address.toString() : `${address.toString()}/${bits}`;
}
