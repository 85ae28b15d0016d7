/**
 * Puts the footer into the content of one text part.
 *
 * @module
 */
import { type Charset, charsetOf, isAscii } from "./charset.ts";
import { type Footer, MAX_LINE, toAscii } from "./options.ts";
import { concat, decode, encode, fromLatin1, insert, latin1, type TransferEncoding } from "./transfer.ts";

/** The content of a text part, and what its header says about it. */
export interface TextContent {
  readonly kind: "plain" | "html";
  readonly bytes: Uint8Array;
  /** Label of the charset; undefined if the header has none. */
  readonly charset: string | undefined;
  /** Content-Transfer-Encoding in lower case; `""` if there is none. */
  readonly encoding: string;
  /** format=flowed (RFC 3676). */
  readonly flowed: boolean;
  /** Is this the whole body of the mail? Then it ends with a line end. */
  readonly whole: boolean;
}

/** What became of a part. */
export type Outcome =
  | {
    readonly kind: "added";
    readonly bytes: Uint8Array;
    /** What the header must say from now on; undefined where it stays. */
    readonly charset: string | undefined;
    readonly encoding: TransferEncoding | undefined;
  }
  | { readonly kind: "present" }
  /** `mail`: all of the mail is to be left alone, not only this part. */
  | { readonly kind: "skipped"; readonly reason: string; readonly mail?: boolean };

const CRLF = "\r\n";
const ARMOR = /^-----BEGIN PGP (?:SIGNED )?MESSAGE/m;
const ARMOR_IN_HTML = /-----BEGIN PGP (?:SIGNED )?MESSAGE/;

/** Adds the footer to a text, in its own charset and transfer encoding where both can carry it. */
export function addFooter(content: TextContent, footer: Footer): Outcome {
  const encoding = transferEncoding(content.encoding);
  if (encoding === undefined) return { kind: "skipped", reason: "unknown transfer encoding" };
  const charset = charsetOf(content.charset ?? "us-ascii");
  if (charset === undefined) return { kind: "skipped", reason: "unknown charset" };
  const decoded = decode(content.bytes, encoding);
  if (decoded === undefined) return { kind: "skipped", reason: "malformed base64" };
  const text = latin1(decoded);
  // An inline signature covers only what is between its markers, but mail programs show text outside as forged.
  if ((content.kind === "html" ? ARMOR_IN_HTML : ARMOR).test(text)) {
    return { kind: "skipped", reason: "inline PGP", mail: true };
  }
  const part: Decoded = { ...content, encoding, charset, label: content.charset, decoded, text };
  return content.kind === "html" ? addToHtml(part, footer) : addToPlain(part, footer);
}

interface Decoded {
  readonly bytes: Uint8Array;
  readonly encoding: TransferEncoding;
  readonly charset: Charset;
  readonly label: string | undefined;
  readonly decoded: Uint8Array;
  /** The decoded bytes, one character each. */
  readonly text: string;
  readonly flowed: boolean;
  readonly whole: boolean;
}

function transferEncoding(name: string): TransferEncoding | undefined {
  switch (name) {
    case "":
    case "7bit":
      return "7bit";
    case "8bit":
    case "binary":
    case "quoted-printable":
    case "base64":
      return name;
    default:
      return undefined;
  }
}

/** HTML needs no other charset: what the part's own lacks is written as a character reference. */
function addToHtml(part: Decoded, footer: Footer): Outcome {
  const eol = lineEnd(part);
  const html = footer.htmlLines.join(eol);
  const ascii = fromLatin1(toAscii(html));
  const coded = part.encoding === "7bit" ? ascii : part.charset.encode(html) ?? ascii;
  const { text } = part;
  if (footer.once) {
    // In a quotation it is the footer of the mail that is answered.
    const from = lastMatch(text, /<\/blockquote/gi) ?? 0;
    if (text.includes(latin1(coded), from)) return { kind: "present" };
  }
  const at = lastMatch(text, /<\/body(?=[\s>])/gi) ?? text.length;
  if (!part.charset.takesAscii(text, at)) {
    return { kind: "skipped", reason: "text ends within a character set switch" };
  }
  const piece = concat(
    fromLatin1(at === 0 || text[at - 1] === "\n" ? "" : eol),
    coded,
    fromLatin1(at < text.length || part.whole || text.endsWith("\n") ? eol : ""),
  );
  const bytes = insert(part.bytes, part.decoded, part.encoding, at, piece);
  return { kind: "added", bytes, charset: undefined, encoding: undefined };
}

