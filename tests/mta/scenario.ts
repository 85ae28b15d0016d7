/**
 * A scenario: what a filter does, what an SMTP client says, and what must come of it. Both MTAs were asked
 * what they answer; where they differ a scenario has a row for each.
 */
import type { Filter } from "../../src/filter/mod.ts";
import type { MtaKind } from "./mta.ts";

/** One value for both MTAs, or one for each. */
export type PerMta<Value> = Value | { readonly postfix: Value; readonly sendmail: Value };

/** A reply: its code, or all of it with "\n" between lines. */
export type ExpectedReply = number | string;

/** What the client does, and what it must be answered. */
export type Step =
  | { readonly kind: "command"; readonly line: string; readonly reply: PerMta<ExpectedReply> }
  | { readonly kind: "message"; readonly message: string | Uint8Array; readonly reply: PerMta<ExpectedReply> }
  /** The server must close the connection now. */
  | { readonly kind: "closed" }
  /** The client goes away without a word. */
  | { readonly kind: "hang up" };

/** A mail that must be in a mailbox or in the quarantine. */
export interface ExpectedMail {
  readonly sender: string;
  readonly recipient: string;
  /** All fields in order, one character per byte; the MTA's own Received has the value {@linkcode own}. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** With LF line ends, one character per byte. */
  readonly body: string;
}

/** What happens, and what must come of it. */
export interface Scenario {
  readonly name: string;
  /** Makes the filter; what it notes is compared with `notes`. */
  readonly filter: (note: (event: string) => void) => Filter;
  /** The first words of the server. @default {220} */
  readonly greeting?: PerMta<ExpectedReply>;
  /** The conversation. QUIT comes after it, if it leaves the connection open. */
  readonly steps: readonly Step[];
  /** By recipient. @default {[]} */
  readonly delivered?: PerMta<readonly ExpectedMail[]>;
  /** @default {[]} */
  readonly quarantined?: readonly ExpectedMail[];
  /** What the filter noted, in order. @default {[]} */
  readonly notes?: PerMta<readonly string[]>;
}

/** The value that is meant for this MTA. */
export function forMta<Value>(value: PerMta<Value>, kind: MtaKind): Value {
  return typeof value === "object" && value !== null && kind in value
    ? (value as Record<MtaKind, Value>)[kind]
    : value as Value;
}

/** A command line of the client and its reply. */
export function say(line: string, reply: PerMta<ExpectedReply> = 250): Step {
  return { kind: "command", line, reply };
}

/** DATA and the message; the reply is that to the message. */
export function data(
  reply: PerMta<ExpectedReply> = 250,
  message: string | Uint8Array = sample.message,
): Step[] {
  return [say("DATA", 354), { kind: "message", message, reply }];
}

/** The first words of a client. */
export const ehlo: Step = say("EHLO client.lab.example");
/** MAIL with the usual sender. */
export const mail: Step = say("MAIL FROM:<a@client.example>");
/** RCPT with the usual recipient. */
export const rcpt: Step = say("RCPT TO:<one@lab.example>");

/** Stands for the value of the Received field that the MTA under test adds. */
export const own = "(added by this MTA)";

/**
 * A mail that lacks nothing, so that neither MTA adds more than its Received. It brings a Received of its
 * own, and a field twice.
 */
const fields: readonly (readonly [string, string])[] = [
  ["Received", "from origin.example by relay.example; Mon, 23 Nov 2026 04:00:00 +0000"],
  ["From", "Author <author@client.example>"],
  ["To", "one@lab.example"],
  ["Date", "Mon, 23 Nov 2026 04:00:00 +0000"],
  ["Message-ID", "<1@client.example>"],
  ["Subject", "test"],
  ["X-Test", "one"],
  ["X-Folded", "first\n\tsecond"],
  ["X-Test", "two"],
];
const body = "first line\nlast line\n";

/** The usual mail. */
export const sample = { fields, body, message: textOf(fields, body) } as const;

/** A mail as text, with LF line ends. */
export function textOf(fields: readonly (readonly [string, string])[], body: string): string {
  return `${fields.map(([name, value]) => `${name}: ${value}\n`).join("")}\n${body}`;
}

/** The usual mail as it is delivered, except for what is given here. */
export function expected(other: Partial<ExpectedMail> = {}): ExpectedMail {
  return {
    sender: "a@client.example",
    recipient: "one@lab.example",
    fields: [["Received", own], ...sample.fields],
    body: sample.body,
    ...other,
  };
}

/** The usual header as it is delivered, changed by a function that gets and gives a list of fields. */
export function header(
  change: (fields: (readonly [string, string])[]) => (readonly [string, string])[],
): (readonly [string, string])[] {
  return change([["Received", own], ...sample.fields]);
}

/** Lines of text of this many bytes in all (a multiple of 64), line ends counted as CRLF; no two lines are alike. */
export function lines(bytes: number): string {
  return Array.from({ length: bytes / 64 }, (_, n) => `${String(n).padStart(8, "0")} ${"x".repeat(53)}\n`)
    .join("");
}

/** The bytes of a text in UTF-8, as a string with one character per byte. */
export function utf8(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
}
