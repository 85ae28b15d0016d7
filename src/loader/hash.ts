/**
 * SHA-256, written as JSR writes it: `sha256-` and 64 hexadecimal digits, which are those of sha256sum(1).
 *
 * @module
 */

/** `sha256-` and 64 digits. */
export const HASH = /^sha256-[0-9a-f]{64}$/;

/** The hash of bytes. */
export async function hashOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return `sha256-${new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex()}`;
}
