/**
 * Content-Transfer-Encodings (RFC 2045 section 6).
 *
 * Quoted-printable is done here and not by a library, because a footer is put into the encoded text at a place that
 * is found in the decoded text: what stands around it keeps its bytes, and the libraries give no positions.
 *
 * @module
 */
import iconv from "iconv-lite";

/** The encodings that can be written. `7bit` stands for a part without the field, too. */
export type TransferEncoding = "7bit" | "8bit" | "binary" | "quoted-printable" | "base64";

const CR = 0x0d, LF = 0x0a, EQUALS = 0x3d, SPACE = 0x20, TAB = 0x09;
const LINE = 76;
const SOFT_BREAK = "=\r\n";
const HEX = "0123456789ABCDEF";

/** Bytes as a string, one character a byte. (The `latin1` of TextDecoder is windows-1252, which is not that.) */
export function latin1(bytes: Uint8Array): string {
  return iconv.decode(bytes, "latin1");
}

/** The reverse of {@linkcode latin1}. */
export function fromLatin1(text: string): Uint8Array {
  return iconv.encode(text, "latin1");
}

/** Joins byte strings. */
export function concat(...pieces: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

/** What an encoded content means; undefined if it is not valid base64. Broken quoted-printable stands for itself. */
export function decode(content: Uint8Array, encoding: TransferEncoding): Uint8Array | undefined {
  if (encoding === "quoted-printable") return decodeQuoted(content).decoded;
  if (encoding !== "base64") return content;
  try {
    return fromLatin1(atob(latin1(content)));
  } catch {
    return undefined;
  }
}

/** Encodes a whole content. Base64 ends without a line end, as the boundary brings one. */
export function encode(content: Uint8Array, encoding: TransferEncoding): Uint8Array {
  if (encoding === "quoted-printable") return encodeQuoted(content);
  if (encoding !== "base64") return content;
  return fromLatin1(btoa(latin1(content)).replace(/.{76}(?!$)/g, "$&\r\n"));
}

/**
 * Puts decoded bytes into an encoded content; the encoded bytes before and behind stay, except in base64, where
 * a group of four characters does not end where the text does.
 *
 * @param at Position in the decoded content.
 */
export function insert(
  content: Uint8Array,
  decoded: Uint8Array,
  encoding: TransferEncoding,
  at: number,
  piece: Uint8Array,
): Uint8Array {
  if (encoding === "base64") {
    const whole = encode(concat(decoded.subarray(0, at), piece, decoded.subarray(at)), encoding);
    return content.at(-1) === LF ? concat(whole, Uint8Array.of(CR, LF)) : whole;
  }
  if (encoding !== "quoted-printable") return concat(content.subarray(0, at), piece, content.subarray(at));
  const atEnd = at === decoded.length;
  // Blanks at the end mean nothing (RFC 2045 section 6.7, rule 3), but would if something came behind them.
  const before = atEnd ? trimBlanks(content) : content.subarray(0, decodeQuoted(content, at).consumed);
  const after = atEnd ? new Uint8Array() : content.subarray(before.length);
  const coded = encodeQuoted(piece);
  const tail = after.length > 0 && coded.at(-1) !== LF ? SOFT_BREAK : "";
  return concat(before, fromLatin1(leadOf(before.at(-1), atEnd, piece)), coded, fromLatin1(tail), after);
}

/** What a piece needs before it in quoted-printable, so that neither line grows too long nor meaning changes. */
function leadOf(last: number | undefined, atEnd: boolean, piece: Uint8Array): string {
  if (last === undefined || last === LF) return "";
  // A lone "=" at the very end is a soft line break that lacks its line end.
  if (atEnd && last === EQUALS) return "\r\n";
  const kept = last !== EQUALS && last !== SPACE && last !== TAB;
  return kept && piece[0] === CR && piece[1] === LF ? "" : SOFT_BREAK;
}

/** Decodes quoted-printable up to a decoded length; `consumed` is how far that is in the encoded text. */
export function decodeQuoted(
  content: Uint8Array,
  length = Infinity,
): { readonly decoded: Uint8Array; readonly consumed: number } {
  const out = new Uint8Array(content.length);
  let size = 0;
  let at = 0;
  while (at < content.length && size < length) {
    const byte = content[at] ?? 0;
    if (byte === EQUALS) {
      const next = lineEnd(content, skipBlanks(content, at + 1));
      const high = hex(content[at + 1]);
      const low = hex(content[at + 2]);
      if (next !== undefined) {
        at = next;
        continue;
      }
      if (high >= 0 && low >= 0) {
        out[size++] = high * 16 + low;
        at += 3;
        continue;
      }
    } else if (byte === SPACE || byte === TAB) {
      // Blanks before a line end were added on the way (RFC 2045 section 6.7, rule 3).
      const behind = skipBlanks(content, at);
      if (lineEnd(content, behind) !== undefined) {
        at = behind;
        continue;
      }
      while (at < behind && size < length) out[size++] = content[at++] ?? 0;
      continue;
    }
    out[size++] = byte;
    at++;
  }
  return { decoded: out.subarray(0, size), consumed: at };
}

function encodeQuoted(content: Uint8Array): Uint8Array {
  const out = new Uint8Array(quotedLength(content));
  let size = 0;
  let column = 0;
  for (let at = 0; at < content.length; at++) {
    const byte = content[at] ?? 0;
    const next = content[at + 1];
    if (byte === CR && next === LF) {
      out[size++] = CR;
      out[size++] = LF;
      column = 0;
      at++;
      continue;
    }
    const hard = next === CR && content[at + 2] === LF;
    const plain = isPlain(byte, hard || next === undefined);
    // A line holds 76 characters, the "=" of a soft line break included; one may still follow the last line.
    if (column + (plain ? 1 : 3) > (hard ? LINE : LINE - 1)) {
      out[size++] = EQUALS;
      out[size++] = CR;
      out[size++] = LF;
      column = 0;
    }
    if (plain) {
      out[size++] = byte;
      column++;
    } else {
      out[size++] = EQUALS;
      out[size++] = HEX.charCodeAt(byte >> 4);
      out[size++] = HEX.charCodeAt(byte & 15);
      column += 3;
    }
  }
  return out.subarray(0, size);
}

/** Does the byte stand for itself in quoted-printable? Blanks do, but not at the end of a line. */
function isPlain(byte: number, last: boolean): boolean {
  if (byte === SPACE || byte === TAB) return !last;
  return byte > SPACE && byte < 0x7f && byte !== EQUALS;
}

/** An upper bound: a soft line break takes three characters and comes after 73 or more. */
function quotedLength(content: Uint8Array): number {
  let length = content.length;
  for (const byte of content) if (!isPlain(byte, true)) length += 2;
  return length + 3 * Math.ceil(length / 73);
}

function trimBlanks(content: Uint8Array): Uint8Array {
  let end = content.length;
  while (end > 0 && (content[end - 1] === SPACE || content[end - 1] === TAB)) end--;
  return content.subarray(0, end);
}

function skipBlanks(content: Uint8Array, from: number): number {
  let at = from;
  while (content[at] === SPACE || content[at] === TAB) at++;
  return at;
}

/** Position behind the line end that starts here; the end of the content counts as one. */
function lineEnd(content: Uint8Array, at: number): number | undefined {
  if (at >= content.length) return at;
  if (content[at] === LF) return at + 1;
  return content[at] === CR && content[at + 1] === LF ? at + 2 : undefined;
}

function hex(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const upper = byte & 0xdf;
  return upper >= 0x41 && upper <= 0x46 ? upper - 0x37 : -1;
}
