/**
 * The filter's side of one MTA connection: commands in, hooks called, replies out.
 *
 * Pure and synchronous: bytes and the clock are arguments. A hook that answers at once is answered at once; only an
 * async hook makes `receive` return a promise, and until it settles nothing else may be received.
 *
 * @module
 */
import type { Client, EditName, Filter, Log, Mail, Verdict } from "../filter/mod.ts";
import { accept, EDIT_NAMES, reject, tempfail } from "../filter/mod.ts";
import {
  agree,
  type Agreement,
  Effect,
  encodeReply,
  type FrameReader,
  type FrameWriter,
  headerNameEnd,
  letter,
  MacroStore,
  nextState,
  parseCommand,
  SMFIC,
  SMFIP,
  SMFIR,
  State,
  step,
  wantsReply,
} from "../protocol/mod.ts";
import { clientOf, WireAddress } from "./addresses.ts";
import {
  BaseCtx,
  BodyCtx,
  ConnectionCtx,
  type ConnectionState,
  endOfMessageCtx,
  MailCtx,
  TransactionCtx,
  UnknownCtx,
} from "./contexts.ts";
import { editor, type EditRules, encodeEdits } from "./edits.ts";
import type { Failure, FailureKind, FailurePolicy, Outcome } from "./policy.ts";
import { Transaction } from "./transaction.ts";
import { checkVerdict, encodeVerdict, verdictText } from "./verdicts.ts";
import { EDIT_FLAGS, editsOf, needsOf, STAGES, wantsOf } from "./wants.ts";

/** How much of a mail is kept for hooks that need it whole. */
export interface MailLimits {
  /** Bytes of header names and values. */
  readonly headers: number;
  /** Bytes of body kept for a `message` hook; a `body` hook streams and has no limit. */
  readonly body: number;
  /** Recipients. */
  readonly recipients: number;
  /** Length of a frame, bytes. */
  readonly frame: number;
}

/** What became of one mail, or of a connection that was refused before any. */
export interface MailReport {
  readonly filter: string;
  readonly queueId: string | undefined;
  readonly client: string | undefined;
  readonly sender: string | undefined;
  /** Recipients accepted, as far as the filter was told of them. */
  readonly recipients: number;
  /** Recipients that the filter refused. */
  readonly refused: number;
  /** Where the verdict fell, as the hook is named; `abort` for a mail without one. */
  readonly stage: string;
  /** Verdict kind; `none` for a mail that ended without one. */
  readonly verdict: Verdict["kind"] | "none";
  /** The reply text that was sent, if any. */
  readonly reply: string | undefined;
  readonly edits: number;
  /** From the mail's first command to its end, milliseconds. */
  readonly ms: number;
  readonly failure: Failure | undefined;
}

/** Whom a session reports to, and whose clock it uses. */
export interface SessionHost {
  /** Milliseconds, monotonic. */
  now(): number;
  readonly log: Log;
  mail(report: MailReport): void;
  failure(failure: Failure): void;
}

/** A filter ready to serve connections. */
export interface FilterPlan {
  readonly name: string;
  readonly filter: Filter;
  readonly policy: FailurePolicy;
  readonly limits: MailLimits;
  /** Negotiate for a carrier with delayed acknowledgements (TCP); see {@linkcode wantsOf}. */
  readonly answerData: boolean;
}

const decoder = new TextDecoder();
const HOOK_NAMES: ReadonlyMap<number, string> = new Map<number, string>([
  ...STAGES.map((stage) => [stage.code, stage.hook] as const),
  [SMFIC.OPTNEG, "negotiate"],
  [SMFIC.BODYEOB, "endOfMessage"],
  [SMFIC.ABORT, "abort"],
]);

/** One MTA connection as a filter sees it. */
export class FilterSession {
  readonly #plan: FilterPlan;
  readonly #filter: Filter;
  readonly #host: SessionHost;
  readonly #connection: ConnectionView;
  readonly #macros = new MacroStore();
  readonly #baseCtx: BaseCtx;

