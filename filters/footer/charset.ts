/**
 * Charsets of text parts: how the footer is written in one, and what a text in one means.
 *
 * iconv-lite writes, as the platform's TextEncoder knows only UTF-8. TextDecoder reads, as it takes a label for what
 * mail programs and browsers take it for (bytes 0x80 to 0x9f in "iso-8859-1" are windows-1252).
 *
 * @module
 */
import iconv from "iconv-lite";
import { fromLatin1, latin1 } from "./transfer.ts";

/** A charset in which bytes below 0x80 are ASCII, at least where the footer is put. */
export interface Charset {
  /** The text in this charset; undefined if it has characters that the charset lacks. */
  encode(text: string): Uint8Array | undefined;
  /** What the bytes mean; undefined if they are not valid. */
  decode(bytes: Uint8Array): string | undefined;
  /** Can ASCII bytes be put here? Not within the two-byte characters of ISO-2022-JP. */
  takesAscii(text: string, at: number): boolean;
}

// Here ASCII bytes do not always mean ASCII characters, or several codes for one character make any change a guess.
// RFC 2045 and RFC 2781 forbid the wide ones in text parts anyway.
// Compared as iconv-lite compares labels: without punctuation.
const UNFIT = /^(?:utf7|utf16|utf32|ucs|unicode|iso10646|cesu|hz|iso2022|imap|base64|hex|binary)/;
// RFC 1428 section 3: ASCII, and what the bytes from 0x80 on mean nobody knows.
const UNKNOWN_8BIT = /^(?:unknown-8bit|x-unknown)$/;
const ASCII_PROBE = "\t !\"#$%&'()*+,-./0123456789:;<=>?@AZ[\\]^_`az{|}~";

// iconv-lite writes these with the extensions of their vendors, which a reader that takes the label at its word cannot
// read. So only rows that all have are written; a footer with other characters makes the text UTF-8.
const COMMON: Readonly<Record<string, RegExp>> = {
  "gbk": /^(?:[\0-\x7f]|[\xa1\xa3-\xa5\xb0-\xf7][\xa1-\xfe])*$/,
  "big5": /^(?:[\0-\x7f]|[\xa1\xa2\xa4-\xc5\xc9-\xf8][\x40-\x7e\xa1-\xfe])*$/,
  "shift_jis": /^(?:[\0-\x7f\xa1-\xdf]|[\x81-\x84\x88-\x9f\xe0-\xe9][\x40-\x7e\x80-\xfc])*$/,
  "euc-jp": /^(?:[\0-\x7f]|\x8e[\xa1-\xdf]|[\xa1-\xa8\xb0-\xf3][\xa1-\xfe])*$/,
  "euc-kr": /^(?:[\0-\x7f]|[\xa1\xa3-\xac\xb0-\xfd][\xa1-\xfe])*$/,
};

/** The charset of a label (RFC 2978); undefined if the footer cannot be written in it. */
export function charsetOf(label: string): Charset | undefined {
  const name = label.trim().toLowerCase();
  if (/^(?:us-ascii|ascii|ansi_x3\.4-1968)$/.test(name)) {
    return { encode: encodeAscii, decode: decodeUndeclared, takesAscii: () => true };
  }
  if (UNKNOWN_8BIT.test(name)) {
    return { encode: encodeAscii, decode: () => undefined, takesAscii: () => true };
  }
  if (/^iso-2022-jp/.test(name)) {
    return { encode: encodeAscii, decode: (bytes) => decodeAs(name, bytes), takesAscii: isInAscii };
  }
  const family = familyOf(name);
  if (name.length > 40 || UNFIT.test(family ?? "") || UNFIT.test(name.replace(/[^0-9a-z]/g, ""))) {
    return undefined;
  }
  const writable = [name, family].find((label) =>
    label !== undefined && iconv.encodingExists(label) &&
    latin1(iconv.encode(ASCII_PROBE, label)) === ASCII_PROBE
  );
  if (writable === undefined && family === undefined) return undefined;
  return {
    encode: (text) =>
      encodeAscii(text) ?? (writable === undefined ? undefined : encodeAs(writable, family, text)),
    decode: (bytes) => decodeAs(name, bytes),
    takesAscii: () => true,
  };
}

/** Is every character ASCII? */
export function isAscii(text: string): boolean {
  return /^\p{ASCII}*$/u.test(text);
}

function encodeAs(name: string, family: string | undefined, text: string): Uint8Array | undefined {
  const bytes = iconv.encode(text, name);
  if (iconv.decode(bytes, name, { stripBOM: false }) !== text) return undefined;
  if (family === undefined) return bytes.length === text.length ? bytes : undefined;
  return COMMON[family]?.test(latin1(bytes)) ?? true ? bytes : undefined;
}

/** The encoding that the WHATWG standard has for a label. */
function familyOf(label: string): string | undefined {
  try {
    return new TextDecoder(label).encoding;
  } catch {
    return undefined;
  }
}

function encodeAscii(text: string): Uint8Array | undefined {
  return isAscii(text) ? fromLatin1(text) : undefined;
}

/** Text without a charset that is not ASCII is taken for UTF-8 if it is valid UTF-8: other bytes are so by no accident. */
function decodeUndeclared(bytes: Uint8Array): string | undefined {
  return decodeAs("utf-8", bytes);
}

function decodeAs(label: string, bytes: Uint8Array): string | undefined {
  let decoder: TextDecoder | undefined;
  try {
    decoder = new TextDecoder(label, { fatal: true, ignoreBOM: true });
  } catch {
    // A label that only iconv-lite knows, cp850 for example.
  }
  if (decoder === undefined) {
    const text = iconv.encodingExists(label) ? iconv.decode(bytes, label, { stripBOM: false }) : "\ufffd";
    return text.includes("\ufffd") ? undefined : text;
  }
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** ISO-2022-JP is in ASCII from the start, and behind ESC ( B or ESC ( J (RFC 1468). */
function isInAscii(text: string, at: number): boolean {
  const escape = text.lastIndexOf("\x1b", at - 1);
  return at === 0 || escape < 0 || text.startsWith("(B", escape + 1) || text.startsWith("(J", escape + 1);
}
