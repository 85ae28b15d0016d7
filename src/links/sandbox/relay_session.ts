/**
 * One MTA connection whose filter is in a sandbox: frames pass through, and where the sandbox fails the policy answers.
 *
 * @module
 */
import type { LinkSession } from "../../chain/link.ts";
import type { Verdict } from "../../filter/mod.ts";
import {
  Effect,
  encodeReply,
  type Frame,
  type FrameWriter,
  nextState,
  ProtocolError,
  type Reply,
  SMFIC,
  SMFIR,
  State,
  step,
  wantsReply,
} from "../../protocol/mod.ts";
import { readReplyText } from "../../session/mta_checks.ts";
import type { SessionHost } from "../../session/plan.ts";
import {
  type Failure,
  FAILURE_KINDS,
  type FailureKind,
  type FailurePolicy,
  verdictOf,
} from "../../session/policy.ts";
import { HOOK_OF_COMMAND } from "../../session/wants.ts";
import type { Cell } from "./cell.ts";
import type { CellEnd } from "./messages.ts";
import { ToInmate } from "./messages.ts";
import { Prelude } from "./prelude.ts";
import { agreementWithout, RelayReplies, verdictKind, type Waiting } from "./relay_replies.ts";
import { RelayReport } from "./relay_report.ts";

/** Where a session gets its sandbox from. */
export interface Supply {
  readonly name: string;
  readonly policy: FailurePolicy;
  /** A running sandbox; a promise while one starts; the reason if none will come soon. */
  acquire(): Cell | Promise<Cell> | CellEnd;
  /** Gives the session a number in that sandbox; its records go to the session from now on. */
  attach(cell: Cell, session: RelaySession): number;
  detach(cell: Cell, id: number): void;
  /** A hook is late: if `stuck` still holds after a grace time, the thread itself hangs, and the sandbox is ended. */
  overdue(cell: Cell, end: CellEnd, stuck: () => boolean): void;
}

/** Failures between two commands: of the command's hook, and of an abort and a close hook that ran before. */
const MOST_FAILURES = 4;
const NOTHING = new Uint8Array(0);
const encoder = new TextEncoder();

/** A relayed connection. */
export class RelaySession implements LinkSession {
  readonly #supply: Supply;
  readonly #host: SessionHost;
  readonly #answerData: boolean;
  readonly #report: RelayReport;
  readonly #prelude = new Prelude();
  readonly #replies = new RelayReplies();

  #state: number = State.START;
  /** The filter accepted the whole connection. */
  #unfiltered = false;
  /** The current command is only answered for form's sake. */
  #passive = false;
  /** A hook that nobody waits for (abort, close) may run before the next answer, with a deadline of its own. */
  #hookAhead = false;
  /** Why the connection was negotiated without a sandbox: none can take over before the next one. */
  #blind: CellEnd | undefined;
  #cell: Cell | undefined;
  /** A sandbox that was late at the negotiation: the connection goes on without it. */
  #late: Cell | undefined;
  #id = 0;
  #waiting: Waiting | undefined;
  /** The mail has failed at a stage that is not answered. */
  #deferred: Failure | undefined;
  #left: (() => void) | undefined;
  /** Failures reported since the last command. */
  #failures = 0;

  constructor(supply: Supply, host: SessionHost, answerData: boolean) {
    this.#supply = supply;
    this.#host = host;
    this.#answerData = answerData;
    this.#report = new RelayReport(supply.name, host);
  }

  get mailOpen(): boolean {
    return this.#report.mailOpen;
  }

  get finished(): boolean {
    return this.#state === State.CLOSED;
  }

  get awaitingEndOfMessage(): boolean {
    return this.#waiting?.code === SMFIC.BODYEOB;
  }