  #state: number = State.START;
  #agreement: Agreement = { version: 0, actions: 0, protocol: 0, macros: [], dataSize: 0 };
  #rules: Omit<EditRules, "headers"> | undefined;
  #keepHeaders = false;
  #keepBody = false;
  /** The filter accepted the whole connection: everything is answered and nothing looked at. */
  #unfiltered = false;
  #mail: Transaction | undefined;
  #mailCtx: TransactionCtx | undefined;
  #bodyCtx: BodyCtx | undefined;
  /** A failure at a stage that is not answered: it waits for the next one that is. */
  #deferred: Failure | undefined;
  #failure: Failure | undefined;
  /** Rises with every command and every expiry, so that an answer that comes too late is known as such. */
  #turn = 0;
  #pending: Promise<void> | undefined;
  #pendingCode = 0;
  /** What waits behind an abort or close hook. */
  #next: (() => Promise<void> | undefined) | undefined;
  /** Set while a hook runs, so that what it throws is told from a fault of the MTA. */
  #inHook = false;
  #closed = false;

  constructor(plan: FilterPlan, host: SessionHost) {
    this.#plan = plan;
    this.#filter = plan.filter;
    this.#host = host;
    this.#connection = new ConnectionView(this.#macros, host.log);
    this.#baseCtx = new BaseCtx(this.#connection);
  }

  /** A mail has begun and has no verdict yet. */
  get mailOpen(): boolean {
    return this.#mail !== undefined;
  }

  /** The MTA has said goodbye: close the connection once the replies are out. */
  get finished(): boolean {
    return this.#state === State.CLOSED;
  }

  /** Waits for a hook at the end of a message: the only place where every MTA takes SMFIR_PROGRESS. */
  get awaitingEndOfMessage(): boolean {
    return this.#pending !== undefined && this.#pendingCode === SMFIC.BODYEOB;
  }

