/**
 * Addresses to connect to: some are only for listening.
 *
 * @module
 */
import { type Address, AddressError, formatAddress } from "./address.ts";
import { sendmailSpelling } from "./mta_spelling.ts";

/**
 * Refuses an address that nobody can connect to.
 *
 * @throws {AddressError} If it has no host, or port 0.
 */
export function refuseListenOnly(address: Address): void {
  if (address.kind === "unix") return;
  if (address.port === 0) {
    throw new AddressError(`Cannot connect to ${formatAddress(address)}: port 0 is only for listening`);
  }
  if (address.host === "0.0.0.0" || address.host === "::") {
    const suggestion = sendmailSpelling(address);
    const message = `Cannot connect to ${formatAddress(address)}: that is all addresses of a machine, for ` +
      `listening only; write ${suggestion}`;
    throw new AddressError(message, suggestion);
  }
}
