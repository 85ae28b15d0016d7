/**
 * Options of the footer filter, checked once when it is loaded.
 *
 * @module
 */
import { z } from "zod";

/** The longest line that SMTP carries, in bytes, without its CRLF (RFC 5321 section 4.5.3.1.6). */
export const MAX_LINE = 998;
/** Columns at which long lines of the text are broken (RFC 5322 section 2.1.1). */
const WRAP = 78;

// deno-lint would rightly refuse control characters in a pattern; Unicode classes say the same in words.
const CONTROL = /(?![\t\n])\p{Cc}/u;
const LONE_SURROGATE = /\p{Cs}/u;

const content = z.string()
  .transform((value) => value.replaceAll("\r\n", "\n").replace(/\n+$/, ""))
  .refine((value) => value.trim() !== "", "expected a text that is not blank")
  .refine((value) => value.length <= 16_384, "expected at most 16384 characters")
  .refine(
    (value) => !CONTROL.test(value) && !LONE_SURROGATE.test(value),
    "expected text without control characters (tab and line feed are fine)",
  );

const schema = z.strictObject({
  text: content,
  html: content.optional(),
  header: z.union([
    z.literal(false),
    z.string().regex(
      /^(?!Content-|MIME-Version$)[!-9;-~]{1,76}$/i,
      'expected a header field name of the filter\'s own, such as "X-Footer" (RFC 5322 section 2.2), or false for none',
    ),
  ], 'expected a header field name, such as "X-Footer", or false for none').default("X-Footer"),
  only: z.array(
    z.string().regex(
      /^\.?[^\s@.<>]+(?:\.[^\s@.<>]+)*$/,
      'expected a domain such as "example.org", or ".example.org" for all below it',
    ),
  ).min(1, "expected at least one domain; leave it out for the mail of all senders").optional(),
  dkim: z.enum(["leave", "modify"]).default("leave"),
  once: z.boolean().default(true),
});

/** What the filter works with: the options, with the text in the forms in which it is written. */
export interface Footer {
  /** Lines for text/plain, broken at 78 columns. */
  readonly lines: readonly string[];
  /** Lines for text/html. */
  readonly htmlLines: readonly string[];
  /** Name of the field that tells what was done; false for none. */
  readonly header: string | false;
  /** Domains of envelope senders in lower case; undefined for all. A leading dot means all domains below. */
  readonly only: readonly string[] | undefined;
  /** What to do with mail that carries a DKIM or ARC signature. */
  readonly dkim: "leave" | "modify";
  /** Leave out a part that has the text already. */
  readonly once: boolean;
}

/**
 * Checks the options.
 *
 * @throws {TypeError} naming each wrong option, its value and what was expected.
 */
export function parseOptions(options: unknown): Footer {
  const result = schema.safeParse(options);
  if (!result.success) throw new TypeError(complaint(result.error.issues, options));
  const { text, html, header, only, dkim, once } = result.data;
  const lines = text.split("\n").flatMap(wrap);
  const htmlLines = html === undefined ? htmlOf(text) : html.split("\n");
  checkLength("text", lines.map((line) => new TextEncoder().encode(line).length));
  // A character that a charset lacks is written as a reference, so that is the longest form of a line.
  checkLength(html === undefined ? "text (as HTML)" : "html", htmlLines.map((line) => toAscii(line).length));
  return { lines, htmlLines, header, only: only?.map((domain) => domain.toLowerCase()), dkim, once };
}

/** Replaces what is not ASCII by numeric character references, which HTML takes in every charset. */
export function toAscii(html: string): string {
  return html.replace(/\P{ASCII}/gu, (char) => `&#${char.codePointAt(0)};`);
}

function checkLength(option: string, lengths: readonly number[]): void {
  lengths.forEach((length, index) => {
    if (length <= MAX_LINE) return;
    throw new TypeError(
      `Cannot use the options of the footer filter: line ${
        index + 1
      } of ${option} has ${length} bytes in a mail, ` +
        `expected at most ${MAX_LINE} (RFC 5321 section 4.5.3.1.6); break it into several lines`,
    );
  });
}

function complaint(issues: readonly z.core.$ZodIssue[], options: unknown): string {
  const told = issues.map((issue) => {
    if (issue.code === "unrecognized_keys") {
      return `unknown option ${issue.keys.map((key) => JSON.stringify(key)).join(", ")}; ` +
        `expected only ${Object.keys(schema.shape).join(", ")}`;
    }
    const value = issue.path.reduce<unknown>(
      (at, key) => typeof at === "object" && at !== null ? Reflect.get(at, key) : undefined,
      options,
    );
    const shown = JSON.stringify(value) ?? "missing";
    return `${issue.path.join(".") || "options"} is ${
      shown.length > 60 ? `${shown.slice(0, 60)}…` : shown
    }: ${issue.message}`;
  });
  return `Cannot use the options of the footer filter: ${told.join("; ")}`;
}

/** Breaks a line at blanks so that it keeps to 78 columns; a longer word stays whole. */
function wrap(line: string): string[] {
  const out: string[] = [];
  let rest = line;
  while (rest.length > WRAP) {
    const blank = rest.lastIndexOf(" ", WRAP);
    const cut = blank > 0 && rest.slice(0, blank).trim() !== "" ? blank : rest.indexOf(" ", WRAP);
    if (cut < 0 || rest.slice(cut).trim() === "") break;
    out.push(rest.slice(0, cut).trimEnd());
    rest = rest.slice(cut).trimStart();
  }
  out.push(rest);
  return out;
}

function htmlOf(text: string): string[] {
  const escaped = text
    .replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")
    .split("\n").join("<br>\n");
  return `<p>${escaped}</p>`.split("\n").flatMap(wrap);
}