  /**
   * Takes the reader's current frame and appends the replies to `out`.
   *
   * The result is undefined when all is done, else a promise: hold the frame until it settles. It rejects only with a
   * ProtocolError, when an abort hook stood before a command that turns out malformed.
   *
   * @throws {ProtocolError} for bytes that break the protocol; `lost()` is then what remains to be called.
   */
  receive(frame: FrameReader, out: FrameWriter): Promise<void> | undefined {
    const code = frame.code;
    const cell = step(this.#state, code);
    this.#state = nextState(cell);
    if (code === SMFIC.MACRO) {
      this.#macros.set(frame.bytes, frame.start, frame.end);
      return undefined;
    }
    this.#turn++;
    if ((cell & Effect.ABORT) !== 0) {
      const waiting = this.#abort("the mail was aborted");
      if (waiting !== undefined) return this.#afterAbort(waiting, () => this.#handle(cell, frame, out));
    }
    return this.#handle(cell, frame, out);
  }

  /**
   * The deadline of the pending hook has passed: answers by policy and forgets the hook. Returns a promise as
   * `receive` does, when another hook is called for.
   */
  expire(out: FrameWriter, ms: number): Promise<void> | undefined {
    if (this.#pending === undefined) return undefined;
    const code = this.#pendingCode;
    this.#pending = undefined;
    this.#turn++;
    this.#mail?.abort(`the hook did not answer within ${ms} ms`);
    const next = this.#next;
    this.#next = undefined;
    if (code !== SMFIC.ABORT && !this.#closed) {
      this.#fail("timeout", code, `no answer within ${ms} ms`, out);
      return undefined;
    }
    // Nobody waits for an answer to abort and close; what they held up goes on.
    this.#host.failure(this.#failureOf("timeout", code, `no answer within ${ms} ms`));
    return next?.();
  }

  /**
   * The connection is over, by whatever cause: aborts the open mail and calls `close`, once.
   * The promise, if any, settles when the hooks have; it never rejects.
   */
  lost(): Promise<void> | undefined {
    if (this.#closed) return undefined;
    this.#closed = true;
    this.#state = State.CLOSED;
    this.#mail?.abort("the MTA closed the connection");
    this.#connection.abort();
    this.#turn++;
    const end = (): Promise<void> | undefined => {
      const aborted = this.#abort("the MTA closed the connection");
      return aborted === undefined ? this.#close() : this.#afterAbort(aborted, () => this.#close());
    };
    // Hooks of one connection never overlap: a pending one ends first, or its deadline does.
    return this.#pending === undefined ? end() : this.#afterAbort(this.#pending, end);
  }

  /** Waits for `work`, then goes on with `next`; a deadline that passes meanwhile goes on with it earlier. */
  #afterAbort(work: Promise<void>, next: () => Promise<void> | undefined): Promise<void> {
    let done = false;
    const once = (): Promise<void> | undefined => {
      if (done) return undefined;
      done = true;
      return next();
    };
    this.#next = once;
    return this.#wait(SMFIC.ABORT, work.then(once));
  }

  #handle(cell: number, frame: FrameReader, out: FrameWriter): Promise<void> | undefined {
    const { code } = frame;
    if (code === SMFIC.OPTNEG) return this.#negotiate(frame, out);
    this.#macros.enter(code);
    if (code === SMFIC.CONNECT || code === SMFIC.QUIT_NC) this.#unfiltered = false;
    if (code === SMFIC.QUIT || code === SMFIC.ABORT) return undefined;
    if (code === SMFIC.QUIT_NC) return this.#newConnection();
    if ((cell & Effect.IGNORE) !== 0 || this.#unfiltered) {
      if (this.#unfiltered && this.#state !== State.CLOSED) this.#state = State.IDLE;
      return this.#answer(code, out);
    }
    if ((cell & Effect.OPEN) !== 0) this.#open();
    if (this.#deferred !== undefined && wantsReply(code, this.#agreement.protocol)) {
      const failure = this.#deferred;
      this.#deferred = undefined;
      this.#conclude(code, failure, out);
      return undefined;
    }
    this.#inHook = false;
    const mark = out.length;
    try {
      return this.#call(code, frame, out);
    } catch (error) {
      if (!this.#inHook) throw error;
      out.truncate(mark);
      this.#fail("error", code, messageOf(error), out);
      return undefined;
    }
  }

  /** Calls the hook of a command. Whatever it throws is the filter's failure. */
  #call(code: number, frame: FrameReader, out: FrameWriter): Promise<void> | undefined {
    const filter = this.#filter;
    const { bytes, start, end } = frame;
    switch (code) {
      case SMFIC.HEADER: {
        const nameEnd = headerNameEnd(bytes, start, end);
        if (this.#deferred !== undefined) return undefined;
        const mail = this.#mail!;
        if (mail.headerBytes + end - start > this.#plan.limits.headers) {
          return this.#overLimit("header bytes", this.#plan.limits.headers, code, out);
        }
        if (filter.header === undefined) {
          if (this.#keepHeaders) mail.addField(bytes, start, nameEnd, end - 1);
          return this.#answer(code, out);
        }
        const field = mail.addField(bytes, start, nameEnd, end - 1);
        this.#inHook = true;
        return this.#settle(code, filter.header(field, this.#mailCtx!), out);
      }
      case SMFIC.BODY:
        return this.#body(bytes, start, end, code, out);
      case SMFIC.BODYEOB:
        this.#inHook = true;
        return this.#endOfMessage(bytes, start, end, out);
      case SMFIC.EOH:
        this.#inHook = true;
        return this.#settle(code, filter.endOfHeaders?.(this.#mailCtx!), out);
      case SMFIC.DATA:
        this.#inHook = true;
        return this.#settle(code, filter.data?.(this.#mailCtx!), out);
      default:
        return this.#envelope(code, frame, out);
    }
  }

  #envelope(code: number, frame: FrameReader, out: FrameWriter): Promise<void> | undefined {
    const filter = this.#filter;
    const command = parseCommand(code, frame.bytes, frame.start, frame.end);
    this.#inHook = true;
    switch (command.kind) {
      case "connect":
        this.#connection.client = clientOf(command);
        this.#connection.helo = undefined;
        return this.#settle(
          code,
          filter.connect?.(this.#connection.client, new ConnectionCtx(this.#connection)),
          out,
        );
      case "helo":
        this.#connection.helo = decoder.decode(command.name);
        return this.#settle(
          code,
          filter.helo?.(this.#connection.helo, new ConnectionCtx(this.#connection)),
          out,
        );
      case "mail": {
        const sender = this.#mail!.sender = new WireAddress(command.address, command.args);
        return this.#settle(code, filter.mail?.(sender, this.#mailCtx!), out);
      }
      case "rcpt": {
        const refused = this.#macros.get("rcpt_mailer") === "error"
          ? this.#macros.get("rcpt_addr") ?? ""
          : undefined;
        const recipient = new WireAddress(command.address, command.args, refused);
        const mail = this.#mail!;
        if (mail.recipients.length >= this.#plan.limits.recipients) {
          return this.#overLimit("recipients", this.#plan.limits.recipients, code, out);
        }
        // Noted now and taken back if refused: the hook itself sees only those before it.
        return this.#settle(code, filter.rcpt?.(recipient, this.#mailCtx!), out, recipient);
      }
      case "unknown":
        return this.#settle(
          code,
          filter.unknown?.(decoder.decode(command.command), new UnknownCtx(this.#connection)),
          out,
        );
      default:
        throw new TypeError(`Cannot handle command ${letter(code)} here: it is no envelope command`);
    }
  }

  #body(
    bytes: Uint8Array,
    start: number,
    end: number,
    code: number,
    out: FrameWriter,
  ): Promise<void> | undefined {
    const mail = this.#mail!;
    if (this.#deferred !== undefined) return undefined;
    if (this.#keepBody) {
      if (mail.body.size + end - start > this.#plan.limits.body) {
        return this.#overLimit("body bytes", this.#plan.limits.body, code, out);
      }
      mail.body.add(bytes.slice(start, end));
    }
    if (this.#filter.body === undefined || mail.skipped) return this.#answer(code, out);
    this.#bodyCtx ??= new BodyCtx(this.#connection, mail);
    this.#inHook = true;
    return this.#settle(code, this.#filter.body(bytes.subarray(start, end), this.#bodyCtx), out);
  }

  /** The end may bring a last piece of body (no MTA does so today; libmilter takes it). */
  #endOfMessage(bytes: Uint8Array, start: number, end: number, out: FrameWriter): Promise<void> | undefined {
    const mail = this.#mail!;
    if (end > start && !mail.skipped) {
      if (this.#keepBody) mail.body.add(bytes.slice(start, end));
      if (this.#filter.body !== undefined) {
        this.#bodyCtx ??= new BodyCtx(this.#connection, mail);
        const result = this.#filter.body(bytes.subarray(start, end), this.#bodyCtx);
        if (isThenable(result)) {
          return this.#wait(
            SMFIC.BODYEOB,
            this.#guard(SMFIC.BODYEOB, result, out, (verdict) => this.#afterLastBody(verdict, out)),
          );
        }
        return this.#afterLastBody(result, out);
      }
    }
    return this.#afterLastBody(undefined, out);
  }

  #afterLastBody(verdict: unknown, out: FrameWriter): Promise<void> | undefined {
    if (!goesOn(verdict) && (verdict as Verdict | null)?.kind !== "skip") {
      return this.#decide(SMFIC.BODYEOB, verdict, out);
    }
    const { endOfMessage, message } = this.#filter;
    if (endOfMessage === undefined && message === undefined) {
      return this.#decide(SMFIC.BODYEOB, undefined, out);
    }
    const mail = this.#mail!;
    const context = endOfMessageCtx(this.#connection, mail, editor(mail.edits, this.#editRules(mail)));
    if (message === undefined) return this.#settle(SMFIC.BODYEOB, this.#filter.endOfMessage!(context), out);
    const whole = (): unknown => this.#filter.message!(this.#wholeMail(mail), context);
    const first = endOfMessage === undefined ? undefined : this.#filter.endOfMessage!(context);
    if (isThenable(first)) {
      return this.#wait(
        SMFIC.BODYEOB,
        this.#guard(SMFIC.BODYEOB, first, out, (verdict) => {
          if (goesOn(verdict)) return this.#settle(SMFIC.BODYEOB, whole(), out);
          return this.#decide(SMFIC.BODYEOB, verdict, out);
        }),
      );
    }
    if (!goesOn(first)) return this.#decide(SMFIC.BODYEOB, first, out);
    return this.#settle(SMFIC.BODYEOB, whole(), out);
  }

  #wholeMail(mail: Transaction): Mail {
    return {
      client: this.#connection.client ?? UNKNOWN_CLIENT,
      helo: this.#connection.helo,
      sender: mail.sender ?? new WireAddress(new Uint8Array(0), []),
      recipients: mail.recipients,
      headers: mail.headers,
      body: mail.body,
      macros: this.#macros,
      queueId: this.#macros.get("i"),
    };
  }

