/**
 * The MTA's side of a milter connection: what happens in SMTP goes in, command frames come out, reply frames become
 * answers.
 *
 * Pure and synchronous, without a clock: whoever drives it has the socket and the deadlines. It plays Postfix or
 * Sendmail, so a filter sees what either would send, and what either would refuse is refused.
 *
 * @module
 */
import {
  type Agreement,
  checkAnswer,
  DATA_SIZE,
  DATA_SIZE_1M,
  DATA_SIZE_256K,
  Effect,
  encodeCommand,
  type Frame,
  type FrameWriter,
  isFinal,
  isSent,
  letter,
  nextState,
  type Options,
  parseReply,
  ProtocolError,
  type Reply,
  SMFIC,
  SMFIP,
  State,
  stateName,
  step,
  wantsReply,
} from "../protocol/mod.ts";
import { type Ends, meaningOf } from "./mta_answer.ts";
import { oddEdit } from "./mta_checks.ts";
import { offerOf, wireAddress } from "./mta_dialect.ts";
import { MtaMacros } from "./mta_macros.ts";
import {
  COMMAND_CODES,
  type MtaAnswer,
  type MtaCommand,
  type MtaEvent,
  type MtaOptions,
  type Sent,
} from "./mta_types.ts";

/** Commands whose macros go out even where the filter does not want the command. */
const MACROS_ANYWAY: readonly number[] = [SMFIC.CONNECT, SMFIC.HELO, SMFIC.MAIL, SMFIC.RCPT, SMFIC.DATA];

/** One connection to a milter, seen from the MTA; any number of mails one after the other. */
export class MtaSession {
  readonly #options: MtaOptions;
  readonly #postfix: boolean;
  readonly #offer: Options;
  readonly #macros: MtaMacros;
  #agreement: Agreement | undefined;
  #state: number = State.START;
  /** Byte of the command that is being answered, 0 for none. */
  #awaiting = 0;
  /** Byte of the last command that the filter does not answer, to name it if it does. */
  #unanswered = 0;
  #over = false;
  /** In the MTA's own eyes a mail is open, whatever the filter said. */
  #mailOpen = false;
  /** Sendmail: the filter let MAIL pass, so it is told if the mail comes to nothing. */
  #owesAbort = false;
  /** Postfix: SMFIC_ABORT frames that leave with the next frame. */
  #stale = 0;
  #helo = false;
  readonly #skipped = new Set<number>();
  /** Pieces of a new body: none yet, coming, or interrupted by another edit. */
  #newBody: "none" | "coming" | "over" = "none";

  /** @throws {RangeError} for a version other than 2 to 6. */
  constructor(options: MtaOptions) {
    this.#options = options;
    this.#postfix = options.dialect === "postfix";
    const offer = offerOf(options.dialect, options.version);
    const { actions = offer.actions, protocol = offer.protocol } = options;
    this.#offer = { version: offer.version, actions, protocol };
    this.#macros = new MtaMacros(options.dialect, options.macros ?? (() => undefined), options.macroLists);
  }

  /** What was negotiated; undefined before. `version` is that of the filter's answer. */
  get agreement(): Agreement | undefined {
    return this.#agreement;
  }

  /** Byte of the command whose answer is still to come; undefined for none. */
  get awaiting(): number | undefined {
    return this.#awaiting === 0 ? undefined : this.#awaiting;
  }

  /** The filter is done with this connection: nothing more is sent, close it. */
  get over(): boolean {
    return this.#over;
  }

  /** A mail has begun and not ended; the filter may be done with it all the same. */
  get mailOpen(): boolean {
    return this.#mailOpen;
  }

