/**
 * Values of Content-Type, Content-Disposition and Content-Transfer-Encoding (RFC 2045, RFC 2183).
 *
 * Works on raw values, one character a byte, and keeps positions, so that one parameter can be changed and all other
 * bytes stay.
 *
 * @module
 */

/** A parameter of a header value. */
export interface Parameter {
  /** In lower case; with the `*` of RFC 2231, if it has one. */
  readonly name: string;
  readonly value: string;
  /** Where the value starts and ends in the raw text, quotes included. */
  readonly start: number;
  readonly end: number;
}

/** A value with parameters. */
export interface ParsedValue {
  /** The part before the first semicolon, in lower case, without comments: `text/plain`, `attachment`, `base64`. */
  readonly value: string;
  readonly parameters: readonly Parameter[];
}

const TOKEN = /[^\s()<>@,;:\\"/[\]?=]+/y;
// Many programs forget the quotes around a boundary such as ----=_Part_1, so more than a token is taken.
const LOOSE_VALUE = /[^\s;"(]+/y;
const QUOTED = /"((?:[^"\\]|\\[^])*)"/y;

/** Longest value taken, in bytes: what is put in its place has to fit into one frame (SMFIR_CHGHEADER). */
const MAX_VALUE = 8192;

/** Takes a value apart; undefined if it is too long, cannot be understood, or has one parameter twice. */
export function parseValue(raw: string): ParsedValue | undefined {
  // A NUL or a CR of its own cannot be sent back to the MTA.
  if (raw.length > MAX_VALUE || raw.includes("\0") || /\r(?!\n)/.test(raw)) return undefined;
  const scan = new Scan(raw);
  scan.skipBlanks();
  let value = scan.take(TOKEN)?.[0];
  if (value === undefined) return undefined;
  if (raw[scan.at] === "/") {
    scan.at++;
    const subtype = scan.take(TOKEN)?.[0];
    if (subtype === undefined) return undefined;
    value += `/${subtype}`;
  }
  const parameters: Parameter[] = [];
  const names = new Set<string>();
  for (;;) {
    scan.skipBlanks();
    if (scan.at >= raw.length) return { value: value.toLowerCase(), parameters };
    if (raw[scan.at] !== ";") return undefined;
    scan.at++;
    scan.skipBlanks();
    const name = scan.take(TOKEN)?.[0].toLowerCase();
    // A semicolon at the end is common and harmless.
    if (name === undefined) continue;
    scan.skipBlanks();
    if (raw[scan.at] !== "=") return undefined;
    scan.at++;
    scan.skipBlanks();
    const start = scan.at;
    const quoted = scan.take(QUOTED);
    const text = quoted === undefined
      ? scan.take(LOOSE_VALUE)?.[0]
      : quoted[1]?.replace(/\\([^])/g, "$1").replace(/\r?\n/g, "");
    if (text === undefined || names.has(name)) return undefined;
    names.add(name);
    parameters.push({ name, value: text, start, end: scan.at });
  }
}

/** The raw value with another charset; all other bytes stay. */
export function withCharset(raw: string, charset: string): string {
  const found = parseValue(raw)?.parameters.find(({ name }) => name === "charset");
  if (found !== undefined) return raw.slice(0, found.start) + charset + raw.slice(found.end);
  const trimmed = raw.trimEnd();
  return `${trimmed}${trimmed.endsWith(";") ? "" : ";"} charset=${charset}`;
}

/** A position in the raw value. */
class Scan {
  at = 0;
  readonly #raw: string;

  constructor(raw: string) {
    this.#raw = raw;
  }

  take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.#raw) ?? undefined;
    if (match !== undefined) this.at = pattern.lastIndex;
    return match;
  }

  /** Skips white space and comments, nested ones too (RFC 5322 section 3.2.2). */
  skipBlanks(): void {
    let depth = 0;
    for (; this.at < this.#raw.length; this.at++) {
      const char = this.#raw[this.at];
      if (char === "(") depth++;
      else if (depth > 0 && char === ")") depth--;
      else if (depth > 0 && char === "\\") this.at++;
      else if (depth === 0 && !/\s/.test(char ?? "")) return;
    }
  }
}
