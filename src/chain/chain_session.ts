/**
 * One MTA connection through a chain of several links.
 *
 * @module
 */
import {
  type Agreement,
  Effect,
  encodeReply,
  type Frame,
  type FrameWriter,
  nextState,
  parseCommand,
  SMFIC,
  SMFIR,
  State,
  step,
  wantsReply,
} from "../protocol/mod.ts";
import type { SessionHost } from "../session/plan.ts";
import type { ChainOptions } from "./plan.ts";
import { ConnectionFacts } from "./connection_facts.ts";
import { ChainMail } from "./mail.ts";
import { MailPass, type Outcome, type Passage } from "./mail_pass.ts";
import { MailRecord } from "./mail_record.ts";
import { commandFrame, type Member } from "./member.ts";
import { objects } from "./member_mail.ts";
import { joined, offerForLinks, ownNeeds } from "./negotiation.ts";
import type { Session } from "./session.ts";
import type { ShadowRuns } from "./shadow_runs.ts";
import { Stepper, type Steps, type Wait } from "./steps.ts";

/** A connection through the links of a chain. */
export class ChainSession implements Session {
  readonly #options: ChainOptions;
  readonly #members: readonly Member[];
  readonly #host: SessionHost;
  readonly #answerData: boolean;
  readonly #shadows: ShadowRuns;
  readonly #stepper: Stepper;
  readonly #connection = new ConnectionFacts();

  #state: number = State.START;
  #offer: Frame | undefined;
  #agreement: Agreement = { version: 0, actions: 0, protocol: 0, macros: [], dataSize: 0 };
  #pass: MailPass | undefined;
  #record: MailRecord | undefined;
  /** What the mail is to get as soon as a command is answered. */
  #owed: Outcome | undefined;
  #ending = false;
  #answersFields = true;

  /** @param answerData Negotiate for a carrier with delayed acknowledgements; see `wantsOf`. */
  constructor(
    options: ChainOptions,
    members: readonly Member[],
    host: SessionHost,
    answerData: boolean,
    shadows: ShadowRuns,
  ) {
    this.#options = options;
    this.#members = members;
    this.#host = host;
    this.#answerData = answerData;
    this.#shadows = shadows;
    this.#stepper = new Stepper(() => host.now());
  }

  get mailOpen(): boolean {
    return this.#pass !== undefined;
  }

  get finished(): boolean {
    return this.#state === State.CLOSED;
  }

  get awaitingEndOfMessage(): boolean {
    return this.#ending;
  }

  get deadline(): number {
    return this.#stepper.deadline;
  }