  /** What a hook returned, now or later, becomes the answer. */
  #settle(
    code: number,
    result: unknown,
    out: FrameWriter,
    recipient?: WireAddress,
  ): Promise<void> | undefined {
    if (!isThenable(result)) return this.#decide(code, result, out, recipient);
    return this.#wait(
      code,
      this.#guard(code, result, out, (verdict) => this.#decide(code, verdict, out, recipient)),
    );
  }

  /** Runs `then` with the hook's answer unless it comes too late; a rejection is the filter's failure. Never rejects. */
  #guard(
    code: number,
    result: PromiseLike<unknown>,
    out: FrameWriter,
    then: (verdict: unknown) => Promise<void> | undefined,
  ): Promise<void> {
    const turn = this.#turn;
    return Promise.resolve(result).then((verdict) => {
      if (turn !== this.#turn) return undefined;
      const mark = out.length;
      try {
        return then(verdict);
      } catch (error) {
        out.truncate(mark);
        throw error;
      }
    }).catch((error) => {
      if (turn === this.#turn) this.#fail("error", code, messageOf(error), out);
    });
  }

  #wait(code: number, work: Promise<void | undefined>): Promise<void> {
    this.#pendingCode = code;
    const pending: Promise<void> = work.then(() => {
      if (this.#pending === pending) this.#pending = undefined;
    });
    this.#pending = pending;
    return pending;
  }

  /** A hook's verdict becomes the reply and moves the session on. */
  #decide(
    code: number,
    verdict: unknown,
    out: FrameWriter,
    recipient?: WireAddress,
  ): Promise<void> | undefined {
    const mail = this.#mail;
    if (goesOn(verdict)) {
      if (recipient !== undefined && recipient.refused === undefined) mail!.recipients.push(recipient);
      if (code === SMFIC.BODYEOB) return this.#finish({ kind: "continue" }, out);
      return this.#answer(code, out);
    }
    const problem = checkVerdict(verdict, code);
    if (problem !== undefined) {
      this.#fail("bad-verdict", code, problem, out);
      return undefined;
    }
    const checked = verdict as Verdict;
    if (code === SMFIC.BODYEOB) return this.#finish(checked, out);
    if (!wantsReply(code, this.#agreement.protocol)) return undefined;
    switch (checked.kind) {
      case "skip":
        mail!.skipped = true;
        // A message hook still needs the rest of the body.
        if ((this.#agreement.protocol & SMFIP.SKIP) !== 0 && !this.#keepBody) out.simple(SMFIR.SKIP);
        else out.simple(SMFIR.CONTINUE);
        return undefined;
      case "reject":
      case "tempfail":
        encodeVerdict(checked, out);
        if (code === SMFIC.RCPT) mail!.refused++;
        // After a refused recipient, or DATA, the mail is still open: what comes next tells what becomes of it.
        if (code === SMFIC.RCPT || code === SMFIC.DATA) mail!.refusal = { code, verdict: checked };
        else if (code === SMFIC.CONNECT || code === SMFIC.HELO) this.#report(undefined, code, checked);
        else if (code !== SMFIC.UNKNOWN) this.#endMail(code, checked);
        return undefined;
      default:
        encodeVerdict(checked, out);
        if (code === SMFIC.CONNECT || code === SMFIC.HELO) this.#unfiltered = true;
        else this.#endMail(code, checked);
        return undefined;
    }
  }

  /** The verdict at the end of the message, behind the edits. */
  #finish(verdict: Verdict, out: FrameWriter): undefined {
    const mail = this.#mail!;
    if (verdict.kind === "accept" || verdict.kind === "continue") {
      if (mail.edits.length > 0) encodeEdits(mail.edits, this.#editRules(mail), out);
      // Both mean the same here; continue is what Sendmail documents for "no objection".
      out.simple(SMFIR.CONTINUE);
    } else {
      mail.edits = [];
      encodeVerdict(verdict, out);
    }
    this.#endMail(SMFIC.BODYEOB, verdict);
    return undefined;
  }

  #endMail(code: number, verdict: Verdict): void {
    const mail = this.#mail!;
    if (code !== SMFIC.BODYEOB) this.#state = State.DECIDED;
    this.#mail = undefined;
    this.#report(mail, code, verdict);
  }

  #open(): void {
    this.#mail = new Transaction(this.#host.now());
    this.#mailCtx = new TransactionCtx(this.#connection, this.#mail);
    this.#bodyCtx = undefined;
    this.#deferred = undefined;
    this.#failure = undefined;
  }

  #abort(reason: string): Promise<void> | undefined {
    const mail = this.#mail;
    if (mail === undefined) return undefined;
    this.#mail = undefined;
    this.#deferred = undefined;
    mail.abort(reason);
    const refusal = mail.refusal?.code === SMFIC.RCPT && mail.recipients.length > 0
      ? undefined
      : mail.refusal;
    this.#report(mail, refusal?.code ?? SMFIC.ABORT, refusal?.verdict);
    if (this.#filter.abort === undefined) return undefined;
    return this.#quietly("abort", () => this.#filter.abort!(new MailCtx(this.#connection, mail)));
  }

  #close(): Promise<void> | undefined {
    if (this.#filter.close === undefined || this.#agreement.version === 0) return undefined;
    return this.#quietly("close", () => this.#filter.close!(this.#baseCtx));
  }

  /** SMFIC_QUIT_NC: the options stay, everything else starts anew. */
  #newConnection(): Promise<void> | undefined {
    const closed = this.#close();
    const renew = (): undefined => {
      this.#macros.clear();
      this.#connection.renew();
      return undefined;
    };
    return closed === undefined ? renew() : this.#afterAbort(closed, renew);
  }

  /** Runs a hook whose answer nobody waits for; its failure is logged and changes nothing. */
  #quietly(hook: string, call: () => void | Promise<void>): Promise<void> | undefined {
    const failed = (error: unknown): void => {
      const filter = this.#plan.name;
      this.#host.failure({ kind: "error", filter, hook, message: messageOf(error), outcome: "accept" });
    };
    try {
      const result = call();
      return isThenable(result) ? Promise.resolve(result).then(() => {}, failed) : undefined;
    } catch (error) {
      failed(error);
      return undefined;
    }
  }

  #overLimit(what: string, limit: number, code: number, out: FrameWriter): undefined {
    this.#fail("limit", code, `over ${limit} ${what}`, out);
    return undefined;
  }

  /** The one way a filter's failure becomes an answer. */
  #fail(kind: FailureKind, code: number, message: string, out: FrameWriter): void {
    const failure = this.#failureOf(kind, code, message);
    this.#host.failure(failure);
    if (!wantsReply(code, this.#agreement.protocol)) {
      this.#deferred = failure;
      return;
    }
    this.#conclude(code, failure, out);
  }

  #failureOf(kind: FailureKind, code: number, message: string): Failure {
    const hook = HOOK_NAMES.get(code) ?? letter(code);
    return { kind, filter: this.#plan.name, hook, message, outcome: this.#plan.policy[kind] };
  }

  #conclude(code: number, failure: Failure, out: FrameWriter): void {
    this.#failure = failure;
    const verdict = verdictOf(failure.outcome);
    if (this.#mail !== undefined) this.#mail.edits = [];
    // Accept is not survived by Postfix at an unknown command, and means no more than continue there.
    if (code === SMFIC.UNKNOWN && verdict.kind === "accept") out.simple(SMFIR.CONTINUE);
    else this.#decide(code, verdict, out);
  }

  #negotiate(frame: FrameReader, out: FrameWriter): undefined {
    const offer = parseCommand(SMFIC.OPTNEG, frame.bytes, frame.start, frame.end);
    if (offer.kind !== "negotiate") return undefined;
    let declared = this.#filter as Filter;
    if (this.#filter.negotiate !== undefined) {
      try {
        const offered = editsOffered(offer.actions);
        const { version, actions, protocol } = offer;
        declared = {
          ...this.#filter,
          ...this.#filter.negotiate({ version, edits: offered, actions, protocol }),
        };
      } catch (error) {
        const filter = this.#plan.name;
        const message = messageOf(error);
        this.#host.failure({
          kind: "error",
          filter,
          hook: "negotiate",
          message,
          outcome: this.#plan.policy.error,
        });
      }
    }
    const wants = wantsOf(this.#filter, this.#plan.answerData, declared);
    this.#agreement = agree(offer, wants, this.#plan.limits.frame);
    const needs = needsOf(this.#filter, declared);
    this.#keepHeaders = needs.has("headers");
    this.#keepBody = needs.has("body");
    const spaced = (this.#agreement.protocol & SMFIP.HDR_LEADSPC) !== 0;
    this.#rules = {
      agreement: this.#agreement,
      declared: editsOf(this.#filter, declared),
      dropBlank: declared.leadingSpace === true && !spaced,
    };
    const { version, actions, protocol, macros } = this.#agreement;
    encodeReply({ kind: "negotiate", version, actions, protocol, macros }, out);
    return undefined;
  }

  #editRules(mail: Transaction): EditRules {
    const seen = this.#keepHeaders || this.#filter.header !== undefined;
    return { ...this.#rules!, headers: seen ? mail.headers : undefined };
  }

  #answer(code: number, out: FrameWriter): undefined {
    if (wantsReply(code, this.#agreement.protocol)) out.simple(SMFIR.CONTINUE);
    return undefined;
  }

  #report(mail: Transaction | undefined, code: number, verdict: Verdict | undefined): void {
    const { client } = this.#connection;
    this.#host.mail({
      filter: this.#plan.name,
      queueId: this.#macros.get("i"),
      client: client?.address ?? client?.host ?? this.#macros.get("client_addr") ?? this.#macros.get("_"),
      sender: mail === undefined ? undefined : mail.sender?.address ?? this.#macros.get("mail_addr"),
      recipients: mail?.recipients.length ?? 0,
      refused: mail?.refused ?? 0,
      stage: HOOK_NAMES.get(code) ?? letter(code),
      verdict: verdict?.kind ?? "none",
      reply: verdict === undefined ? undefined : verdictText(verdict),
      edits: mail?.edits.length ?? 0,
      ms: mail === undefined ? 0 : this.#host.now() - mail.began,
      failure: this.#failure,
    });
  }
}

