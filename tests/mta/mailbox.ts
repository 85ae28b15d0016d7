/**
 * What an MTA did with mail, read from its folder: delivered to the Maildir, still queued, or quarantined.
 * Files of an MTA have LF line ends. Text is one character per byte.
 */
import { bytesOf, latin1 } from "./smtp.ts";

/** A mail as bytes, taken apart. */
export interface StoredMail {
  /** Header and body with LF line ends, without the lines that hold the envelope. */
  readonly raw: Uint8Array;
  /**
   * Name and value of each field, in order. One blank after the colon is taken off, folded lines keep their
   * LF and what follows.
   */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array;
}

/** A mail in the Maildir: one file per recipient. */
export interface Delivered extends StoredMail {
  /** Without angle brackets; empty for the null sender. */
  readonly sender: string;
  readonly recipient: string;
}

/** A mail in the quarantine. */
export interface Quarantined extends StoredMail {
  readonly sender: string;
  readonly recipients: readonly string[];
  /** Postfix keeps no reason in its queue file, only in its log. */
  readonly reason: string | undefined;
}

/** The values of all fields with this name, whatever its case, in order. */
export function values(mail: StoredMail, name: string): string[] {
  return mail.fields.filter(([known]) => known.toLowerCase() === name.toLowerCase()).map(([, value]) =>
    value
  );
}

/** Takes a mail apart at its first empty line. */
export function parseMail(raw: Uint8Array): StoredMail {
  const text = latin1(raw);
  const end = text.startsWith("\n") ? 0 : text.indexOf("\n\n") + 1;
  const header = end > 0 || text.startsWith("\n") ? text.slice(0, end) : text;
  const body = header.length === text.length ? new Uint8Array() : raw.subarray(header.length + 1);
  const fields: [string, string][] = [];
  for (const line of header.split("\n").slice(0, -1)) {
    const last = fields.at(-1);
    if (/^[ \t]/.test(line) && last !== undefined) {
      last[1] += `\n${line}`;
      continue;
    }
    const colon = line.indexOf(":");
    if (colon < 0) throw new Error(`Cannot read the header line "${line}": a colon was expected`);
    fields.push([line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")]);
  }
  return { raw, fields, body };
}

/** All mails in DIR/mail/new, by recipient. */
export async function readMaildir(folder: string): Promise<Delivered[]> {
  const mails: Delivered[] = [];
  for (const path of await filesIn(`${folder}/mail/new`)) {
    const file = await Deno.readFile(path);
    // the lines that the delivery agent writes on top; what a filter inserts at 0 comes after them
    const head = latin1(file.subarray(0, 8192));
    const envelope = /^(?:(?:Return-Path|X-Original-To|Delivered-To): [^\n]*\n){2,3}/.exec(head)?.[0];
    const sender = envelope && /^Return-Path: <(.*)>$/m.exec(envelope)?.[1];
    const recipient = envelope && /^Delivered-To: (.*)$/m.exec(envelope)?.[1];
    if (envelope === undefined || sender === undefined || recipient === undefined) {
      throw new Error(`Cannot read the envelope in ${path}: "${head.slice(0, 200)}"`);
    }
    mails.push({ ...parseMail(file.subarray(envelope.length)), sender, recipient });
  }
  return mails.sort((a, b) => a.recipient < b.recipient ? -1 : a.recipient > b.recipient ? 1 : 0);
}

/**
 * The paths of mails that Postfix has accepted and not yet delivered. A file still being written has no
 * execute bit. Read in the order in which mail wanders, so that none slips through.
 */
export async function postfixQueue(folder: string): Promise<string[]> {
  const waiting: string[] = [];
  for (const queue of ["maildrop", "incoming", "active", "deferred"]) {
    for (const path of await filesIn(`${folder}/var/spool/postfix/${queue}`)) {
      if (((await statOrNone(path))?.mode ?? 0) & 0o100) waiting.push(path);
    }
  }
  return waiting;
}

/** The paths of mails that Sendmail has accepted and not yet delivered. Those of open sessions are empty. */
export async function sendmailQueue(folder: string): Promise<string[]> {
  const waiting: string[] = [];
  for (const path of await filesIn(`${folder}/var/spool/mqueue`)) {
    if (!/\/[qt]f[^/]+$/.test(path)) continue;
    if (((await statOrNone(path))?.size ?? 0) > 0) waiting.push(path);
  }
  return waiting;
}

/** Mails in Postfix's hold queue; `show` prints one as postcat does. */
export async function postfixHold(
  folder: string,
  show: (id: string) => Promise<Uint8Array>,
): Promise<Quarantined[]> {
  const mails: Quarantined[] = [];
  for (const path of await filesIn(`${folder}/var/spool/postfix/hold`)) {
    const id = path.slice(path.lastIndexOf("/") + 1);
    const printed = latin1(await show(id));
    const parts = /^([^]*?)\*\*\* MESSAGE CONTENTS [^\n]*\n([^]*?)\*\*\* HEADER EXTRACTED [^\n]*\n([^]*)$/
      .exec(printed);
    if (parts === null) throw new Error(`Cannot read what postcat prints for "${id}": "${printed}"`);
    const envelope = parts[1] + parts[3];
    mails.push({
      ...parseMail(bytesOf(parts[2])),
      sender: /^sender: (.*)$/m.exec(envelope)?.[1] ?? "",
      recipients: [...envelope.matchAll(/^recipient: (.*)$/gm)].map((match) => match[1]),
      reason: undefined,
    });
  }
  return mails;
}

/** Mails that Sendmail has quarantined: hf* has envelope and header (op.me, "Queue File Format"), df* the body. */
export async function sendmailQuarantine(folder: string): Promise<Quarantined[]> {
  const mails: Quarantined[] = [];
  for (const path of await filesIn(`${folder}/var/spool/mqueue`)) {
    if (!/\/hf[^/]+$/.test(path)) continue;
    const control = latin1(await Deno.readFile(path));
    const body = await Deno.readFile(path.replace(/\/hf([^/]+)$/, "/df$1"));
    // H?flags?Name: value, continued on lines that begin with a blank or a tab; flag P is Return-Path, only
    // filled in at delivery
    const header = [...control.matchAll(/^H\?[^?P\n]*\?((?:.*\n)(?:[ \t].*\n)*)/gm)].map((match) => match[1]);
    mails.push({
      ...parseMail(bytesOf(`${header.join("")}\n${latin1(body)}`)),
      sender: /^S<?(.*?)>?$/m.exec(control)?.[1] ?? "",
      recipients: [...control.matchAll(/^R[^:\n]*:<?(.*?)>?$/gm)].map((match) => match[1]),
      reason: /^q(.*)$/m.exec(control)?.[1],
    });
  }
  return mails;
}

/** Removes every file in the folder, also in folders below it. */
export async function emptyFolder(folder: string): Promise<void> {
  for (const path of await filesIn(folder)) await Deno.remove(path);
}

async function filesIn(folder: string): Promise<string[]> {
  const paths: string[] = [];
  try {
    for await (const entry of Deno.readDir(folder)) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory) paths.push(...await filesIn(path));
      else paths.push(path);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return paths.sort();
}

/** A queue file may go away between being listed and being looked at. */
async function statOrNone(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
