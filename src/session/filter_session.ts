/**
 * The filter's side of one MTA connection: commands in, hooks called, replies out.
 *
 * Pure and synchronous: bytes and the clock are arguments. A hook that answers at once is answered at once; only an
 * async hook makes `receive` return a promise, and until it settles nothing else may be received.
 *
 * @module
 */
import type { Filter, Verdict } from "../filter/mod.ts";
import { isThrown, thrownText } from "../text/thrown.ts";
import {
  Effect,
  encodeReply,
  type Frame,
  type FrameWriter,
  letter,
  nextState,
  parseCommand,
  SMFIC,
  SMFIP,
  SMFIR,
  State,
  step,
  wantsReply,
} from "../protocol/mod.ts";
import { ConnectionView } from "./connection_view.ts";
import { BaseCtx, MailCtx } from "./contexts.ts";
import { encodeEdits } from "./edits.ts";
import { HookCalls, OverLimit } from "./hook_calls.ts";
import { editRules, editsOffered, NO_TERMS, termsFor } from "./negotiation.ts";
import { goesOn, isThenable, PendingHook } from "./pending.ts";
import type { FilterPlan, SessionHost } from "./plan.ts";
import { type Failure, type FailureKind, verdictOf } from "./policy.ts";
import type { Transaction } from "./transaction.ts";
import { checkVerdict, encodeVerdict, verdictText } from "./verdicts.ts";
import { HOOK_OF_COMMAND } from "./wants.ts";

/** Stages whose hooks belong to the connection, and not to the mail that may be open meanwhile. */
const CONNECTION_STAGES: readonly number[] = [SMFIC.CONNECT, SMFIC.HELO, SMFIC.UNKNOWN];

/** One MTA connection as a filter sees it. It fulfils `LinkSession` of the chain, which says more of each method. */
export class FilterSession {
  readonly #plan: FilterPlan;
  readonly #filter: Filter;
  readonly #host: SessionHost;
  readonly #answerData: boolean;
  readonly #connection: ConnectionView;
  readonly #hooks: HookCalls;
  readonly #pending = new PendingHook();

  #state: number = State.START;
  /** The filter accepted the whole connection: everything is answered and nothing looked at. */
  #unfiltered = false;
  /** A failure at a stage that is not answered: it waits for the next one that is. */
  #deferred: Failure | undefined;
  /** The failure that decided the mail. */
  #failure: Failure | undefined;
  #closed = false;

  /** @param answerData Negotiate for a carrier with delayed acknowledgements (TCP); see `wantsOf`. */
  constructor(plan: FilterPlan, host: SessionHost, answerData = false) {
    this.#answerData = answerData;
    this.#plan = plan;
    this.#filter = plan.filter;
    this.#host = host;
    this.#connection = new ConnectionView(host.log);
    this.#hooks = new HookCalls(plan, this.#connection, this.#pending);
  }

  /** A mail has begun and has no verdict yet. */
  get mailOpen(): boolean {
    return this.#hooks.mail !== undefined;
  }

  /** The MTA has said goodbye: close the connection once the replies are out. */
  get finished(): boolean {
    return this.#state === State.CLOSED;
  }

  /** Waits for a hook at the end of a message: the only place where every MTA takes SMFIR_PROGRESS. */
  get awaitingEndOfMessage(): boolean {
    return this.#pending.code === SMFIC.BODYEOB;
  }