  receive(frame: Frame, out: FrameWriter): Promise<void> | undefined {
    const { code } = frame;
    const cell = step(this.#state, code);
    this.#state = nextState(cell);
    if (code === SMFIC.MACRO) {
      this.#connection.seeMacros(frame);
      return undefined;
    }
    if (code === SMFIC.HEADER && cell === State.HEADER && this.#owed === undefined && !this.#answersFields) {
      const wait = this.#pass!.quick(frame);
      if (wait !== false) return wait && this.#stepper.run(waiting(wait));
    }
    return this.#stepper.run(this.#take(cell, frame, out));
  }

  expire(): Promise<void> | undefined {
    return this.#stepper.expire();
  }

  lost(): Promise<void> | undefined {
    this.#stepper.drop();
    this.#state = State.CLOSED;
    this.#ending = false;
    this.#breakOff();
    const waits = this.#members.flatMap((member) => {
      const pending = member.session.lost();
      return pending === undefined ? [] : [member.wait(pending)];
    });
    if (waits.length === 0) return undefined;
    return this.#stepper.run(waiting({
      promise: Promise.all(waits.map(({ promise }) => promise)),
      timeout: Math.max(...waits.map(({ timeout }) => timeout)),
      late: () => {
        const more = waits.flatMap(({ late }) => late?.() ?? []);
        return more.length === 0 ? undefined : Promise.all(more);
      },
    }));
  }

  *#take(cell: number, frame: Frame, out: FrameWriter): Steps {
    const { code } = frame;
    if (code === SMFIC.OPTNEG) return yield* this.#negotiate(frame, out);
    this.#connection.macros.enter(code);
    if ((cell & Effect.ABORT) !== 0) {
      const pass = this.#pass;
      this.#breakOff();
      if (pass !== undefined) yield* pass.abort();
    }
    switch (code) {
      case SMFIC.ABORT:
      case SMFIC.QUIT:
        return;
      case SMFIC.QUIT_NC:
        this.#connection.clear();
        for (const member of this.#members) {
          member.restart(code);
          yield* member.put(frame);
        }
        return;
      case SMFIC.CONNECT:
      case SMFIC.HELO:
        return yield* this.#greet(frame, out);
      case SMFIC.UNKNOWN:
        return yield* this.#unknown(frame, out);
    }
    if ((cell & Effect.IGNORE) !== 0) return this.#continue(code, out);
    if ((cell & Effect.OPEN) !== 0) this.#open();
    const pass = this.#pass!;
    this.#ending = code === SMFIC.BODYEOB;
    const outcome = this.#owed ?? (yield* pass.take(frame, out));
    this.#ending = false;
    this.#settle(outcome, code, out);
    // Its reply is on the way; the links that were still at it hear that it is over.
    if (outcome.answer !== undefined && !outcome.commandOnly) yield* pass.abort();
  }

  *#negotiate(frame: Frame, out: FrameWriter): Steps {
    const offer = parseCommand(frame.code, frame.bytes, frame.start, frame.end);
    if (offer.kind !== "negotiate") return;
    const forLinks = this.#offer = commandFrame({ ...offerForLinks(offer), kind: "negotiate" });
    // All at once: some have to connect, or to start, first.
    const words = offerForLinks(offer);
    const asked = this.#members.filter((member) => !member.putOff(words, forLinks));
    const pending = asked.map((member) => member.offer(forLinks));
    for (const [i, member] of asked.entries()) yield* member.negotiated(pending[i]);
    const agreements = this.#members.map(({ agreement }) => agreement);
    this.#agreement = joined(offer, agreements, ownNeeds(this.#options, agreements), this.#answerData);
    for (const member of this.#members) member.agreed(this.#agreement);
    const { version, actions, protocol, macros } = this.#agreement;
    this.#answersFields = wantsReply(SMFIC.HEADER, protocol);
    encodeReply({ kind: "negotiate", version, actions, protocol, macros }, out);
  }

  /** CONNECT and HELO: to those links that are concerned whatever the mail will be. */
  *#greet(frame: Frame, out: FrameWriter): Steps {
    this.#connection.see(frame);
    for (const member of this.#members) member.restart(frame.code);
    const view = new ChainMail(this.#connection, this.#options.spool, 0);
    for (const member of this.#members) {
      if (member.gone || !this.#concerns(member)) continue;
      const answer = yield* member.meet(view);
      if (answer === undefined) continue;
      const record = new MailRecord(this.#options, this.#members, this.#host, this.#connection);
      record.end(undefined, { answer, member }, frame.code);
      encodeReply(answer.reply, out);
      return;
    }
    this.#continue(frame.code, out);
  }

  *#unknown(frame: Frame, out: FrameWriter): Steps {
    for (const member of this.#members) {
      if (member.gone || !this.#concerns(member)) continue;
      const answer = yield* member.stage(this.#connection.macroFrame(frame.code), frame);
      // There is no mail to discard.
      if (answer === undefined || !objects(answer) || answer.verdict === "discard") continue;
      encodeReply(answer.reply, out);
      return;
    }
    this.#continue(frame.code, out);
  }

  /** Is a link concerned by this connection, whatever mail it brings? */
  #concerns({ entry: { when, canary = 1 } }: Member): boolean {
    if (canary < 1) return false;
    return when === undefined || when.begin()(this.#connection.early) === true;
  }

  #open(): void {
    const passage: Passage = {
      options: this.#options,
      members: this.#members,
      connection: this.#connection,
      agreement: this.#agreement,
    };
    this.#pass = new MailPass(passage, this.#host.now());
    this.#record = new MailRecord(this.#options, this.#members, this.#host, this.#connection);
    this.#owed = undefined;
  }

  /** The outcome of a command goes to the MTA. */
  #settle(outcome: Outcome, code: number, out: FrameWriter): void {
    const { answer, commandOnly, rest } = outcome;
    const answered = wantsReply(code, this.#agreement.protocol);
    if (answer === undefined && rest === undefined) {
      this.#continue(code, out);
      if (code === SMFIC.BODYEOB) this.#close(outcome, code);
      return;
    }
    if (rest === "skip") {
      out.simple(SMFIR.SKIP);
      return;
    }
    if (answer !== undefined && !answered) {
      // Nobody listens now; a refused recipient is told with what comes next, and so for the whole mail.
      this.#owed = { ...outcome, commandOnly: false };
      return;
    }
    if (answer === undefined) out.simple(SMFIR.ACCEPT);
    else encodeReply(answer.reply, out);
    if (commandOnly) {
      this.#record!.refusal = outcome;
      return;
    }
    if (code !== SMFIC.BODYEOB) this.#state = State.DECIDED;
    this.#close(outcome, code);
  }

  #continue(code: number, out: FrameWriter): void {
    if (wantsReply(code, this.#agreement.protocol)) out.simple(SMFIR.CONTINUE);
  }

  /** The mail has its answer. */
  #close(outcome: Outcome, code: number): void {
    const pass = this.#pass!;
    const record = this.#record!;
    this.#pass = undefined;
    const { verdict } = record.end(pass.mail, outcome, code, pass.shots);
    for (const { shadow: { entry }, view } of pass.shots.splice(0)) {
      if (view === undefined) continue;
      const { queueId } = record;
      this.#shadows.start(entry, view, { offer: this.#offer!, agreement: this.#agreement, queueId, verdict });
    }
    pass.release();
  }

  /** The mail ends without an answer. */
  #breakOff(): void {
    const pass = this.#pass;
    if (pass === undefined) return;
    this.#pass = undefined;
    this.#owed = undefined;
    this.#record!.breakOff(pass.mail);
    pass.release();
  }
}

/** A step that is nothing but a wait. */
function* waiting(wait: Wait): Steps {
  yield wait;
}
