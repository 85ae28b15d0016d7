/**
 * One link within one MTA connection: the chain plays the MTA towards it.
 *
 * @module
 */
import type { Verdict } from "../filter/mod.ts";
import {
  type Agreement,
  encodeCommand,
  type Frame,
  framesIn,
  FrameWriter,
  isFinal,
  isSent,
  type Options,
  OwnFrame,
  parseReply,
  ProtocolError,
  type Reply,
  SMFIC,
  SMFIP,
} from "../protocol/mod.ts";
import { readReplyText } from "../session/mta_checks.ts";
import type { LinkReport, SessionHost } from "../session/plan.ts";
import type { ChainEntry } from "./plan.ts";
import type { LinkSession } from "./link.ts";
import type { MailView } from "./mail.ts";
import { type Answer, MemberMail } from "./member_mail.ts";
import { asks, covers } from "./negotiation.ts";

import type { Steps, Wait } from "./steps.ts";

/** A link's side of one connection. */
export class Member {
  readonly entry: ChainEntry;
  readonly session: LinkSession;
  /** It has accepted the whole connection. */
  gone = false;
  /** It refuses the connection, which came out only after the connection was let in. */
  refusal: Answer | undefined;
  mail = new MemberMail();
  #agreement: Agreement | undefined;
  #chain: Agreement | undefined;
  /** The negotiation that is put off until a mail concerns the link. */
  #unasked: Frame | undefined;
  #connect = false;
  #helo = false;
  /** Header values carry their leading blank between the links; this link's own do not. */
  #addBlank = false;
  readonly #out = new FrameWriter();
  readonly #now: () => number;

  constructor(entry: ChainEntry, host: SessionHost) {
    this.entry = entry;
    this.#now = host.now;
    this.session = entry.link.open({
      ...host,
      mail: () => {},
      failure: (failure, cause) => {
        this.mail.failure = failure;
        host.failure(failure, cause);
      },
    }, false);
  }

  get name(): string {
    return this.entry.link.name;
  }

  get agreement(): Agreement {
    return this.#agreement!;
  }

  /** Nothing in the envelope waits for its answer, so it can be told of it later, as it then is. */
  get patient(): boolean {
    return !this.asks(SMFIC.MAIL) && !this.asks(SMFIC.RCPT) && !this.asks(SMFIC.DATA);
  }

  /** May it still have a say on the open mail? */
  get open(): boolean {
    return !this.gone && !this.mail.closed && this.mail.concerned !== false;
  }

  asks(code: number): boolean {
    return asks(this.agreement, code);
  }

  /** Does it want commands of that byte? */
  gets(code: number): boolean {
    return isSent(code, this.agreement.version, this.agreement.protocol);
  }