  /**
   * Takes the reader's current frame and appends the replies to `out`.
   *
   * The result is undefined when all is done, else a promise: hold the frame until it settles. It rejects only with a
   * ProtocolError, when an abort hook stood before a command that turns out malformed.
   *
   * @throws {ProtocolError} for bytes that break the protocol; `lost()` is then what remains to be called.
   */
  receive(frame: Frame, out: FrameWriter): Promise<void> | undefined {
    const code = frame.code;
    const cell = step(this.#state, code);
    this.#state = nextState(cell);
    if (code === SMFIC.MACRO) {
      this.#connection.macros.set(frame.bytes, frame.start, frame.end);
      return undefined;
    }
    this.#pending.newTurn();
    if ((cell & Effect.ABORT) !== 0) {
      const waiting = this.#abort("the mail was aborted");
      if (waiting !== undefined) {
        return this.#pending.waitThen(SMFIC.ABORT, waiting, () => this.#handle(cell, frame, out));
      }
    }
    return this.#handle(cell, frame, out);
  }

  /**
   * The deadline of the pending hook has passed: answers by policy and forgets the hook. Returns a promise as
   * `receive` does, when another hook is called for.
   *
   * @param ms The deadline, for the message.
   */
  expire(out: FrameWriter, ms: number): Promise<void> | undefined {
    const { code } = this.#pending;
    if (code === 0) return undefined;
    const next = this.#pending.release();
    const reason = `the hook did not answer within ${ms} ms`;
    if (CONNECTION_STAGES.includes(code)) this.#connection.timeOut(reason);
    else this.#hooks.mail?.abort(reason);
    if (next === undefined) {
      this.#fail("timeout", code, `no answer within ${ms} ms`, out);
      return undefined;
    }
    // Nobody waits for an answer to abort and close; what they held up goes on.
    this.#host.failure(this.#failureOf("timeout", code, `no answer within ${ms} ms`));
    return next();
  }

  /**
   * The connection is over, by whatever cause: aborts the open mail and calls `close`, once.
   * The promise, if any, settles when the hooks have; a deadline may still pass meanwhile. It never rejects.
   */
  lost(): Promise<void> | undefined {
    if (this.#closed) return undefined;
    this.#closed = true;
    this.#state = State.CLOSED;
    this.#hooks.mail?.abort("the MTA closed the connection");
    this.#connection.abort();
    this.#pending.newTurn();
    const end = (): Promise<void> | undefined => {
      const aborted = this.#abort("the MTA closed the connection");
      return aborted === undefined
        ? this.#close()
        : this.#pending.waitThen(SMFIC.ABORT, aborted, () => this.#close());
    };
    // Hooks of one connection never overlap: a pending one ends first, or its deadline does.
    const { promise } = this.#pending;
    return promise === undefined ? end() : this.#pending.waitThen(SMFIC.ABORT, promise.catch(() => {}), end);
  }

  #handle(cell: number, frame: Frame, out: FrameWriter): Promise<void> | undefined {
    const { code } = frame;
    if (code === SMFIC.OPTNEG) return this.#negotiate(frame, out);
    this.#connection.macros.enter(code);
    if (code === SMFIC.QUIT || code === SMFIC.ABORT) return undefined;
    if (code === SMFIC.CONNECT || code === SMFIC.QUIT_NC) this.#unfiltered = false;
    if (code === SMFIC.QUIT_NC) return this.#newConnection();
    if (this.#unfiltered) {
      this.#state = State.IDLE;
      return this.#answer(code, out);
    }
    if ((cell & Effect.IGNORE) !== 0) return this.#answer(code, out);
    if ((cell & Effect.OPEN) !== 0) {
      this.#hooks.open(this.#host.now());
      this.#deferred = this.#failure = undefined;
    }
    if (this.#deferred !== undefined && wantsReply(code, this.#hooks.terms.agreement.protocol)) {
      this.#conclude(code, this.#deferred, out);
      return undefined;
    }
    // A mail that has failed already is only waited out.
    if (this.#deferred !== undefined) return undefined;
    return this.#call(code, frame, out);
  }

  #call(code: number, frame: Frame, out: FrameWriter): Promise<void> | undefined {
    const mark = out.length;
    try {
      const { turn } = this.#pending;
      const result = this.#hooks.call(frame);
      if (isThenable(result)) return this.#settle(code, result, turn, out);
      this.#heard(code, result, out);
    } catch (error) {
      if (!this.#hooks.running && !isThrown(error, OverLimit)) throw error;
      out.truncate(mark);
      this.#failed(code, error, out);
    }
    return undefined;
  }

  /** What a hook answers later becomes the answer. Never rejects: a rejection is the filter's failure. */
  #settle(code: number, result: PromiseLike<unknown>, turn: number, out: FrameWriter): Promise<void> {
    const late = (): boolean => !this.#pending.isCurrent(turn);
    const work = Promise.resolve(result).then((verdict) => {
      if (late()) return;
      const mark = out.length;
      try {
        this.#heard(code, verdict, out);
      } catch (error) {
        out.truncate(mark);
        throw error;
      }
    }).catch((error) => {
      if (!late()) this.#failed(code, error, out);
    });
    return this.#pending.wait(code, work);
  }

  /** What a hook returned, at a stage where it may return something. */
  #heard(code: number, verdict: unknown, out: FrameWriter): void {
    if (goesOn(verdict) || !this.#hooks.terms.silent.includes(code)) this.#decide(code, verdict, out);
    else this.#fail("bad-verdict", code, "it returned a verdict, and is declared in noReply", out);
  }

  /** A verdict becomes the reply and moves the session on. */
  #decide(code: number, verdict: unknown, out: FrameWriter): void {
    if (goesOn(verdict)) {
      if (code === SMFIC.RCPT) this.#hooks.mail!.acceptCandidate();
      if (code === SMFIC.BODYEOB) this.#finish({ kind: "continue" }, out);
      else this.#answer(code, out);
      return;
    }
    const problem = checkVerdict(verdict, code);
    if (problem !== undefined) this.#fail("bad-verdict", code, problem, out);
    else if (code === SMFIC.BODYEOB) this.#finish(verdict as Verdict, out);
    else this.#stage(code, verdict as Verdict, out);
  }