/** The connection's part of what contexts show. */
class ConnectionView implements ConnectionState {
  client: Client | undefined;
  helo: string | undefined;
  readonly macros: MacroStore;
  readonly log: Log;
  locals: Record<string, unknown> = {};
  #controller: AbortController | undefined;
  #aborted = false;

  constructor(macros: MacroStore, log: Log) {
    this.macros = macros;
    this.log = log;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  abort(): void {
    this.#aborted = true;
    this.#controller?.abort(new DOMException("the MTA closed the connection", "AbortError"));
  }

  renew(): void {
    this.abort();
    this.#aborted = false;
    this.#controller = undefined;
    this.client = this.helo = undefined;
    this.locals = {};
  }
}

const UNKNOWN_CLIENT: Client = Object.freeze({
  host: "unknown",
  family: "unknown",
  address: undefined,
  port: 0,
});

function goesOn(verdict: unknown): boolean {
  return verdict === undefined || (verdict as Verdict | null)?.kind === "continue";
}

/** A policy's outcome as a verdict; the MTA's own text tells the client no more than that. */
function verdictOf(outcome: Outcome): Verdict {
  if (outcome === "accept") return accept();
  return outcome === "reject" ? reject() : tempfail();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

function editsOffered(actions: number): EditName[] {
  return EDIT_NAMES.filter((name) => (actions & EDIT_FLAGS[name]) !== 0);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null &&
    typeof (value as PromiseLike<unknown>).then === "function";
}