  receive(frame: Frame, out: FrameWriter): Promise<void> | undefined {
    const { code } = frame;
    this.#failures = 0;
    const cell = step(this.#state, code);
    if (code === SMFIC.CONNECT || code === SMFIC.QUIT_NC) this.#unfiltered = false;
    this.#passive = this.#unfiltered || (cell & Effect.IGNORE) !== 0;
    this.#report.see(frame, this.#unfiltered ? cell & ~(Effect.OPEN | Effect.ABORT) : cell);
    this.#state = this.#unfiltered && nextState(cell) !== State.CLOSED ? State.IDLE : nextState(cell);
    if (code === SMFIC.QUIT) return undefined;
    if ((cell & Effect.ABORT) !== 0 || code === SMFIC.QUIT_NC) this.#hookAhead = true;
    // A recipient that nobody is asked about counts.
    if (code === SMFIC.RCPT && !this.#wants(code)) this.#report.recipient();
    if ((cell & Effect.OPEN) !== 0) this.#deferred = undefined;
    const bytes = frame.bytes.subarray(frame.start - 5, frame.end);
    if (this.#blind !== undefined && code === SMFIC.MAIL) {
      this.#fail(this.#blind, code, out);
      return undefined;
    }
    if (this.#cell === undefined && this.#begins(code, cell)) return this.#begin(code, bytes, out);
    return this.#forward(code, bytes, out);
  }

  expire(out: FrameWriter, ms: number): Promise<void> | undefined {
    const end: CellEnd = { kind: "timeout", message: `no answer within ${ms} ms` };
    const cell = this.#cell;
    const waiting = this.#waiting;
    if (cell !== undefined && waiting !== undefined && this.#hookAhead) {
      this.#hookAhead = false;
      cell.send(ToInmate.EXPIRE, this.#id, encoder.encode(String(ms)));
      return new Promise<void>((resolve) => this.#waiting = { ...waiting, resolve });
    }
    this.#waiting = undefined;
    this.#replies.dropEdits();
    if (waiting?.code === SMFIC.OPTNEG) {
      if (cell !== undefined) this.#abandon(cell, end);
      if (waiting.unsent !== undefined) this.#prelude.see(SMFIC.OPTNEG, waiting.unsent);
    } else if (cell !== undefined && waiting !== undefined) {
      this.#replies.passOver(waiting.code);
      cell.send(ToInmate.EXPIRE, this.#id, encoder.encode(String(ms)));
      this.#supply.overdue(cell, end, () => this.#cell === cell && this.#replies.behind);
    } else if (cell !== undefined) {
      // Either the ring has no room, or the hooks of a lost connection take their time: no answer, then no mercy.
      this.#left?.();
      this.#supply.overdue(cell, end, () => this.#cell === cell);
    }
    if (waiting !== undefined) this.#fail(end, waiting.code, out);
    else if (this.#report.mailOpen) this.#fail(end, 0, undefined);
    return undefined;
  }

  lost(): Promise<void> | undefined {
    this.#state = State.CLOSED;
    this.#report.abort();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve();
    const cell = this.#cell;
    if (cell === undefined) return undefined;
    cell.send(ToInmate.LOST, this.#id, NOTHING);
    return new Promise<void>((resolve) => this.#left = resolve);
  }

  /** Leaves a sandbox that has not even negotiated in time; it must still show that it is alive. */
  #abandon(cell: Cell, end: CellEnd): void {
    this.#cell = undefined;
    this.#late = cell;
    cell.send(ToInmate.LOST, this.#id, NOTHING);
    this.#supply.overdue(cell, end, () => this.#late === cell);
  }

  /** Reply frames from the sandbox. @throws {ProtocolError} if they are not legal: the sandbox is to be ended. */
  replied(payload: Uint8Array): void {
    if (this.#late !== undefined) return;
    this.#replies.take(
      payload,
      () => this.#waiting?.code,
      () => this.#prelude.offer,
      (reply) => {
        const waiting = this.#waiting!;
        this.#waiting = undefined;
        this.#hookAhead = false;
        if (waiting.code === SMFIC.OPTNEG || waiting.passive) encodeReply(reply, waiting.out);
        else this.#answer(reply, waiting.code, waiting.out);
        waiting.resolve();
      },
    );
  }

  /**
   * A failure that the sandbox reports of its filter; the answer follows, by the same policy. Untrusted values.
   *
   * @throws {ProtocolError} for more than there can be.
   */
  failed(kind: string, hook: string, message: string): void {
    if (++this.#failures > MOST_FAILURES) {
      throw new ProtocolError("wrong-stage", "The sandbox reports more failures than it was asked questions");
    }
    // What the policy has answered already is known here, and was told.
    if (this.#replies.behind) return;
    const known = FAILURE_KINDS.find((name) => name === kind) ?? "error";
    const failure = this.#failure({ kind: known, message }, hook);
    this.#report.failure = failure;
    this.#host.failure(failure);
  }

  /** The sandbox has done with the lost connection. @throws {ProtocolError} if it is not lost. */
  leave(): void {
    if (this.#late !== undefined) {
      this.#supply.detach(this.#late, this.#id);
      this.#late = undefined;
      return;
    }
    if (this.#state !== State.CLOSED) {
      throw new ProtocolError("wrong-stage", "The sandbox says goodbye to a connection that goes on");
    }
    if (this.#cell !== undefined) this.#supply.detach(this.#cell, this.#id);
    this.#cell = undefined;
    this.#left?.();
  }

  /** The sandbox has ended: what it was asked is answered by policy. */
  orphaned(end: CellEnd): void {
    if (this.#late !== undefined) {
      this.#late = undefined;
      return;
    }
    this.#cell = undefined;
    this.#replies.restart();
    this.#left?.();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) {
      this.#fail(end, waiting.code, waiting.out);
      waiting.resolve();
    } else if (this.#report.mailOpen && this.#deferred === undefined) this.#fail(end, 0, undefined);
  }

  /** Commands at which a sandbox can take over: those that begin something. */
  #begins(code: number, cell: number): boolean {
    if (
      this.#unfiltered || this.#blind !== undefined || code === SMFIC.MACRO || (cell & Effect.IGNORE) !== 0
    ) return false;
    return code === SMFIC.OPTNEG || (cell & Effect.OPEN) !== 0;
  }

  #begin(code: number, bytes: Uint8Array, out: FrameWriter): Promise<void> | undefined {
    const supplied = this.#supply.acquire();
    if (!(supplied instanceof Promise)) {
      if ("ready" in supplied) this.#enter(supplied);
      else this.#absent(supplied, code, bytes, out);
      return "ready" in supplied ? this.#forward(code, bytes, out) : undefined;
    }
    const kept = bytes.slice();
    return new Promise<void>((resolve) => {
      const waiting: Waiting = { code, out, resolve, passive: false, unsent: kept };
      this.#waiting = waiting;
      supplied.then((cell) => {
        // The deadline has passed meanwhile, or the connection is gone.
        if (this.#waiting !== waiting) return;
        this.#waiting = undefined;
        this.#enter(cell);
        void (this.#forward(code, kept, out) ?? Promise.resolve()).then(resolve);
      }, (error) => {
        if (this.#waiting !== waiting) return;
        this.#waiting = undefined;
        const message = error instanceof Error ? error.message : String(error);
        this.#absent({ kind: "unavailable", message }, code, kept, out);
        resolve();
      });
    });
  }

  /** Takes a place in a sandbox and brings it to where the connection is. */
  #enter(cell: Cell): void {
    this.#cell = cell;
    this.#replies.restart();
    this.#id = this.#supply.attach(cell, this);
    cell.send(ToInmate.OPEN, this.#id, Uint8Array.of(this.#answerData ? 1 : 0));
    for (const { code, bytes } of this.#prelude.frames()) {
      cell.send(ToInmate.FRAMES, this.#id, bytes);
      if (this.#wants(code)) this.#replies.passOver(code);
    }
  }

  /** No sandbox: the policy answers. Without a negotiation of its own the connection then sees nothing but MAIL. */
  #absent(end: CellEnd, code: number, bytes: Uint8Array, out: FrameWriter): void {
    this.#prelude.see(code, bytes);
    if (code !== SMFIC.OPTNEG) {
      this.#fail(end, code, out);
      return;
    }
    this.#goBlind(end, out);
  }

  /** Negotiates in place of the filter: only MAIL is asked for, and the policy answers it. */
  #goBlind(end: CellEnd, out: FrameWriter): void {
    this.#blind = end;
    const agreement = agreementWithout(this.#prelude.offer!);
    this.#replies.agreement = agreement;
    const { version, actions, protocol, macros } = agreement;
    encodeReply({ kind: "negotiate", version, actions, protocol, macros }, out);
  }

  #forward(code: number, bytes: Uint8Array, out: FrameWriter): Promise<void> | undefined {
    this.#prelude.see(code, bytes);
    const cell = this.#cell;
    if (cell === undefined) {
      if (this.#wants(code)) this.#answerAlone(code, out);
      return undefined;
    }
    const room = cell.send(ToInmate.FRAMES, this.#id, bytes);
    if (!this.#wants(code)) return room;
    // The cell may have ended by the very send.
    if (this.#cell === undefined) return undefined;
    return new Promise<void>((resolve) => this.#waiting = { code, out, resolve, passive: this.#passive });
  }

  #answerAlone(code: number, out: FrameWriter): void {
    const failure = this.#deferred;
    this.#deferred = undefined;
    if (failure === undefined || code === SMFIC.UNKNOWN) out.simple(SMFIR.CONTINUE);
    else this.#conclude(failure, code, out);
  }

  /** A final reply goes to the MTA, and moves the connection on as the sandbox has moved. */
  #answer(reply: Reply, code: number, out: FrameWriter): void {
    const edits = this.#replies.takeEdits();
    const text = reply.kind === "replyCode" ? readReplyText(reply.text) : undefined;
    const verdict = verdictKind(reply, text?.code);
    if (code === SMFIC.BODYEOB && (verdict === "accept" || verdict === "continue")) {
      out.frames(edits.frames);
    }
    encodeReply(reply, out);
    this.#decided(verdict, code, text?.text, edits.count);
  }

  #decided(verdict: Verdict["kind"], code: number, text: string | undefined, edits: number): void {
    if (code === SMFIC.BODYEOB) {
      this.#report.end(code, verdict, text, edits);
      return;
    }
    if (verdict === "continue" || verdict === "skip") {
      if (code === SMFIC.RCPT) this.#report.recipient();
      return;
    }
    const refuses = verdict === "reject" || verdict === "tempfail";
    if (code === SMFIC.CONNECT || code === SMFIC.HELO) {
      if (refuses) this.#report.end(code, verdict, text, 0);
      else this.#unfiltered = true;
    } else if (refuses && (code === SMFIC.RCPT || code === SMFIC.DATA)) {
      this.#report.refusal(code, verdict, text);
    } else if (code !== SMFIC.UNKNOWN) {
      this.#state = State.DECIDED;
      this.#report.end(code, verdict, text, 0);
    }
  }

  /** The one way a sandbox's failure becomes an answer. `out` undefined: nothing is asked right now. */
  #fail(end: CellEnd, code: number, out: FrameWriter | undefined): void {
    if (code === SMFIC.OPTNEG && out !== undefined) {
      this.#goBlind(end, out);
      return;
    }
    const failure = this.#failure(end, HOOK_OF_COMMAND.get(code) ?? "");
    this.#host.failure(failure);
    if (out === undefined || !this.#wants(code)) this.#deferred = failure;
    else this.#conclude(failure, code, out);
  }

  #failure({ kind, message }: { kind: FailureKind; message: string }, hook: string): Failure {
    return { kind, filter: this.#supply.name, hook, message, outcome: this.#supply.policy[kind] };
  }

  #conclude(failure: Failure, code: number, out: FrameWriter): void {
    this.#report.failure = failure;
    const verdict = verdictOf(failure.outcome).kind;
    if (code === SMFIC.UNKNOWN && verdict === "accept") {
      out.simple(SMFIR.CONTINUE);
      return;
    }
    if (code === SMFIC.BODYEOB && verdict === "accept") {
      // Both mean the same here; continue is what Sendmail documents for "no objection".
      out.simple(SMFIR.CONTINUE);
      this.#decided(verdict, code, undefined, 0);
      return;
    }
    this.#answer({ kind: verdict } as Reply, code, out);
  }

  #wants(code: number): boolean {
    return wantsReply(code, this.#replies.agreement?.protocol ?? 0);
  }
}