  /** A verdict before the end of the message. */
  #stage(code: number, verdict: Verdict, out: FrameWriter): void {
    const connecting = code === SMFIC.CONNECT || code === SMFIC.HELO;
    if (verdict.kind === "skip") {
      this.#hooks.mail!.skipped = true;
      // A message hook still needs the rest of the body.
      const skips = (this.#hooks.terms.agreement.protocol & SMFIP.SKIP) !== 0 && !this.#hooks.terms.keepBody;
      out.simple(skips ? SMFIR.SKIP : SMFIR.CONTINUE);
      return;
    }
    encodeVerdict(verdict, out);
    const refuses = verdict.kind === "reject" || verdict.kind === "tempfail";
    if (connecting) {
      if (refuses) this.#report(undefined, code, verdict);
      else this.#unfiltered = true;
    } else if (refuses && (code === SMFIC.RCPT || code === SMFIC.DATA)) {
      // The mail is still open: what comes next tells what becomes of it.
      if (code === SMFIC.RCPT) this.#hooks.mail!.refused++;
      this.#hooks.mail!.refusal = { code, verdict };
    } else if (code !== SMFIC.UNKNOWN) {
      this.#endMail(code, verdict);
    }
  }

  /** The verdict at the end of the message, behind the edits. */
  #finish(verdict: Verdict, out: FrameWriter): void {
    const mail = this.#hooks.mail!;
    if (verdict.kind === "accept" || verdict.kind === "continue") {
      if (mail.edits.length > 0) encodeEdits(mail.edits, editRules(this.#hooks.terms, mail), out);
      // Both mean the same here; continue is what Sendmail documents for "no objection".
      out.simple(SMFIR.CONTINUE);
    } else {
      mail.edits = [];
      encodeVerdict(verdict, out);
    }
    this.#endMail(SMFIC.BODYEOB, verdict);
  }

  #endMail(code: number, verdict: Verdict): void {
    const mail = this.#hooks.mail!;
    if (code !== SMFIC.BODYEOB) this.#state = State.DECIDED;
    this.#hooks.mail = undefined;
    this.#report(mail, code, verdict);
  }

  #abort(reason: string): Promise<void> | undefined {
    const mail = this.#hooks.mail;
    if (mail === undefined) return undefined;
    this.#hooks.mail = undefined;
    this.#deferred = undefined;
    mail.abort(reason);
    const refusal = mail.refusal?.code === SMFIC.RCPT && mail.recipients.length > 0
      ? undefined
      : mail.refusal;
    this.#report(mail, refusal?.code ?? SMFIC.ABORT, refusal?.verdict);
    // Either abort or endOfMessage is called for a mail, as in libmilter.
    if (this.#filter.abort === undefined || mail.ending) return undefined;
    return this.#quietly("abort", () => this.#filter.abort!(new MailCtx(this.#connection, mail)));
  }

  #close(): Promise<void> | undefined {
    if (this.#filter.close === undefined || this.#hooks.terms === NO_TERMS) return undefined;
    return this.#quietly("close", () => this.#filter.close!(new BaseCtx(this.#connection)));
  }

