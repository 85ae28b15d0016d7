/**
 * From a command to the call of its hook: reads the payload, keeps what later hooks need, hands over the context.
 *
 * @module
 */
import type { Filter, Mail, Verdict } from "../filter/mod.ts";
import { type Frame, headerNameEnd, letter, parseCommand, SMFIC } from "../protocol/mod.ts";
import { clientOf, UNKNOWN_CLIENT, WireAddress } from "./addresses.ts";
import type { ConnectionView } from "./connection_view.ts";
import { BodyCtx, ConnectionCtx, endOfMessageCtx, TransactionCtx, UnknownCtx } from "./contexts.ts";
import { editor } from "./edits.ts";
import { editRules, NO_TERMS, type Terms } from "./negotiation.ts";
import { inTurn, isThenable, type PendingHook } from "./pending.ts";
import type { FilterPlan } from "./plan.ts";
import { Transaction } from "./transaction.ts";

/** Thrown for a mail that is larger than what may be kept of it. */
export class OverLimit extends Error {
  override readonly name = "OverLimit";
}

/** Calls a filter's hooks for one connection. */
export class HookCalls {
  /** What was negotiated. */
  terms: Terms = NO_TERMS;
  /** The open mail. */
  mail: Transaction | undefined;
  /** Set from the moment a hook may run, so that what it throws is told from a fault of the MTA. */
  running = false;
  readonly #filter: Filter;
  readonly #plan: FilterPlan;
  readonly #view: ConnectionView;
  readonly #pending: PendingHook;
  #mailCtx: TransactionCtx | undefined;
  #bodyCtx: BodyCtx | undefined;

  /** @param pending Tells whether a hook's answer is still waited for. */
  constructor(plan: FilterPlan, view: ConnectionView, pending: PendingHook) {
    this.#pending = pending;
    this.#plan = plan;
    this.#filter = plan.filter;
    this.#view = view;
  }

  /** A mail begins, at a time in milliseconds. */
  open(now: number): void {
    this.mail = new Transaction(now);
    this.#mailCtx = new TransactionCtx(this.#view, this.mail);
    this.#bodyCtx = undefined;
  }

  /**
   * Calls the hook of the current frame's command and gives back what it returned; undefined without one.
   *
   * @throws {ProtocolError} for a malformed payload. @throws {OverLimit}. @throws whatever the hook throws.
   */
  call(frame: Frame): unknown {
    const { code, bytes, start, end } = frame;
    this.running = false;
    switch (code) {
      case SMFIC.HEADER:
        return this.#header(bytes, start, end);
      case SMFIC.BODY:
        return this.#body(bytes, start, end);
      case SMFIC.BODYEOB:
        return this.#endOfMessage(bytes, start, end);
      case SMFIC.EOH:
        this.running = true;
        return this.#filter.endOfHeaders?.(this.#mailCtx!);
      case SMFIC.DATA:
        this.running = true;
        return this.#filter.data?.(this.#mailCtx!);
      default:
        return this.#envelope(frame);
    }
  }

  #envelope(frame: Frame): unknown {
    const filter = this.#filter;
    const view = this.#view;
    const command = parseCommand(frame.code, frame.bytes, frame.start, frame.end);
    switch (command.kind) {
      case "connect":
        view.client = clientOf(command);
        view.helo = undefined;
        this.running = true;
        return filter.connect?.(view.client, new ConnectionCtx(view));
      case "helo":
        view.helo = new TextDecoder().decode(command.name);
        this.running = true;
        return filter.helo?.(view.helo, new ConnectionCtx(view));
      case "mail":
        this.mail!.sender = new WireAddress(command.address, command.args);
        this.running = true;
        return filter.mail?.(this.mail!.sender, this.#mailCtx!);
      case "rcpt": {
        const mail = this.mail!;
        this.#bound(mail.recipients.length + 1, this.#plan.limits.recipients, "recipients");
        // With SMFIP_RCPT_REJ also those come that the MTA has refused; they do not count (milter-protocol, 3.4).
        const refused = view.macros.get("rcpt_mailer") === "error" ? view.macros.get("rcpt_addr") : undefined;
        mail.candidate = new WireAddress(command.address, command.args, refused);
        this.running = true;
        return filter.rcpt?.(mail.candidate, this.#mailCtx!);
      }
      case "unknown":
        this.running = true;
        return filter.unknown?.(new TextDecoder().decode(command.command), new UnknownCtx(view));
      default:
        throw new TypeError(`Cannot handle command ${letter(frame.code)} here: it is no envelope command`);
    }
  }

  #header(bytes: Uint8Array, start: number, end: number): unknown {
    const nameEnd = headerNameEnd(bytes, start, end);
    if (!this.terms.keepHeaders) return undefined;
    const mail = this.mail!;
    this.#bound(mail.headerBytes + end - start, this.#plan.limits.headers, "header bytes");
    const field = mail.addField(bytes, start, nameEnd, end - 1);
    if (this.#filter.header === undefined) return undefined;
    this.running = true;
    return this.#filter.header(field, this.#mailCtx!);
  }

  #body(bytes: Uint8Array, start: number, end: number): unknown {
    const mail = this.mail!;
    this.#keep(mail, bytes, start, end);
    if (this.#filter.body === undefined || mail.skipped) return undefined;
    this.running = true;
    // A reader's buffer is never shared memory; filters get what WebCrypto and Blob take.
    const chunk = bytes.subarray(start, end) as Uint8Array<ArrayBuffer>;
    return this.#filter.body(chunk, this.#bodyCtx ??= new BodyCtx(this.#view, mail));
  }

  /** The end may bring a last piece of body: no MTA does so today, libmilter takes it, so do we. */
  #endOfMessage(bytes: Uint8Array, start: number, end: number): unknown {
    const filter = this.#filter;
    const mail = this.mail!;
    const steps: (() => unknown)[] = [];
    mail.ending = true;
    if (end > start) steps.push(() => unskipped(this.#body(bytes, start, end)));
    if (filter.endOfMessage !== undefined || filter.message !== undefined) {
      const context = endOfMessageCtx(this.#view, mail, editor(mail.edits, editRules(this.terms, mail)));
      if (filter.endOfMessage !== undefined) steps.push(() => filter.endOfMessage!(context));
      if (filter.message !== undefined) steps.push(() => filter.message!(this.#whole(mail), context));
    }
    this.running = true;
    const { turn } = this.#pending;
    // Once the answer comes too late, no second hook is called.
    return inTurn(steps, () => this.#pending.isCurrent(turn));
  }

  #whole(mail: Transaction): Mail {
    const { client = UNKNOWN_CLIENT, helo, macros } = this.#view;
    const { sender = NULL_SENDER, recipients, headers, body } = mail;
    return { client, helo, sender, recipients, headers, body, macros, queueId: macros.get("i") };
  }

  #keep(mail: Transaction, bytes: Uint8Array, start: number, end: number): void {
    if (!this.terms.keepBody) return;
    this.#bound(mail.body.size + end - start, this.#plan.limits.body, "body bytes");
    mail.body.add(bytes.slice(start, end));
  }

  #bound(count: number, limit: number, what: string): void {
    if (count > limit) throw new OverLimit(`over ${limit} ${what}`);
  }
}

const NULL_SENDER = new WireAddress(new Uint8Array(0), []);

/** Skip at the last piece of body is the same as going on. */
function unskipped(result: unknown): unknown {
  if (isThenable(result)) return Promise.resolve(result).then(unskipped);
  return (result as Verdict | null | undefined)?.kind === "skip" ? undefined : result;
}
