/**
 * NUL-closed text inside a payload, found without decoding it.
 *
 * @module
 */
import { letter } from "./codes.ts";
import { ProtocolError } from "./errors.ts";
import { kept } from "./kept.ts";

/** The most strings in one frame (ESMTP arguments, macro pairs). */
export const MAX_STRINGS = 1000;

/**
 * Index of the NUL that closes the text starting at `start`.
 *
 * @throws {ProtocolError} `truncated` if nothing is left, `bad-text` if the NUL is missing.
 */
export function textEnd(bytes: Uint8Array, start: number, end: number, code: number, field: string): number {
  if (start >= end) {
    throw new ProtocolError("truncated", `Cannot read command ${letter(code)}: it ends before the ${field}`);
  }
  const at = bytes.indexOf(0, start);
  if (at === -1 || at >= end) {
    throw new ProtocolError(
      "bad-text",
      `Cannot read command ${letter(code)}: the ${field} has no closing NUL`,
    );
  }
  return at;
}

/**
 * All NUL-closed strings of a payload, as copies.
 *
 * @throws {ProtocolError} `bad-text` if the last one has no NUL, `too-many` over the limit.
 */
export function texts(
  bytes: Uint8Array,
  start: number,
  end: number,
  code: number,
  field: string,
): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let at = start; at < end;) {
    if (found.length === MAX_STRINGS) {
      throw new ProtocolError("too-many", `Cannot read command ${letter(code)}: over ${MAX_STRINGS} strings`);
    }
    const stop = textEnd(bytes, at, end, code, field);
    found.push(kept(bytes, at, stop));
    at = stop + 1;
  }
  return found;
}

/** A big-endian number of four bytes. @throws {ProtocolError} `truncated`. */
export function u32(bytes: Uint8Array, start: number, end: number, code: number, field: string): number {
  if (end - start < 4) {
    throw new ProtocolError("truncated", `Cannot read command ${letter(code)}: it ends inside the ${field}`);
  }
  return (bytes[start] << 24 | bytes[start + 1] << 16 | bytes[start + 2] << 8 | bytes[start + 3]) >>> 0;
}