  /** Begins the negotiation, so that all links can be at it at once. */
  offer(offer: Frame): Promise<void> | undefined {
    return this.session.receive(offer, this.#out);
  }

  /**
   * Puts the negotiation off if the link may concern no mail of the connection, and what it would answer is known.
   * False: it has to be asked.
   */
  putOff(offer: Options, frame: Frame): boolean {
    const { link, when, canary = 1 } = this.entry;
    if (when === undefined && canary === 1) return false;
    const agreement = link.foretell?.(offer);
    if (agreement === undefined) return false;
    this.#agreement = agreement;
    this.#unasked = frame;
    return true;
  }

  /** Ends the negotiation. @throws {ProtocolError} if there is no answer, which no link may do. */
  *negotiated(pending: Promise<void> | undefined): Steps {
    if (pending !== undefined) yield this.wait(pending);
    for (const frame of framesIn(this.#out.take())) {
      const reply = parseReply(frame.code, frame.bytes, frame.start, frame.end);
      if (reply.kind !== "negotiate") continue;
      const { version, actions, protocol, macros } = reply;
      this.#agreement = { version, actions, protocol, macros, dataSize: 0 };
    }
    if (this.#agreement === undefined) {
      throw new ProtocolError("wrong-stage", `Link "${this.name}" did not answer the negotiation`);
    }
  }

  /** What holds for the whole chain. */
  agreed(chain: Agreement): void {
    this.#chain = chain;
    this.#addBlank = (chain.protocol & ~this.agreement.protocol & SMFIP.HDR_LEADSPC) !== 0;
  }

  /** A new mail. */
  begin(): void {
    this.mail = new MemberMail();
  }

  /** The SMTP client starts anew, or says HELO again. */
  restart(code: number): void {
    if (code !== SMFIC.HELO) {
      this.#connect = this.gone = false;
      this.refusal = undefined;
    }
    this.#helo = false;
  }

  /** Waits for this link, at most for its time. */
  wait(promise: Promise<unknown>): Wait {
    const { timeout } = this.entry;
    return {
      promise,
      timeout,
      progress: () => this.session.progressed ?? 0,
      late: () => this.session.expire(this.#out, timeout),
    };
  }

  /** Hands over a frame that gets no answer; a promise while there is no room for more. */
  tell(frame: Frame): Promise<void> | undefined {
    return this.session.receive(frame, this.#out);
  }

  /** Hands over a frame; gives the answer, if there is one. */
  *put(frame: Frame): Steps<Answer | undefined> {
    const began = this.#now();
    const pending = this.session.receive(frame, this.#out);
    if (pending !== undefined) yield this.wait(pending);
    if (pending !== undefined || this.#out.length > 0) this.mail.ms += this.#now() - began;
    return this.#out.length === 0 ? undefined : this.#answer(frame.code);
  }

  #answer(command: number): Answer {
    const edits: Reply[] = [];
    let answer: Answer | undefined;
    for (const { code, bytes, start, end } of framesIn(this.#out.take())) {
      const reply = parseReply(code, bytes, start, end);
      if (!isFinal(reply)) {
        if (reply.kind !== "progress") edits.push(this.#spaced(reply));
        continue;
      }
      const text = reply.kind === "replyCode" ? readReplyText(reply.text) : undefined;
      const verdict = text === undefined
        ? reply.kind as Verdict["kind"]
        : text.code < 500
        ? "tempfail"
        : "reject";
      answer = { verdict, reply, text: text?.text, command, edits };
    }
    if (answer === undefined) {
      throw new ProtocolError("wrong-stage", `Link "${this.name}" sent edits without a verdict`);
    }
    return answer;
  }

  #spaced(reply: Reply): Reply {
    if (!this.#addBlank || !("value" in reply) || reply.value.length === 0) return reply;
    const value = new Uint8Array(reply.value.length + 1);
    value[0] = 0x20;
    value.set(reply.value, 1);
    return { ...reply, value };
  }

  /** A field as this link is to see it. */
  #field(frame: Frame): Frame {
    if (!this.#addBlank) return frame;
    const at = frame.bytes.indexOf(0, frame.start) + 1;
    if (frame.bytes[at] !== 0x20) return frame;
    const own = OwnFrame.of(SMFIC.HEADER, frame.end - frame.start - 1);
    own.bytes.set(frame.bytes.subarray(frame.start, at), own.start);
    own.bytes.set(frame.bytes.subarray(at + 1, frame.end), own.start + at - frame.start);
    return own;
  }

  *#say(frame: Frame): Steps {
    const full = this.tell(frame);
    if (full !== undefined) yield this.wait(full);
  }

  /** The macros of a stage, then its command, each if there is one that the link gets. */
  *stage(macros: Frame | undefined, command: Frame | undefined): Steps<Answer | undefined> {
    if (macros !== undefined) yield* this.#say(macros);
    if (command === undefined || !this.gets(command.code)) return undefined;
    if (this.asks(command.code)) return yield* this.put(command);
    yield* this.#say(command);
    return undefined;
  }

  /** Tells of the connection what it has not heard. Gives an answer that is not to go on. */
  *meet(view: MailView): Steps<Answer | undefined> {
    const unasked = this.#unasked;
    if (unasked !== undefined) {
      this.#unasked = undefined;
      const foretold = this.#agreement!;
      yield* this.negotiated(this.offer(unasked));
      // What it wants beyond that, the MTA has not been asked for.
      if (!covers(foretold, this.#agreement!)) return OTHERWISE;
      this.agreed(this.#chain!);
    }
    if (!this.#connect) {
      this.#connect = true;
      const answer = yield* this.stage(view.macros(SMFIC.CONNECT), view.connect);
      if (answer !== undefined && this.#ends(answer)) return answer;
    }
    if (!this.#helo && view.helo !== undefined) {
      this.#helo = true;
      const answer = yield* this.stage(view.macros(SMFIC.HELO), view.helo);
      if (answer !== undefined && this.#ends(answer)) return answer;
    }
    return undefined;
  }

  #ends(answer: Answer): boolean {
    if (answer.verdict === "accept") this.gone = true;
    return answer.verdict === "reject" || answer.verdict === "tempfail";
  }

  /** Tells of the mail what it has not heard, as it is now. Gives the answer that objects, if one does. */
  *catchUp(view: MailView): Steps<Answer | undefined> {
    const refusal = this.refusal ?? (yield* this.meet(view));
    if (refusal !== undefined) return this.refusal = refusal;
    if (this.gone) return undefined;
    const { mail } = this;
    if (!mail.told) {
      mail.told = true;
      const answer = yield* this.stage(view.macros(SMFIC.MAIL), view.sender);
      if (answer !== undefined && this.mail.note(answer)) return answer;
    }
    while (mail.recipients < view.recipients.length && !mail.closed) {
      const { macros, frame } = view.recipients[mail.recipients++];
      const answer = yield* this.stage(macros, frame);
      // Too late to refuse one of them: the client has been told that all are welcome.
      if (answer !== undefined && this.mail.note(answer)) return answer;
    }
    if (view.data !== undefined && !mail.data && !mail.closed) {
      mail.data = true;
      const answer = yield* this.stage(view.macros(SMFIC.DATA), view.data);
      if (answer !== undefined && this.mail.note(answer)) return answer;
    }
    return undefined;
  }

  /** A recipient that is being answered: the answer is about that one. */
  *recipient(macros: Frame | undefined, frame: Frame): Steps<Answer | undefined> {
    const answer = yield* this.stage(macros, frame);
    this.mail.recipients++;
    if (answer === undefined) return undefined;
    const refuses = answer.verdict === "reject" || answer.verdict === "tempfail";
    if (refuses) this.mail.refused++;
    else this.mail.note(answer);
    return answer;
  }

  /** A field that gets no answer, if the link gets it at all. */
  tellField(frame: Frame): Promise<void> | undefined {
    return this.gets(SMFIC.HEADER) ? this.tell(this.#field(frame)) : undefined;
  }

  /** A frame of the content. */
  *piece(view: MailView, frame: Frame): Steps<Answer | undefined> {
    if (frame.code === SMFIC.HEADER) return yield* this.header(view, frame);
    return yield* frame.code === SMFIC.EOH ? this.endOfHeaders(view, frame) : this.body(view, frame);
  }

  /** One field of the header. */
  *header(view: MailView, frame: Frame): Steps<Answer | undefined> {
    const macros = this.mail.headers ? undefined : view.macros(SMFIC.HEADER);
    this.mail.headers = true;
    return this.gets(SMFIC.HEADER) ? yield* this.stage(macros, this.#field(frame)) : undefined;
  }

  *endOfHeaders(view: MailView, frame: Frame): Steps<Answer | undefined> {
    if (this.mail.endOfHeaders) return undefined;
    this.mail.endOfHeaders = true;
    return yield* this.stage(view.macros(SMFIC.EOH), frame);
  }

  /** A piece of the body, unless it has seen enough. */
  *body(view: MailView, frame: Frame): Steps<Answer | undefined> {
    const macros = this.mail.body ? undefined : view.macros(SMFIC.BODY);
    this.mail.body = true;
    if (this.mail.skipped || !this.gets(SMFIC.BODY)) return undefined;
    return yield* this.stage(macros, frame);
  }

  /** Tells of the content that is there; from then on it gets what comes. Gives the answer that objects, if one does. */
  *content(view: MailView): Steps<Answer | undefined> {
    const { mail } = this;
    mail.live = true;
    if (this.gets(SMFIC.HEADER)) {
      const answers = this.asks(SMFIC.HEADER);
      for (const frame of view.headers.frames()) {
        if (!answers && mail.headers) {
          const full = this.tellField(frame);
          if (full !== undefined) yield this.wait(full);
          continue;
        }
        const answer = yield* this.header(view, frame);
        if (answer !== undefined && this.mail.note(answer)) return answer;
        if (mail.closed) return undefined;
      }
    }
    if (view.endOfHeaders !== undefined) {
      const answer = yield* this.endOfHeaders(view, view.endOfHeaders);
      if (answer !== undefined && this.mail.note(answer)) return answer;
    }
    if (mail.closed || !this.gets(SMFIC.BODY)) return undefined;
    const { member, found } = { member: this, found: { answer: undefined as Answer | undefined } };
    yield* view.body.read(function* (frame) {
      const answer = yield* member.body(view, frame);
      if (answer !== undefined && member.mail.note(answer)) found.answer = answer;
      return found.answer === undefined && !mail.closed && !mail.skipped;
    });
    return found.answer;
  }

  /** The end of the mail: the link's last word, which every link gives. */
  *end(view: MailView): Steps<Answer> {
    const answer = yield* this.stage(view.macros(SMFIC.BODYEOB), END);
    if (answer === undefined) {
      throw new ProtocolError("wrong-stage", `Link "${this.name}" did not answer the end of the message`);
    }
    this.mail.end(answer);
    return answer;
  }

  /** The mail ends otherwise. */
  *abort(): Steps {
    const { told, closed } = this.mail;
    this.mail.closed = true;
    if (told && !closed) yield* this.put(ABORT);
  }

  /** What it did with the mail. */
  report(mode: LinkReport["mode"] = "enforce"): LinkReport {
    return this.mail.report(this.name, mode, this.gone);
  }
}

/** A link that negotiates otherwise than it has let know: the MTA tries again, on a connection that knows better. */
const OTHERWISE: Answer = Object.freeze({
  verdict: "tempfail",
  reply: Object.freeze({ kind: "tempfail" as const }),
  text: "it negotiates otherwise than before",
  command: SMFIC.OPTNEG,
  edits: [],
});

const END = commandFrame({ kind: "endOfMessage", chunk: new Uint8Array(0) });
const ABORT = commandFrame({ kind: "abort" });

/** A command as a frame of its own. */
export function commandFrame(command: Parameters<typeof encodeCommand>[0]): OwnFrame {
  const out = new FrameWriter();
  encodeCommand(command, out);
  return new OwnFrame(out.take().slice());
}
