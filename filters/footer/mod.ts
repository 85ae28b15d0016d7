/**
 * Bundled filter `footer`: appends a mandated text to the text of a mail, and tells in a header field what it did.
 *
 * @module
 */
import type { EndOfMessageContext, Filter, FilterEnv, HeaderField, Mail } from "../../src/filter/mod.ts";
import { withCharset } from "./content_type.ts";
import { type Footer, parseOptions } from "./options.ts";
import { protection, textParts } from "./parts.ts";
import { type Field, type Part, scan } from "./structure.ts";
import { addFooter, type Outcome } from "./text_part.ts";
import { concat, fromLatin1, latin1 } from "./transfer.ts";

/** Most fields of a sender's own making that are removed: the number of edits is limited, and the first one counts. */
const MAX_REMOVED = 100;
const DASH = 0x2d;

/** A new header field, or a new value of the field of that name. */
interface FieldChange {
  readonly name: "Content-Type" | "Content-Transfer-Encoding";
  readonly value: string;
}

/** Bytes to put in place of a range of the body. */
interface Splice {
  readonly start: number;
  readonly end: number;
  readonly bytes: Uint8Array;
}

/** What is to be done with a mail, and what its header field says about it. */
type Plan =
  | {
    readonly kind: "change";
    readonly note: string;
    readonly body: Uint8Array;
    readonly fields: readonly FieldChange[];
  }
  | { readonly kind: "leave"; readonly note: string };

/**
 * Makes the filter.
 *
 * @throws {TypeError} if an option is wrong, naming it, its value and what was expected.
 */
export default function footerFilter(env: FilterEnv): Filter {
  const footer = parseOptions(env.options);
  return {
    name: "footer",
    edits: ["replaceBody", "addHeader", "changeHeader", "removeHeader"],
    needs: ["sender", "headers", "body"],
    message(mail, context) {
      if (!isFrom(mail.sender.domain, footer.only)) return;
      const plan = planFor(mail, footer);
      if (plan.kind === "change") {
        context.replaceBody(plan.body);
        for (const change of plan.fields) setField(mail, context, change.name, fromLatin1(change.value));
        if (plan.fields.length > 0 && !mail.headers.has("MIME-Version")) {
          context.addHeader("MIME-Version", "1.0");
        }
      }
      context.log.debug("footer", { outcome: plan.note });
      if (footer.header === false) return;
      // A mail that comes by a second time keeps what the first time was said.
      if (plan.note === "present" && mail.headers.get(footer.header) === "added") return;
      const fields = Math.min(mail.headers.all(footer.header).length, MAX_REMOVED);
      for (let nth = fields; nth > 1; nth--) {
        context.removeHeader(footer.header, nth);
      }
      setField(mail, context, footer.header, plan.note);
    },
  };
}

function isFrom(domain: string, only: readonly string[] | undefined): boolean {
  if (only === undefined) return true;
  return only.some((entry) => entry.startsWith(".") ? domain.endsWith(entry) : domain === entry);
}

function planFor(mail: Mail, footer: Footer): Plan {
  // Adding to the body breaks these signatures; the others of that kind only cover header fields.
  const signature = ["DKIM-Signature", "ARC-Message-Signature", "DomainKey-Signature"]
    .find((name) => mail.headers.has(name));
  if (footer.dkim === "leave" && signature !== undefined) return skip(signature);
  const body = mail.body.bytes();
  const structure = scan([...mail.headers].map(toField), body);
  const reason = structure.root && protection(structure.root);
  if (reason !== undefined) return skip(reason);
  if (structure.kind === "malformed") return skip(`malformed MIME: ${structure.reason}`);
  const parts = textParts(structure.root);
  if (parts.length === 0) return skip("no text part");
  return planParts(parts, body, footer);
}

