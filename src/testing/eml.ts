/**
 * Mail files (RFC 5322) as an MTA would hand them to a milter, and back.
 *
 * @module
 */
import { HeaderBlock, HeaderField } from "../filter/mod.ts";

/** A mail without its envelope. */
export interface WireMail {
  /** Fields from top to bottom; values without the one blank after the colon, folds as LF. */
  readonly fields: readonly HeaderField[];
  /** Body with CRLF line ends. */
  readonly body: Uint8Array;
}

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const SPACE = 0x20;
const TAB = 0x09;

/**
 * Reads a mail file with CRLF or LF line ends. A `From ` line of an mbox at its top is passed over. As for Postfix, the
 * body begins at the first line that is no header line, whether it is empty or not.
 */
export function parseMail(file: Uint8Array): WireMail {
  const fields: HeaderField[] = [];
  let at = startsWithFrom(file) ? nextLine(file, 0) : 0;
  while (at < file.length) {
    const next = nextLine(file, at);
    const end = lineEnd(file, at, next);
    if (end === at) {
      at = next;
      break;
    }
    const colon = file.subarray(at, end).indexOf(COLON) + at;
    const nameEnd = trimEnd(file, at, colon);
    if (nameEnd <= at || !isName(file, at, nameEnd)) break;
    const value: Uint8Array[] = [file.subarray(file[colon + 1] === SPACE ? colon + 2 : colon + 1, end)];
    const name = file.subarray(at, nameEnd);
    at = next;
    while (at < file.length && isBlank(file[at])) {
      const after = nextLine(file, at);
      value.push(NEW_LINE, file.subarray(at, lineEnd(file, at, after)));
      at = after;
    }
    const bytes = join([name, SEPARATOR, ...value]);
    fields.push(new HeaderField(new HeaderBlock(bytes), 0, name.length, bytes.length));
  }
  return { fields, body: withCrlf(file.subarray(at)) };
}

/** The mail as a file with CRLF line ends. */
export function renderMail(mail: WireMail): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const field of mail.fields) parts.push(field.rawName, COLON_SPACE, withCrlf(field.raw), CRLF);
  parts.push(CRLF, mail.body);
  return join(parts);
}

/** The same bytes with every bare LF made CRLF; the given array if there is none. */
export function withCrlf(bytes: Uint8Array): Uint8Array {
  let bare = 0;
  for (let i = 0; i < bytes.length; i++) if (bytes[i] === LF && bytes[i - 1] !== CR) bare++;
  if (bare === 0) return bytes;
  const out = new Uint8Array(bytes.length + bare);
  let to = 0;
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] === LF && bytes[i - 1] !== CR) out[to++] = CR;
    out[to++] = bytes[i];
  }
  return out;
}

const NEW_LINE = Uint8Array.of(LF);
const SEPARATOR = Uint8Array.of(0);
const COLON_SPACE = Uint8Array.of(COLON, SPACE);
const CRLF = Uint8Array.of(CR, LF);

function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Start of the line after the one at `at`. */
function nextLine(file: Uint8Array, at: number): number {
  const lf = file.indexOf(LF, at);
  return lf === -1 ? file.length : lf + 1;
}

/** End of the line at `at` without its line end. */
function lineEnd(file: Uint8Array, at: number, next: number): number {
  let end = next;
  if (end > at && file[end - 1] === LF) end--;
  if (end > at && file[end - 1] === CR) end--;
  return end;
}

function trimEnd(file: Uint8Array, start: number, end: number): number {
  while (end > start && isBlank(file[end - 1])) end--;
  return end;
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB;
}

function isName(file: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (file[i] <= SPACE || file[i] > 0x7e) return false;
  return true;
}

function startsWithFrom(file: Uint8Array): boolean {
  return new TextDecoder().decode(file.subarray(0, 5)) === "From ";
}
