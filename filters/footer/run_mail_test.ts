// Runs the footer filter on whole mails, for the tests beside it; has no tests of its own.
import assert from "node:assert/strict";
import { renderMail } from "../../src/testing/eml.ts";
import { type FilterRun, runFilter } from "../../src/testing/run_filter.ts";
import footerFilter from "./mod.ts";

/** The filter's options, as the configuration has them. */
export type Options = Readonly<Record<string, unknown>>;

const LOG = { debug() {}, info() {}, warn() {}, error() {} };

/** One character a byte, in both directions. */
export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}
export function textOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** Runs a mail file through the filter. */
export async function run(
  options: Options,
  message: Uint8Array,
  sender = "anna@example.org",
): Promise<FilterRun> {
  const filter = footerFilter({ options, log: LOG, signal: new AbortController().signal });
  const result = await runFilter(filter, { message, sender });
  assert.equal(result.verdict, "continue");
  return result;
}

/** The mail as it is delivered; both with one character a byte and LF as line end. */
export async function runText(options: Options, message: string, sender?: string): Promise<string> {
  const { mail } = await run(options, bytesOf(message.replaceAll("\n", "\r\n")), sender);
  assert(mail);
  assert(!/(^|[^\r])\n/.test(textOf(mail.body)), "a bare LF in the body");
  return textOf(renderMail(mail)).replaceAll("\r\n", "\n");
}

export const ASCII: Options = { text: "Mandated text" };
export const EURO: Options = { text: "Fee: 5 \u20ac" };

/** A mail and what becomes of it. */
export interface Case {
  readonly name: string;
  /** {@linkcode ASCII} if left out. */
  readonly options?: Options;
  /** All but the Subject at the top. */
  readonly mail: string;
  readonly expected: string;
}

/** Tests each case, and that a second run of the filter changes nothing. */
export function testCases(cases: readonly Case[]): void {
  for (const { name, options = ASCII, mail, expected } of cases) {
    Deno.test(`footer: ${name}`, async () => {
      assert.equal(await runText(options, `Subject: x\n${mail}`), `Subject: x\n${expected}`);
      if (!expected.includes("X-Footer: added\n") || options.once === false) return;
      assert.equal(
        await runText(options, `Subject: x\n${expected}`),
        `Subject: x\n${expected}`,
        "second run",
      );
    });
  }
}