  /** SMFIC_QUIT_NC: the options stay, everything else starts anew. */
  #newConnection(): Promise<void> | undefined {
    const closed = this.#close();
    const renew = (): undefined => {
      this.#connection.renew();
      return undefined;
    };
    return closed === undefined ? renew() : this.#pending.waitThen(SMFIC.ABORT, closed, renew);
  }

  /** Runs a hook whose answer nobody waits for; its failure is logged and changes nothing. */
  #quietly(hook: string, call: () => void | Promise<void>): Promise<void> | undefined {
    const failed = (error: unknown): void => {
      const filter = this.#plan.name;
      this.#host.failure(
        { kind: "error", filter, hook, message: thrownText(error), outcome: "accept" },
        error,
      );
    };
    try {
      const result = call();
      return isThenable(result) ? Promise.resolve(result).then(() => {}, failed) : undefined;
    } catch (error) {
      failed(error);
      return undefined;
    }
  }

  #failed(code: number, error: unknown, out: FrameWriter): void {
    if (isThrown(error, OverLimit)) this.#fail("limit", code, error.message, out);
    else this.#fail("error", code, thrownText(error), out, error);
  }

  /** The one way a filter's failure becomes an answer. */
  #fail(kind: FailureKind, code: number, message: string, out: FrameWriter, cause?: unknown): void {
    const failure = this.#failureOf(kind, code, message);
    this.#host.failure(failure, cause);
    if (wantsReply(code, this.#hooks.terms.agreement.protocol)) this.#conclude(code, failure, out);
    else this.#deferred = failure;
  }

  #failureOf(kind: FailureKind, code: number, message: string): Failure {
    const hook = HOOK_OF_COMMAND.get(code) ?? letter(code);
    return { kind, filter: this.#plan.name, hook, message, outcome: this.#plan.policy[kind] };
  }

  #conclude(code: number, failure: Failure, out: FrameWriter): void {
    this.#failure = failure;
    this.#deferred = undefined;
    if (this.#hooks.mail !== undefined) this.#hooks.mail.edits = [];
    const verdict = verdictOf(failure.outcome);
    // Postfix does not survive accept at an unknown command, and there it means no more than continue.
    if (code === SMFIC.UNKNOWN && verdict.kind === "accept") out.simple(SMFIR.CONTINUE);
    else this.#decide(code, verdict, out);
  }

  #negotiate(frame: Frame, out: FrameWriter): undefined {
    const offer = parseCommand(SMFIC.OPTNEG, frame.bytes, frame.start, frame.end);
    if (offer.kind !== "negotiate") return undefined;
    let declared: Filter = this.#filter;
    if (this.#filter.negotiate !== undefined) {
      try {
        const { version, actions, protocol } = offer;
        const chosen = this.#filter.negotiate({ version, edits: editsOffered(actions), actions, protocol });
        declared = { ...this.#filter, ...chosen };
      } catch (error) {
        // The MTA takes no verdict here; the filter goes on as it is declared.
        this.#host.failure(this.#failureOf("error", SMFIC.OPTNEG, thrownText(error)), error);
      }
    }
    this.#hooks.terms = termsFor(this.#plan, offer, declared, this.#answerData);
    const { version, actions, protocol, macros } = this.#hooks.terms.agreement;
    encodeReply({ kind: "negotiate", version, actions, protocol, macros }, out);
    return undefined;
  }

  #answer(code: number, out: FrameWriter): undefined {
    if (wantsReply(code, this.#hooks.terms.agreement.protocol)) out.simple(SMFIR.CONTINUE);
    return undefined;
  }

  #report(mail: Transaction | undefined, code: number, verdict: Verdict | undefined): void {
    const { client, macros } = this.#connection;
    this.#host.mail({
      filter: this.#plan.name,
      queueId: macros.get("i"),
      client: client?.address ?? client?.host ?? macros.get("client_addr") ?? macros.get("_"),
      sender: mail === undefined ? undefined : mail.sender?.address ?? macros.get("mail_addr"),
      recipients: mail?.recipients.length ?? 0,
      refused: mail?.refused ?? 0,
      stage: HOOK_OF_COMMAND.get(code) ?? letter(code),
      verdict: verdict?.kind ?? "none",
      reply: verdict === undefined ? undefined : verdictText(verdict),
      edits: mail?.edits.length ?? 0,
      ms: mail === undefined ? 0 : this.#host.now() - mail.began,
      failure: this.#failure,
    });
  }
}
