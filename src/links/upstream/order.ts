/**
 * Which frames an upstream milter may get, and in which order: libmilter leaves a command that comes out of its order
 * unanswered (milter-protocol, 6.2), and no other milter is known to be stricter.
 *
 * @module
 */
import { isSent, letter, ProtocolError, type Reply, SMFIC, wantsReply } from "../../protocol/mod.ts";

const { OPTNEG, CONNECT, HELO, MAIL, RCPT, DATA, HEADER, EOH, BODY, BODYEOB, ABORT, UNKNOWN } = SMFIC;

/** What libmilter takes next, by the command it took last. After ABORT only what follows HELO as well. */
const NEXT: ReadonlyMap<number, readonly number[]> = new Map([
  [OPTNEG, [CONNECT, UNKNOWN]],
  [CONNECT, [HELO, MAIL, UNKNOWN]],
  [HELO, [HELO, MAIL, UNKNOWN]],
  [MAIL, [RCPT, ABORT, UNKNOWN]],
  [RCPT, [RCPT, DATA, HEADER, EOH, BODY, BODYEOB, ABORT, UNKNOWN]],
  [DATA, [HEADER, EOH, ABORT]],
  [HEADER, [HEADER, EOH, ABORT]],
  [EOH, [BODY, BODYEOB, ABORT]],
  [BODY, [BODY, BODYEOB, ABORT]],
  [BODYEOB, [MAIL, UNKNOWN]],
  [UNKNOWN, [HELO, MAIL, RCPT, DATA, BODY, UNKNOWN, ABORT]],
]);
/** States in a row: one whose command the milter does not want is stepped over. */
const STEPS: readonly number[] = [
  OPTNEG,
  CONNECT,
  HELO,
  MAIL,
  RCPT,
  DATA,
  HEADER,
  EOH,
  BODY,
  BODYEOB,
];
/** Commands that are part of a mail. */
const OF_MAIL: readonly number[] = [MAIL, RCPT, DATA, HEADER, EOH, BODY, BODYEOB];
/** Stages at which a refusal leaves libmilter where it is. */
const STAYS: readonly number[] = [RCPT, UNKNOWN];

const CONTINUE: Reply = { kind: "continue" };

/** Follows one upstream connection as libmilter does. */
export class LibmilterOrder {
  /** The answer to the command taken last, where the milter will give none. */
  instead: Reply | undefined;
  /** An SMFIC_ABORT has to go before the command taken last: it begins something else. */
  aborts = false;
  /** The command taken last is answered by the milter. */
  asks = false;
  /** The milter's own terms; nothing is known before it has negotiated. */
  #version = 0;
  #protocol = 0;
  #at: number = OPTNEG;
  #connected = false;
  #mailOpen = false;
  /** The milter is done with a mail with which the MTA goes on: the answer to what still comes of it. */
  #rest: Reply | undefined;
  /** The milter has seen enough of the body; MTAs older than SMFIP_SKIP go on sending it. */
  #skipsBody = false;

  /** A mail is open there. */
  get mailOpen(): boolean {
    return this.#mailOpen;
  }

  /** There was an SMFIC_CONNECT already: libmilter takes no second one. */
  get connected(): boolean {
    return this.#connected;
  }

  /** What the milter has answered to the negotiation. */
  agree(version: number, protocol: number): void {
    this.#version = version;
    this.#protocol = protocol;
  }

  /**
   * Takes a command; true if it is to be sent. `aborts` and `instead` say what else there is to do.
   *
   * @param passive Only for form's sake: the mail is decided.
   * @param stage The command that an SMFIC_MACRO belongs to.
   * @throws {ProtocolError} `wrong-stage` for a command that libmilter would not answer.
   */
  take(code: number, passive: boolean, stage: number): boolean {
    this.instead = undefined;
    this.aborts = this.asks = false;
    if (code === OPTNEG) return this.asks = true;
    // Also where the command itself is not wanted, as both MTAs do; of a stage that its version has not, never.
    if (code === SMFIC.MACRO) return isSent(stage, this.#version, 0);
    if (code === ABORT) return this.#endMail();
    if (code === CONNECT) this.#connected = true;
    if (code === CONNECT || code === HELO || code === MAIL) this.aborts = this.#endMail();
    const rest = passive || !OF_MAIL.includes(code) ? undefined : this.#rest;
    if (code === BODYEOB) this.#rest = undefined;
    if (passive || rest !== undefined || !this.#isSafe(code)) {
      this.instead = rest ?? CONTINUE;
      return false;
    }
    // What does not follow is tried from HELO, where libmilter falls back to; in a mail that would lose the mail.
    if (!this.#reaches(this.#at, code) && (this.#mailOpen || !this.#reaches(HELO, code))) {
      throw new ProtocolError(
        "wrong-stage",
        `Cannot pass command ${letter(code)} on after ${
          letter(this.#at)
        }: a libmilter filter would not answer it`,
      );
    }
    this.#at = code;
    if (OF_MAIL.includes(code)) this.#mailOpen = code !== BODYEOB;
    this.asks = wantsReply(code, this.#protocol);
    if (!this.asks) this.instead = CONTINUE;
    return true;
  }

  /** A final reply of the milter to a command. */
  answered(reply: Reply, code: number): void {
    switch (reply.kind) {
      case "accept":
        if (code === UNKNOWN && this.#mailOpen) this.#rest = CONTINUE;
        break;
      case "reject":
      case "tempfail":
      case "replyCode":
      case "discard":
        if (STAYS.includes(code)) return;
        if (code === DATA) this.#rest = reply;
        break;
      case "skip":
        if (code === BODY) this.#skipsBody = true;
        return;
      default:
        return;
    }
    this.#at = HELO;
    this.#mailOpen = false;
  }

  #sent(code: number): boolean {
    return isSent(code, this.#version, this.#protocol);
  }

  /** Ends the mail that is open there; false if none is. */
  #endMail(): boolean {
    this.#rest = undefined;
    this.#skipsBody = false;
    if (!this.#mailOpen) return false;
    this.#mailOpen = false;
    this.#at = ABORT;
    return true;
  }

  /** The milter wants the command, and what must follow is still possible after it. */
  #isSafe(code: number): boolean {
    if (!this.#sent(code) || (code === BODY && this.#skipsBody)) return false;
    if (code !== UNKNOWN) return true;
    // From an unknown command libmilter finds back to RCPT and DATA, not to CONNECT and not into a mail's content.
    if (!this.#mailOpen) return this.#connected || !this.#sent(CONNECT);
    return this.#sent(DATA) && [MAIL, RCPT, UNKNOWN].some((state) => state === this.#at);
  }

  #reaches(from: number, code: number): boolean {
    if (NEXT.get(from)?.includes(code)) return true;
    const step = STEPS.indexOf(from);
    const next = step === -1 ? undefined : STEPS[step + 1];
    return next !== undefined && !this.#sent(next) && this.#reaches(next, code);
  }
}