function addToPlain(part: Decoded, footer: Footer): Outcome {
  const { text, charset, encoding } = part;
  const eol = lineEnd(part);
  const written = (part.flowed ? footer.lines.map(flowedLine) : footer.lines).join(eol);
  const end = part.whole || text.endsWith("\n") ? eol : "";
  const lead = eol.repeat(missingLineEnds(text, part.flowed));
  const coded = charset.encode(written);
  if (coded === undefined) return convert(part, lead, written, end, footer.once);
  if (footer.once && hasLines(text, latin1(coded))) return { kind: "present" };
  if (!charset.takesAscii(text, text.length)) {
    return { kind: "skipped", reason: "text ends within a character set switch" };
  }
  const piece = concat(fromLatin1(lead), coded, fromLatin1(end));
  if (encoding === "7bit" && !isAscii(latin1(coded))) {
    const bytes = encode(concat(part.decoded, piece), "quoted-printable");
    return { kind: "added", bytes, charset: undefined, encoding: "quoted-printable" };
  }
  const bytes = insert(part.bytes, part.decoded, encoding, part.decoded.length, piece);
  return { kind: "added", bytes, charset: undefined, encoding: undefined };
}

/** Writes the whole part in UTF-8. */
function convert(part: Decoded, lead: string, written: string, end: string, once: boolean): Outcome {
  const text = part.charset.decode(part.decoded);
  if (text === undefined) {
    const reason = part.label === undefined
      ? "8-bit text without a charset"
      : "text is not valid in its charset";
    return { kind: "skipped", reason };
  }
  if (once && hasLines(text, written)) return { kind: "present" };
  const bytes = new TextEncoder().encode(text + lead + written + end);
  // Only 7-bit text goes everywhere, so that stays; and a line must not grow over what SMTP carries.
  const raw = part.encoding === "8bit" || part.encoding === "binary";
  const encoding = part.encoding === "7bit" || (raw && longestLine(bytes) > MAX_LINE)
    ? "quoted-printable"
    : part.encoding;
  const coded = encode(bytes, encoding);
  return {
    kind: "added",
    bytes: encoding === "base64" && part.bytes.at(-1) === 0x0a ? concat(coded, fromLatin1(CRLF)) : coded,
    charset: "utf-8",
    encoding: encoding === part.encoding ? undefined : encoding,
  };
}

/** How lines end. Within base64 some programs use a bare LF; elsewhere SMTP sees to CRLF. */
function lineEnd({ encoding, text }: Decoded): string {
  return encoding === "base64" && text.includes("\n") && !text.includes(CRLF) ? "\n" : CRLF;
}

/** How many line ends make a blank line between text and footer. */
function missingLineEnds(text: string, flowed: boolean): number {
  const lines = text.slice(-1000).split(/\r?\n/);
  if (text.length <= 1000 && text.trim() === "") return text === "" || text.endsWith("\n") ? 0 : 1;
  let ends = 0;
  while (ends < lines.length && lines[lines.length - 1 - ends] === "") ends++;
  const last = lines[lines.length - 1 - ends] ?? "";
  // A flowed line goes on in the next one, even in an empty one (RFC 3676 section 4.1); "-- " is the exception.
  const open = flowed && last.endsWith(" ") && last.replace(/^>*/, "").trimStart() !== "-- ";
  return Math.max(0, (open ? 3 : 2) - ends);
}

/** A line that no reader of format=flowed joins with the next, or takes for a quotation (RFC 3676 section 4.4). */
function flowedLine(line: string): string {
  const fixed = line === "-- " ? line : line.replace(/ +$/, "");
  return /^(?: |>|From )/.test(fixed) ? ` ${fixed}` : fixed;
}

/** Does the text have these lines, whole and not quoted? */
function hasLines(text: string, lines: string): boolean {
  for (let at = text.indexOf(lines); at >= 0; at = text.indexOf(lines, at + 1)) {
    const behind = at + lines.length;
    const follows = text[behind];
    if (
      (at === 0 || text[at - 1] === "\n") && (follows === undefined || follows === "\r" || follows === "\n")
    ) return true;
  }
  return false;
}

/** Where the last match starts. */
function lastMatch(text: string, pattern: RegExp): number | undefined {
  let at: number | undefined;
  for (const match of text.matchAll(pattern)) at = match.index;
  return at;
}

function longestLine(bytes: Uint8Array): number {
  let longest = 0;
  for (let at = 0; at < bytes.length;) {
    const newline = bytes.indexOf(0x0a, at);
    const end = newline < 0 ? bytes.length : newline;
    longest = Math.max(longest, end - at);
    at = end + 1;
  }
  return longest;
}
