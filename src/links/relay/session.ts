/**
 * One MTA connection whose filter is elsewhere: frames pass through, and where no answer comes the policy answers.
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
import { type Failure, FAILURE_KINDS, verdictOf } from "../../session/policy.ts";
import { HOOK_OF_COMMAND } from "../../session/wants.ts";
import type { Carrier, CarrierEnd, CarrierUser, Supply } from "./carrier.ts";
import { Prelude, type ReplayFrame } from "./prelude.ts";
import { agreementWithout, RelayReplies, verdictKind, type Waiting } from "./replies.ts";
import { RelayReport } from "./report.ts";

/** Failures between two commands: of the command's hook, and of an abort and a close hook that ran before. */
const MOST_FAILURES = 4;

/** A relayed connection. */
export class RelaySession implements LinkSession, CarrierUser {
  readonly #supply: Supply;
  readonly #host: SessionHost;
  readonly #answerData: boolean;
  readonly #report: RelayReport;
  readonly #prelude = new Prelude();
  readonly #replies = new RelayReplies({
    // A command that is still kept back has not been asked.
    waiting: () => this.#waiting?.unsent === undefined ? this.#waiting?.code : undefined,
    offer: () => this.#prelude.offer,
    progressed: () => void (this.progressed = this.#host.now()),
    answer: (reply) => this.#settle(this.#waiting!, reply),
  });

  /** When the filter last said that it still works, ms. */
  progressed: number | undefined;
  #state: number = State.START;
  /** The filter accepted the whole connection. */
  #unfiltered = false;
  /** The current command is only answered for form's sake. */
  #passive = false;
  /** A hook that nobody waits for (abort, close) may run before the next answer, with a deadline of its own. */
  #hookAhead = false;
  /** Why the connection was negotiated without a carrier: none can take over before the next one. */
  #blind: CarrierEnd | undefined;
  #carrier: Carrier | undefined;
  /** Why the last carrier ended. */
  #ended: CarrierEnd = { kind: "unavailable", message: "there is none" };
  #waiting: Waiting | undefined;
  /** Why the open mail has no carrier: it answers what still comes of it. */
  #lostMail: Failure | undefined;
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
    if ((cell & Effect.OPEN) !== 0) this.#lostMail = undefined;
    const bytes = frame.bytes.subarray(frame.start - 5, frame.end);
    if (this.#blind !== undefined && (cell & Effect.OPEN) !== 0) {
      this.#fail(this.#blind, code, out);
      return undefined;
    }
    if (this.#carrier === undefined && this.#begins(code, cell)) return this.#begin(code, bytes, out);
    return this.#forward(code, bytes, out);
  }

  expire(out: FrameWriter, ms: number): Promise<void> | undefined {
    const end: CarrierEnd = { kind: "timeout", message: `no answer within ${ms} ms` };
    const carrier = this.#carrier;
    const waiting = this.#waiting;
    const beginning = waiting !== undefined &&
      (waiting.code === SMFIC.OPTNEG || waiting.unsent !== undefined);
    if (carrier !== undefined && beginning) {
      this.#leave();
      carrier.abandon(end);
    } else if (carrier !== undefined) {
      const behind = (): boolean => this.#replies.behind;
      const asked = waiting !== undefined;
      switch (carrier.expire({ ms, end, asked, aside: this.#hookAhead, behind })) {
        case "again":
          this.#hookAhead = false;
          return new Promise<void>((resolve) => this.#waiting = { ...waiting!, resolve });
        case "behind":
          if (asked) this.#replies.passOver(waiting.code);
          break;
        case "gone":
          this.#leave();
      }
    }
    this.#waiting = undefined;
    this.#replies.dropEdits();
    if (waiting?.code === SMFIC.OPTNEG && waiting.unsent !== undefined) {
      this.#prelude.see(SMFIC.OPTNEG, waiting.unsent);
    }
    this.#unanswered(end, waiting === undefined ? undefined : { ...waiting, out });
    return undefined;
  }

  lost(): Promise<void> | undefined {
    this.#state = State.CLOSED;
    this.#report.abort();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve();
    return this.#carrier?.lost();
  }

  replied(bytes: Uint8Array): void {
    this.#replies.take(bytes);
  }

  failed(kind: string, hook: string, message: string): void {
    if (++this.#failures > MOST_FAILURES) {
      throw new ProtocolError(
        "wrong-stage",
        "The filter's side reports more failures than it was asked questions",
      );
    }
    // What the policy has answered already is known here, and was told.
    if (this.#replies.behind) return;
    const known = FAILURE_KINDS.find((name) => name === kind) ?? "error";
    const failure = this.#failure({ kind: known, message }, hook);
    this.#report.failure = failure;
    this.#host.failure(failure);
  }

  gone(end: CarrierEnd): void {
    this.#ended = end;
    this.#leave();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#unanswered(end, waiting);
    waiting?.resolve();
  }

  /** No answer will come to what is waited for; without that, the open mail has failed. */
  #unanswered(end: CarrierEnd, waiting: Waiting | undefined): void {
    if (waiting?.passive) waiting.out.simple(SMFIR.CONTINUE);
    else if (waiting !== undefined) this.#fail(end, waiting.code, waiting.out);
    else if (this.#report.mailOpen && this.#lostMail === undefined) this.#fail(end, 0, undefined);
  }

  #leave(): void {
    this.#carrier = undefined;
    this.#replies.restart();
  }

  /** Commands at which a carrier can take over: those that begin something. */
  #begins(code: number, cell: number): boolean {
    if (
      this.#unfiltered || this.#blind !== undefined || code === SMFIC.MACRO || (cell & Effect.IGNORE) !== 0
    ) return false;
    return code === SMFIC.OPTNEG || (cell & Effect.OPEN) !== 0;
  }

  #begin(code: number, bytes: Uint8Array, out: FrameWriter): Promise<void> | undefined {
    const supplied = this.#supply.acquire(this);
    if ("kind" in supplied) {
      this.#absent(supplied, code, bytes, out);
      return undefined;
    }
    const replay = [...this.#prelude.frames()];
    if (!(supplied instanceof Promise) && replay.length === 0) {
      this.#enter(supplied);
      return this.#forward(code, bytes, out);
    }
    const kept = bytes.slice();
    return new Promise<void>((resolve) => {
      const waiting: Waiting = { code, out, resolve, passive: false, unsent: kept };
      this.#waiting = waiting;
      // The deadline may have passed meanwhile, or the connection be gone.
      const wanted = (): boolean => this.#waiting === waiting;
      const start = (carrier: Carrier): void => {
        if (!wanted()) {
          carrier.abandon({ kind: "unavailable", message: "it came up too late" });
          return;
        }
        this.#enter(carrier);
        this.#replay(carrier, replay, () => {
          if (!wanted()) return;
          this.#waiting = undefined;
          void (this.#forward(code, kept, out) ?? Promise.resolve()).then(resolve);
        });
      };
      if (!(supplied instanceof Promise)) start(supplied);
      else {
        supplied.then(start, (error) => {
          if (!wanted()) return;
          this.#waiting = undefined;
          const message = error instanceof Error ? error.message : String(error);
          this.#absent({ kind: "unavailable", message }, code, kept, out);
          resolve();
        });
      }
    });
  }

  #enter(carrier: Carrier): void {
    this.#carrier = carrier;
    this.#replies.restart(carrier);
    carrier.open(this.#answerData);
  }

  /** Brings a new carrier to where the connection is, one question at a time as an MTA asks them; then goes on. */
  #replay(carrier: Carrier, frames: readonly ReplayFrame[], then: () => void): void {
    for (const [i, { code, bytes }] of frames.entries()) {
      void carrier.send(code, bytes, false);
      if (this.#carrier !== carrier) return;
      if (!this.#wants(code) || carrier.instead !== undefined) continue;
      this.#replies.passOver(code, () => this.#replay(carrier, frames.slice(i + 1), then));
      return;
    }
    then();
  }

  /** No carrier: the policy answers. Without a negotiation of its own the connection then sees nothing but MAIL. */
  #absent(end: CarrierEnd, code: number, bytes: Uint8Array, out: FrameWriter): void {
    this.#prelude.see(code, bytes);
    if (code === SMFIC.OPTNEG) this.#goBlind(end, out);
    else this.#fail(end, code, out);
  }

  /** Negotiates in place of the filter: only MAIL is asked for, and the policy answers it. */
  #goBlind(end: CarrierEnd, out: FrameWriter): void {
    this.#blind = end;
    const agreement = agreementWithout(this.#prelude.offer!);
    this.#replies.agreement = agreement;
    const { version, actions, protocol, macros } = agreement;
    encodeReply({ kind: "negotiate", version, actions, protocol, macros }, out);
  }

  #forward(code: number, bytes: Uint8Array, out: FrameWriter): Promise<void> | undefined {
    this.#prelude.see(code, bytes);
    const carrier = this.#carrier;
    const passive = this.#passive;
    const room = carrier?.send(code, bytes, passive);
    if (!this.#wants(code)) return room;
    // It may have ended by the very send.
    if (carrier === undefined || this.#carrier !== carrier) {
      this.#answerAlone(code, out);
      return undefined;
    }
    const { instead } = carrier;
    return new Promise<void>((resolve) => {
      const waiting = this.#waiting = { code, out, resolve, passive };
      if (instead === undefined) return;
      void (room ?? Promise.resolve()).then(() => {
        if (this.#waiting === waiting) this.#settle(waiting, instead);
      });
    });
  }

  #answerAlone(code: number, out: FrameWriter): void {
    const failure = this.#passive || !this.#report.mailOpen || code === SMFIC.UNKNOWN
      ? undefined
      : this.#lostMail;
    if (code === SMFIC.OPTNEG) this.#goBlind(this.#ended, out);
    else if (failure === undefined) out.simple(SMFIR.CONTINUE);
    else this.#conclude(failure, code, out);
  }

  #settle(waiting: Waiting, reply: Reply): void {
    this.#waiting = undefined;
    this.#hookAhead = false;
    if (waiting.code === SMFIC.OPTNEG) this.#supply.agreed?.(this.#prelude.offer!, this.#replies.agreement!);
    if (waiting.code === SMFIC.OPTNEG || waiting.passive) encodeReply(reply, waiting.out);
    else this.#answer(reply, waiting.code, waiting.out);
    waiting.resolve();
  }

  /** A final reply goes to the MTA, and moves the connection on as the filter has moved. */
  #answer(reply: Reply, code: number, out: FrameWriter): void {
    const text = reply.kind === "replyCode" ? readReplyText(reply.text) : undefined;
    const verdict = verdictKind(reply, text?.code);
    let edits = 0;
    if (code === SMFIC.BODYEOB && (verdict === "accept" || verdict === "continue")) {
      edits = this.#replies.writeEdits(out);
    } else this.#replies.dropEdits();
    encodeReply(reply, out);
    this.#decided(verdict, code, text?.text, edits);
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

  /** The one way a filter's failure becomes an answer. `out` undefined: nothing is asked right now. */
  #fail(end: CarrierEnd, code: number, out: FrameWriter | undefined): void {
    if (code === SMFIC.OPTNEG && out !== undefined) {
      this.#goBlind(end, out);
      return;
    }
    const failure = this.#failure(end, HOOK_OF_COMMAND.get(code) ?? "");
    this.#host.failure(failure);
    const unanswered = out === undefined || !this.#wants(code);
    // Without a carrier nobody sees the rest of the mail, also if only this one recipient is refused now.
    if (unanswered || this.#carrier === undefined) this.#lostMail = failure;
    if (!unanswered) this.#conclude(failure, code, out);
  }

  #failure({ kind, message }: CarrierEnd, hook: string): Failure {
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