  /** Offers the options: the first frame of a connection. */
  start(out: FrameWriter): void {
    if (this.#state !== State.START || this.#awaiting !== 0) {
      throw new TypeError("Cannot negotiate with the filter: that is done once, first on a connection");
    }
    encodeCommand({ kind: "negotiate", ...this.#offer }, out);
    this.#awaiting = SMFIC.OPTNEG;
  }

  /**
   * Writes what the MTA sends for a step of the SMTP session: the command with its macros before it, aborts of earlier
   * mails, or nothing. Header values are given without the blank after the colon.
   *
   * @throws {TypeError} if an answer is still to come, or the step is not possible there: a mistake of the caller.
   * @throws {RangeError} for a text with a NUL, or a piece of body or a field over the limit of a frame.
   */
  send(command: MtaCommand, out: FrameWriter): Sent {
    const code = COMMAND_CODES[command.kind];
    const agreement = this.#agreement;
    if (agreement === undefined || this.#awaiting !== 0) {
      throw new TypeError(
        `Cannot send command ${letter(code)}: the answer to ${
          letter(this.#awaiting || SMFIC.OPTNEG)
        } is still to come`,
      );
    }
    if (this.#over) return "unsent";
    this.#checkSize(command, agreement);
    const cell = this.#step(code);
    if (code === SMFIC.ABORT) return this.#reset(out);
    if (code === SMFIC.QUIT) return this.#quit(out);
    // libmilter takes it right behind the end of a message only, not behind a late abort; it ends that mail anyway.
    if (code === SMFIC.QUIT_NC) this.#stale = 0;
    if (code === SMFIC.MAIL || code === SMFIC.CONNECT || code === SMFIC.QUIT_NC) this.#closeMail(out);
    // Postfix tells of the new HELO first.
    if (code === SMFIC.HELO && !this.#postfix) this.#closeMail(out);
    if ((cell & Effect.OPEN) !== 0) this.#openMail();
    if ((cell & Effect.IGNORE) !== 0 || this.#skips(code)) {
      if (code === SMFIC.BODYEOB) this.#endMail();
      return "unsent";
    }
    const sent = isSent(code, agreement.version, agreement.protocol);
    this.#flushStale(out);
    if (sent || MACROS_ANYWAY.includes(code)) {
      const pairs = code === SMFIC.QUIT_NC ? undefined : this.#macros.pairs(code);
      if (pairs !== undefined) encodeCommand({ kind: "macros", stage: code, pairs }, out);
    }
    if (sent) encodeCommand(this.#wireForm(command, agreement), out);
    if (code === SMFIC.HELO) {
      if (this.#postfix && this.#helo) this.#leaveMail();
      this.#helo = true;
    }
    if (code === SMFIC.QUIT_NC) this.#helo = false;
    const asked = sent && wantsReply(code, agreement.protocol);
    if (asked) this.#awaiting = code;
    else if (sent) this.#unanswered = code;
    this.#newBody = "none";
    return asked ? "asked" : sent ? "told" : "unsent";
  }

  /**
   * Takes the reader's current frame, and may write what the MTA sends at once in return (Sendmail's SMFIC_QUIT).
   *
   * @throws {ProtocolError} for a reply that the MTA takes for a broken filter; the connection cannot go on.
   */
  receive(frame: Frame, out: FrameWriter): MtaEvent {
    const reply = parseReply(frame.code, frame.bytes, frame.start, frame.end);
    const awaiting = this.#awaiting;
    if (awaiting === 0) this.#refuseSurplus(frame.code);
    if ((awaiting === SMFIC.OPTNEG) !== (reply.kind === "negotiate")) {
      throw new ProtocolError(
        "wrong-stage",
        `Cannot take reply ${letter(frame.code)} to command ${letter(awaiting)}: ` +
          (awaiting === SMFIC.OPTNEG ? "'O' (SMFIC_OPTNEG) is expected" : "the options are negotiated once"),
      );
    }
    if (reply.kind === "negotiate") return this.#negotiated(reply);
    if (!isFinal(reply)) return this.#notFinal(reply, frame.code);
    const meaning = meaningOf(reply, awaiting, this.#options.dialect, this.#agreement!);
    for (const message of meaning.warnings) this.#warn(message);
    this.#awaiting = 0;
    const { verdict, ends, text } = meaning;
    for (const skipped of meaning.skips) this.#skipped.add(skipped);
    this.#apply(awaiting, verdict, ends, out);
    return { kind: "answer", command: awaiting, verdict, reply: text, ends };
  }

  #step(code: number): number {
    if (this.#state === State.CLOSED) {
      throw new TypeError(`Cannot send command ${letter(code)}: it follows 'Q'`);
    }
    try {
      const cell = step(this.#state, code);
      this.#state = nextState(cell);
      return cell;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      throw new TypeError(`Cannot send command ${letter(code)} at stage "${stateName(this.#state)}"`);
    }
  }

  #negotiated(answer: Reply & { readonly kind: "negotiate" }): MtaEvent {
    // Postfix honours protocol flags that it did not offer; Sendmail refuses them.
    const offered = this.#postfix ? { ...this.#offer, protocol: 0xffffffff } : this.#offer;
    checkAnswer(offered, answer);
    const extra = (answer.protocol & ~this.#offer.protocol) >>> 0;
    if (extra !== 0) {
      this.#warn(`The filter answers protocol flags 0x${extra.toString(16)} that were not offered`);
    }
    // Sendmail takes 0 for 2.
    const version = Math.max(2, answer.version);
    const { actions, protocol, macros } = answer;
    const dataSize = (protocol & SMFIP.MDS_1M) !== 0
      ? DATA_SIZE_1M
      : (protocol & SMFIP.MDS_256K) !== 0
      ? DATA_SIZE_256K
      : DATA_SIZE;
    for (const message of this.#macros.agree(version, macros)) this.#warn(message);
    this.#agreement = { version, actions, protocol, macros, dataSize };
    this.#awaiting = 0;
    this.#state = State.IDLE;
    return { kind: "negotiated", agreement: this.#agreement };
  }

  #notFinal(reply: Reply, code: number): MtaEvent {
    const at = this.#awaiting;
    const atEnd = at === SMFIC.BODYEOB;
    const held = reply.kind === "quarantine" && this.#postfix;
    if (!atEnd && !held && !(reply.kind === "progress" && this.#postfix)) {
      throw new ProtocolError(
        "wrong-stage",
        `Cannot take reply ${letter(code)} (${reply.kind}) to command ${letter(at)}: ` +
          "it may only come while the end of the message is answered",
      );
    }
    if (reply.kind === "progress") return { kind: "progress" };
    if (!atEnd) {
      this.#warn(
        `The filter quarantines at command ${
          letter(at)
        }: Postfix then sends it nothing more of this mail and holds ` +
          "the later ones as well; quarantine at the end of the message",
      );
    }
    for (const message of oddEdit(reply, this.#agreement!, this.#options.dialect)) this.#warn(message);
    if (reply.kind === "replaceBody") {
      if (this.#newBody === "over" && this.#postfix) {
        throw new ProtocolError(
          "wrong-stage",
          "Cannot take reply 'b' (replaceBody): Postfix wants all pieces of a body in one run, with no edit between",
        );
      }
      this.#newBody = "coming";
    } else if (this.#newBody === "coming") this.#newBody = "over";
    return { kind: "edit", edit: reply };
  }

  #refuseSurplus(code: number): never {
    const silent = this.#unanswered !== 0
      ? `; the filter negotiated not to answer command ${letter(this.#unanswered)}, or it answered one twice`
      : "";
    throw new ProtocolError(
      "wrong-stage",
      `Cannot take reply ${
        letter(code)
      }: no command waits for one${silent}; an MTA takes it for the next answer`,
    );
  }

  /** What a verdict does to mail and connection. */
  #apply(code: number, verdict: MtaAnswer["verdict"], ends: Ends, out: FrameWriter): void {
    if (code === SMFIC.MAIL) {
      this.#owesAbort = !this.#postfix && verdict === "continue" && this.#wantsAborts();
    }
    if (code === SMFIC.BODYEOB) {
      this.#endMail();
    } else if (ends === "mail") {
      // A mail that was thrown away at RCPT or later is told of by Sendmail when it ends.
      if (verdict !== "discard") this.#owesAbort = false;
      if (code === SMFIC.MAIL && (verdict === "reject" || verdict === "tempfail")) {
        this.#state = State.IDLE;
        this.#leaveMail();
      } else this.#state = State.DECIDED;
    }
    if (ends !== "connection") return;
    this.#over = true;
    if (!this.#postfix) encodeCommand({ kind: "quit" }, out);
  }

  #wantsAborts(): boolean {
    return (this.#agreement!.protocol & (SMFIP.NOMAIL | SMFIP.NR_MAIL)) === 0;
  }

  #openMail(): void {
    this.#mailOpen = true;
    this.#skipped.clear();
  }

  /** The mail is finished; Postfix says so with an abort. */
  #endMail(): void {
    this.#owesAbort = false;
    this.#leaveMail();
  }

  #leaveMail(): void {
    this.#mailOpen = false;
    if (this.#postfix) this.#stale++;
  }

  /** The mail ends without a verdict because something else begins. */
  #closeMail(out: FrameWriter): void {
    if (this.#owesAbort) encodeCommand({ kind: "abort" }, out);
    this.#owesAbort = false;
    if (this.#mailOpen) this.#leaveMail();
  }

  #reset(out: FrameWriter): Sent {
    const told = this.#postfix || this.#owesAbort;
    this.#mailOpen = false;
    if (this.#postfix) this.#stale++;
    else if (this.#owesAbort) encodeCommand({ kind: "abort" }, out);
    this.#owesAbort = false;
    this.#flushStale(out);
    return told ? "told" : "unsent";
  }

  #quit(out: FrameWriter): Sent {
    if (this.#postfix) {
      this.#stale++;
      this.#flushStale(out);
    }
    this.#mailOpen = this.#owesAbort = false;
    encodeCommand({ kind: "quit" }, out);
    return "told";
  }

  #flushStale(out: FrameWriter): void {
    for (; this.#stale > 0; this.#stale--) encodeCommand({ kind: "abort" }, out);
  }

  #skips(code: number): boolean {
    return this.#skipped.has(code);
  }

  #wireForm(command: MtaCommand, agreement: Agreement): MtaCommand {
    if (command.kind === "connect" && command.family === "inet6") {
      return { ...command, address: wireAddress(this.#options.dialect, command.address) };
    }
    if (command.kind === "header" && (agreement.protocol & SMFIP.HDR_LEADSPC) !== 0) {
      const value = new Uint8Array(command.value.length + 1);
      value[0] = 0x20;
      value.set(command.value, 1);
      return { ...command, value };
    }
    return command;
  }

  #checkSize(command: MtaCommand, agreement: Agreement): void {
    const tooLong = command.kind === "body" || command.kind === "endOfMessage"
      ? command.chunk.length > agreement.dataSize
      // Postfix has no such limit for fields, only its header_size_limit.
      : command.kind === "header" && !this.#postfix &&
        command.name.length + command.value.length + 3 > agreement.dataSize;
    if (!tooLong) return;
    throw new RangeError(
      `Cannot send a ${command.kind}: a frame holds ${agreement.dataSize} bytes, it has more`,
    );
  }

  #warn(message: string): void {
    this.#options.warn?.(message);
  }
}
