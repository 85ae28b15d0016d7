/**
 * Runs a filter on a mail without network or mail server: the real session, fed as an MTA feeds it.
 *
 * @module
 */
import type { Filter, Log, Verdict } from "../filter/mod.ts";
import {
  type Command,
  encodeCommand,
  FrameReader,
  FrameWriter,
  isFinal,
  isSent,
  parseReply,
  type Reply,
  SMFIC,
} from "../protocol/mod.ts";
import { FilterSession } from "../session/filter_session.ts";
import type { FilterPlan, MailLimits, MailReport } from "../session/plan.ts";
import { type Failure, type FailurePolicy, uniformPolicy } from "../session/policy.ts";
import { applyReplies, bracketed, type Dialect, type EditedMail } from "./edited_mail.ts";
import { parseMail, renderMail, type WireMail } from "./eml.ts";

/** The mail to run, and how it comes in. Everything but the mail has a default. */
export interface TestMail {
  /** A mail file: header, empty line, body; LF or CRLF. */
  readonly message?: string | Uint8Array;
  /** Envelope sender, with or without angle brackets; `""` is the null sender. Default: `sender@example.org`. */
  readonly sender?: string;
  /** ESMTP arguments of MAIL, such as `"SIZE=1000"`. */
  readonly senderArgs?: readonly string[];
  /** Envelope recipients. Default: `recipient@example.com`. */
  readonly recipients?: readonly string[];
  /** The SMTP client. Default: `client.example.org`, 192.0.2.1. */
  readonly client?: { readonly host?: string; readonly address?: string; readonly port?: number };
  /** Name in HELO. Default: the client's host. */
  readonly helo?: string;
  /** Macro values for all stages, such as `{ i: "4F2A", "{auth_type}": "PLAIN" }`. Default: `{ i: "TEST" }`. */
  readonly macros?: Readonly<Record<string, string>>;
}

/** How to run it. */
export interface RunOptions {
  /** Whose rules turn edits into the edited mail. Default: `postfix`. */
  readonly dialect?: Dialect;
  /** Protocol version of the MTA, 2 to 6. Default: 6. */
  readonly version?: number;
  /** What becomes of the mail when the filter fails. Default: `error` is thrown to you, not turned into a verdict. */
  readonly policy?: FailurePolicy;
  readonly log?: Log;
}

/** What the filter did. */
export interface FilterRun {
  /** The verdict on the mail; `continue` if nothing objected. */
  readonly verdict: Verdict["kind"];
  /** The SMTP reply of the filter's own, for example `"550 5.7.1 not here"`. */
  readonly reply: string | undefined;
  /** The hook that gave the verdict. */
  readonly stage: string;
  /** Recipients the filter refused, with the reply of each if it has one. */
  readonly refused: readonly { readonly recipient: string; readonly reply: string | undefined }[];
  /** The edits as the MTA gets them. */
  readonly edits: readonly Reply[];
  /** The mail as the MTA passes it on; undefined if it is refused or discarded. */
  readonly mail: EditedMail | undefined;
  /** The edited mail as a file, CRLF line ends; undefined if it is refused or discarded. */
  readonly message: string | undefined;
  /** What the filter failed with, if a policy was given. */
  readonly failure: Failure | undefined;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const LIMITS: MailLimits = { headers: 2 ** 24, body: 2 ** 30, recipients: 100_000, frame: 2 ** 20 + 4096 };
const QUIET: Log = { debug() {}, info() {}, warn() {}, error() {} };
/** As Postfix and Sendmail do. */
const CHUNK = 65_535;

/**
 * Runs a filter on one mail and tells what it did.
 *
 * @param filter The filter itself; a module that exports a function is to be called first.
 * @throws whatever a hook throws, unless `options.policy` is given.
 *
 * @example A filter that marks mail
 * ```ts
 * import { runFilter } from "@millrace/millrace";
 * import assert from "node:assert/strict";
 *
 * const run = await runFilter(
 *   { message: (_mail, { addHeader }) => addHeader("X-Checked", "yes") },
 *   { message: "Subject: hello\n\nHi!\n" },
 * );
 * assert.equal(run.verdict, "continue");
 * assert.equal(run.message, "Subject: hello\r\nX-Checked: yes\r\n\r\nHi!\r\n");
 * ```
 */
export async function runFilter(
  filter: Filter,
  mail: TestMail = {},
  options: RunOptions = {},
): Promise<FilterRun> {
  const run = new Run(filter, mail, options);
  await run.play();
  return run.result();
}

class Run {
  readonly #mail: TestMail;
  readonly #wire: WireMail;
  readonly #dialect: Dialect;
  readonly #version: number;
  readonly #session: FilterSession;
  readonly #strict: boolean;
  readonly #in = new FrameReader();
  readonly #out = new FrameWriter();
  readonly #recipients: string[] = [];
  readonly #refused: { recipient: string; reply: string | undefined }[] = [];
  #protocol = 0;
  #edits: Reply[] = [];
  #final: Reply = { kind: "continue" };
  #report: MailReport | undefined;
  #failure: Failure | undefined;
  #thrown: unknown;

