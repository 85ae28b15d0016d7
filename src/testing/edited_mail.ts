/**
 * What an MTA makes of a filter's edits, as Postfix and as Sendmail do it (milter-protocol, 4.7 to 4.9).
 *
 * @module
 */
import { HeaderField } from "../filter/mod.ts";
import type { Reply } from "../protocol/mod.ts";
import type { WireMail } from "./eml.ts";

/** Whose rules hold where the two differ. */
export type Dialect = "postfix" | "sendmail";

/** A mail with its envelope. Addresses with angle brackets, as on the wire. */
export interface EnvelopedMail extends WireMail {
  readonly sender: string;
  readonly recipients: readonly string[];
}

/** What the edits made of a mail. */
export interface EditedMail extends EnvelopedMail {
  /** The reason, if it went to quarantine. */
  readonly quarantine: string | undefined;
}

/** Sendmail keeps that many default fields, unseen, below its own Received; its insert index counts them. */
const HIDDEN = 10;

const decoder = new TextDecoder();

/** A field, or the place of the MTA's own Received, which no filter sees. */
interface Slot {
  readonly field: HeaderField | undefined;
  /** Sendmail: a deleted field keeps its number. */
  readonly deleted?: boolean;
}

/** Applies a filter's replies to the end of message, in their order; verdicts and progress among them change nothing. */
export function applyReplies(mail: EnvelopedMail, replies: readonly Reply[], dialect: Dialect): EditedMail {
  const slots: Slot[] = [{ field: undefined }, ...mail.fields.map((field) => ({ field }))];
  let { sender } = mail;
  let recipients = [...mail.recipients];
  let quarantine: string | undefined;
  const chunks: Uint8Array[] = [];
  for (const reply of replies) {
    switch (reply.kind) {
      case "addHeader":
        addHeader(slots, fieldOf(reply.name, reply.value), dialect);
        break;
      case "insertHeader":
        insertHeader(slots, reply.index, fieldOf(reply.name, reply.value), dialect);
        break;
      case "changeHeader":
        changeHeader(slots, reply.index, reply.name, reply.value, dialect);
        break;
      case "replaceBody":
        chunks.push(reply.chunk);
        break;
      case "addRecipient":
      case "addRecipientWithArgs":
        recipients.push(...added(decoder.decode(reply.address), dialect));
        break;
      case "removeRecipient": {
        const gone = bracketed(decoder.decode(reply.address));
        const same = dialect === "postfix"
          ? (a: string): boolean => bracketed(a) === gone
          : (a: string): boolean => bracketed(a).toLowerCase() === gone.toLowerCase();
        recipients = recipients.filter((recipient) => !same(recipient));
        break;
      }
      case "changeSender":
        // Sendmail ignores an empty address; the null sender is "<>" there.
        if (reply.address.length === 0 && dialect === "sendmail") break;
        sender = bracketed(decoder.decode(reply.address));
        break;
      case "quarantine":
        quarantine = decoder.decode(reply.reason);
        break;
    }
  }
  const fields = slots.filter((slot) => !slot.deleted).map((slot) => slot.field).filter((field) =>
    field !== undefined
  );
  return { fields, body: chunks.length === 0 ? mail.body : concat(chunks), sender, recipients, quarantine };
}

/**
 * Header edits with the blank that their values bring under SMFIP_HDR_LEADSPC taken off: in a {@linkcode HeaderField}
 * the blank after the colon is no part of the value.
 */
export function withoutLeadingSpace(replies: readonly Reply[]): Reply[] {
  return replies.map((reply) =>
    (reply.kind === "addHeader" || reply.kind === "insertHeader" || reply.kind === "changeHeader") &&
      reply.value[0] === 0x20
      ? { ...reply, value: reply.value.subarray(1) }
      : reply
  );
}

/** The recipients of one address text: Sendmail takes a list. */
function added(text: string, dialect: Dialect): string[] {
  const parts = dialect === "sendmail" ? text.split(",").map((part) => part.trim()) : [text];
  return parts.filter((part) => part !== "").map(bracketed);
}

function addHeader(slots: Slot[], field: HeaderField, dialect: Dialect): void {
  const first = dialect === "sendmail" ? slots.findIndex((slot) => isNamed(slot, field.name)) : -1;
  if (first === -1) slots.push({ field });
  else slots.splice(first, 0, { field });
}

function insertHeader(slots: Slot[], index: number, field: HeaderField, dialect: Dialect): void {
  let at = index;
  if (dialect === "sendmail") {
    if (index === 0xffffffff) at = 0;
    else if (index > 0) at = Math.max(1, index - HIDDEN);
  }
  slots.splice(Math.min(at, slots.length), 0, { field });
}

function changeHeader(
  slots: Slot[],
  index: number,
  name: Uint8Array,
  value: Uint8Array,
  dialect: Dialect,
): void {
  const wanted = decoder.decode(name);
  const nth = Math.max(1, index);
  const found = slots.filter((slot) => isNamed(slot, wanted))[nth - 1];
  if (found === undefined) {
    if (value.length > 0) addHeader(slots, fieldOf(name, value), dialect);
    return;
  }
  const at = slots.indexOf(found);
  if (value.length === 0 && dialect === "postfix") slots.splice(at, 1);
  else if (value.length === 0) slots[at] = { field: found.field, deleted: true };
  else slots[at] = { field: fieldOf(dialect === "postfix" ? name : found.field!.rawName, value) };
}

function isNamed(slot: Slot, name: string): boolean {
  return slot.field !== undefined && slot.field.name.toLowerCase() === name.toLowerCase();
}

function fieldOf(name: Uint8Array, value: Uint8Array): HeaderField {
  return HeaderField.of(decoder.decode(name), value);
}

/** An address with angle brackets, which MTAs take with and without. */
export function bracketed(address: string): string {
  return address.startsWith("<") ? address : `<${address}>`;
}

function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