function planParts(parts: readonly Part[], body: Uint8Array, footer: Footer): Plan {
  const splices: Splice[] = [];
  const fields: FieldChange[] = [];
  const reasons: string[] = [];
  let present = 0;
  for (const part of parts) {
    const outcome = addToPart(part, body, footer);
    if (outcome.kind === "skipped") {
      if (outcome.mail === true) return skip(outcome.reason);
      reasons.push(part.path === "" ? outcome.reason : `part ${part.path}: ${outcome.reason}`);
    } else if (outcome.kind === "present") {
      present++;
    } else {
      const changes = fieldChanges(part, outcome);
      splices.push(...fieldSplices(part, changes), { ...contentOf(part), bytes: outcome.bytes });
      if (part.path === "") fields.push(...changes);
    }
  }
  const note = reasons.length === 0 ? "" : ` (skipped ${reasons.join(", ")})`;
  if (splices.length > 0) {
    return { kind: "change", note: `added${note}`, body: splice(body, splices), fields };
  }
  return present > 0 ? { kind: "leave", note: `present${note}` } : skip(reasons.join(", "));
}

function skip(reason: string): Plan {
  return { kind: "leave", note: `skipped (${reason})` };
}

function addToPart(part: Part, body: Uint8Array, footer: Footer): Outcome {
  const parameter = (wanted: string) => part.type.parameters.find(({ name }) => name === wanted)?.value;
  if (part.content === undefined) return { kind: "skipped", reason: "part without an empty line" };
  // A charset in the notation of RFC 2231 is too rare to be worth its rules.
  if (part.type.parameters.some(({ name }) => name.startsWith("charset*"))) {
    return { kind: "skipped", reason: "unknown charset" };
  }
  const { start, end } = part.content;
  const outcome = addFooter({
    kind: part.type.value === "text/html" ? "html" : "plain",
    bytes: body.subarray(start, end),
    charset: parameter("charset"),
    encoding: part.encoding,
    flowed: parameter("format")?.toLowerCase() === "flowed",
    whole: part.path === "",
  }, footer);
  // The text may hold lines of dashes, and the sender of a mail chooses its boundaries.
  if (
    outcome.kind === "added" && part.boundaries.some((boundary) => hasLine(outcome.bytes, `--${boundary}`))
  ) {
    return { kind: "skipped", reason: "a line starts like a boundary" };
  }
  // In an empty part the boundary follows the empty line at once, so nothing ends the line of what is put there.
  if (outcome.kind !== "added" || part.path === "" || body[end] !== DASH) return outcome;
  return { ...outcome, bytes: concat(outcome.bytes, fromLatin1("\r\n")) };
}

function hasLine(bytes: Uint8Array, start: string): boolean {
  return `\n${latin1(bytes)}`.includes(`\n${start}`);
}

function contentOf(part: Part): { readonly start: number; readonly end: number } {
  return part.content ?? { start: part.headerEnd, end: part.headerEnd };
}

function fieldChanges(part: Part, outcome: Outcome & { kind: "added" }): FieldChange[] {
  const changes: FieldChange[] = [];
  if (outcome.charset !== undefined) {
    const raw = part.fields.find(({ name }) => name === "content-type")?.value;
    changes.push({ name: "Content-Type", value: withCharset(raw ?? part.type.value, outcome.charset) });
  }
  if (outcome.encoding !== undefined) {
    changes.push({ name: "Content-Transfer-Encoding", value: outcome.encoding });
  }
  return changes;
}

/** The changes of a part's own header; that of the mail is not in the body. */
function fieldSplices(part: Part, changes: readonly FieldChange[]): Splice[] {
  if (part.path === "") return [];
  return changes.map(({ name, value }) => {
    const field = part.fields.find((field) => field.name === name.toLowerCase());
    if (field === undefined) {
      return { start: part.headerEnd, end: part.headerEnd, bytes: fromLatin1(`${name}: ${value}\r\n`) };
    }
    const blank = /^\s/.test(value) ? "" : " ";
    return { start: field.start, end: field.end, bytes: fromLatin1(blank + value) };
  });
}

function splice(body: Uint8Array, splices: readonly Splice[]): Uint8Array {
  const pieces: Uint8Array[] = [];
  let at = 0;
  // Stable, so two fields added at one place keep their order.
  for (const { start, end, bytes } of splices.toSorted((a, b) => a.start - b.start)) {
    pieces.push(body.subarray(at, start), bytes);
    at = end;
  }
  return concat(...pieces, body.subarray(at));
}

function toField(field: HeaderField): Field {
  return { name: field.name.toLowerCase(), value: latin1(field.raw), start: 0, end: 0 };
}

function setField(mail: Mail, context: EndOfMessageContext, name: string, value: string | Uint8Array): void {
  if (mail.headers.has(name)) context.changeHeader(name, value);
  else context.addHeader(name, value);
}