  constructor(filter: Filter, mail: TestMail, options: RunOptions) {
    const { message = "Subject: test\n\nTest.\n" } = mail;
    this.#mail = mail;
    this.#wire = parseMail(typeof message === "string" ? encoder.encode(message) : message);
    this.#dialect = options.dialect ?? "postfix";
    this.#version = options.version ?? 6;
    this.#strict = options.policy === undefined;
    const plan: FilterPlan = {
      name: filter.name ?? "filter",
      filter,
      policy: options.policy ?? uniformPolicy(),
      limits: LIMITS,
    };
    this.#session = new FilterSession(plan, {
      now: () => performance.now(),
      log: options.log ?? QUIET,
      mail: (report) => this.#report = report,
      failure: (failure, cause) => {
        this.#failure ??= failure;
        this.#thrown ??= cause ??
          new Error(`Filter "${failure.filter}" failed in ${failure.hook}: ${failure.message}`);
      },
    });
  }

  async play(): Promise<void> {
    const { client = {}, sender = "sender@example.org", senderArgs = [] } = this.#mail;
    const { host = "client.example.org", address = "192.0.2.1", port = 40000 } = client;
    await this.#send({ kind: "negotiate", version: this.#version, actions: 0x1ff, protocol: 0x1fffff });
    const family = address.includes(":") ? "inet6" : "inet";
    const refusedAtConnect = await this.#ask(SMFIC.CONNECT, {
      kind: "connect",
      host: encoder.encode(host),
      family,
      port,
      address: encoder.encode(address),
    }) || await this.#ask(SMFIC.HELO, { kind: "helo", name: encoder.encode(this.#mail.helo ?? host) });
    const over = refusedAtConnect || await this.#ask(SMFIC.MAIL, {
      kind: "mail",
      address: encoder.encode(bracketed(sender)),
      args: senderArgs.map((arg) => encoder.encode(arg)),
    }) || await this.#askRecipients() || await this.#askMessage();
    if (!over) await this.#ask(SMFIC.BODYEOB, { kind: "endOfMessage", chunk: new Uint8Array(0) });
    await this.#send({ kind: "quit" });
    await this.#session.lost();
  }

  result(): FilterRun {
    if (this.#strict && this.#thrown !== undefined) throw this.#thrown;
    const final = this.#final;
    const text = final.kind === "replyCode" ? decoder.decode(final.text).replaceAll("%%", "%") : undefined;
    const verdict = this.#report?.verdict ?? "continue";
    const kept = verdict === "continue" || verdict === "accept" || verdict === "skip" || verdict === "none";
    const mail = kept ? applyReplies(this.#enveloped(), this.#edits, this.#dialect) : undefined;
    return {
      verdict: verdict === "none" ? "continue" : verdict,
      reply: text ?? this.#report?.reply,
      stage: this.#report?.stage ?? "endOfMessage",
      refused: this.#refused,
      edits: this.#edits,
      mail,
      message: mail === undefined ? undefined : decoder.decode(renderMail(mail)),
      failure: this.#failure,
    };
  }

  #enveloped(): WireMail & { sender: string; recipients: string[] } {
    const { sender = "sender@example.org" } = this.#mail;
    return { ...this.#wire, sender: bracketed(sender), recipients: this.#recipients };
  }

  /** True when no recipient is left, or the whole mail is decided. */
  async #askRecipients(): Promise<boolean> {
    for (const recipient of this.#mail.recipients ?? ["recipient@example.com"]) {
      const address = bracketed(recipient);
      const over = await this.#ask(SMFIC.RCPT, { kind: "rcpt", address: encoder.encode(address), args: [] });
      const final = this.#final;
      if (final.kind === "reject" || final.kind === "tempfail" || final.kind === "replyCode") {
        const reply = final.kind === "replyCode"
          ? decoder.decode(final.text).replaceAll("%%", "%")
          : undefined;
        this.#refused.push({ recipient: address, reply });
      } else {
        this.#recipients.push(address);
        if (over) return true;
      }
    }
    if (this.#recipients.length > 0) return false;
    // A client with no recipient left gives up; the mail ends by an abort.
    await this.#send({ kind: "abort" });
    return true;
  }

  async #askMessage(): Promise<boolean> {
    if (await this.#ask(SMFIC.DATA, { kind: "data" })) return true;
    for (const field of this.#wire.fields) {
      if (
        await this.#ask(SMFIC.HEADER, { kind: "header", name: field.rawName, value: this.#value(field.raw) })
      ) return true;
    }
    if (await this.#ask(SMFIC.EOH, { kind: "endOfHeaders" })) return true;
    const { body } = this.#wire;
    for (let at = 0; at < body.length; at += CHUNK) {
      if (await this.#ask(SMFIC.BODY, { kind: "body", chunk: body.subarray(at, at + CHUNK) })) return true;
      if (this.#final.kind === "skip") break;
    }
    return false;
  }

  #value(raw: Uint8Array): Uint8Array {
    const spaced = (this.#protocol & 0x100000) !== 0;
    if (!spaced) return raw;
    const value = new Uint8Array(raw.length + 1);
    value[0] = 0x20;
    value.set(raw, 1);
    return value;
  }

  /** Sends macros and a command if the filter wants it; true when the answer ends the mail. */
  async #ask(code: number, command: Command): Promise<boolean> {
    const { macros = { i: "TEST" } } = this.#mail;
    const pairs = Object.entries(macros).map(([name, value]) =>
      [encoder.encode(name), encoder.encode(value)] as const
    );
    await this.#send({ kind: "macros", stage: code, pairs });
    this.#final = { kind: "continue" };
    if (!isSent(code, this.#version, this.#protocol)) return false;
    await this.#send(command);
    const { kind } = this.#final;
    if (kind === "continue" || kind === "skip") return false;
    // Refusing a recipient leaves the mail open; accepting or discarding at one is for the whole mail.
    return code !== SMFIC.RCPT || kind === "accept" || kind === "discard";
  }

  async #send(command: Command): Promise<void> {
    const frames = new FrameWriter();
    encodeCommand(command, frames);
    this.#in.push(frames.view());
    while (this.#in.next()) {
      const pending = this.#session.receive(this.#in, this.#out);
      if (pending !== undefined) {
        this.#in.held = true;
        await pending;
        this.#in.held = false;
      }
      this.#take(this.#in.code);
    }
  }

  #take(code: number): void {
    const replies = new FrameReader();
    replies.push(this.#out.take());
    while (replies.next()) {
      const reply = parseReply(replies.code, replies.bytes, replies.start, replies.end);
      if (reply.kind === "negotiate") this.#protocol = reply.protocol;
      else if (isFinal(reply)) this.#final = reply;
      else if (code === SMFIC.BODYEOB) this.#edits.push(reply);
    }
  }
}
