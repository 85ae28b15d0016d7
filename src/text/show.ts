/**
 * Values in messages: short, quoted, on one line.
 *
 * @module
 */

/** Control characters, line separators, and marks that are invisible or turn the writing direction. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/**
 * Makes text harmless for one line of a terminal or log: what could end the line, steer the terminal or hide other
 * text is written as `\xNN` or `\u{NNNN}`; what is longer than `limit` characters is cut and marked with `…`.
 */
export function printable(text: string, limit = 200): string {
  const whole = text.length <= limit ? text : `${text.slice(0, limit)}…`;
  return whole.replace(UNSAFE, (char) => {
    const code = char.codePointAt(0)!;
    if (char === "\n") return "\\n";
    if (char === "\r") return "\\r";
    if (char === "\t") return "\\t";
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

/** A value for an error message: text in quotes, collections by their kind. */
export function show(value: unknown): string {
  if (typeof value === "string") return `"${printable(value, 60)}"`;
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date";
  if (typeof value === "object") return "a map";
  return printable(String(value), 60);
}
