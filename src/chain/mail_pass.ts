/**
 * One mail through the links of a chain: in the envelope each command passes them in turn; the content goes to the first
 * as it comes, and to each later one as those before have left it. What comes of it is what it would be if the MTA had
 * asked the links one after the other (milter-protocol, 4.2 and 6.1).
 *
 * @module
 */
import type { EnvelopeAddress } from "../filter/mod.ts";
import {
  type Agreement,
  type Frame,
  type FrameWriter,
  OwnFrame,
  SMFIC,
  SMFIP,
  wantsReply,
} from "../protocol/mod.ts";
import type { ChainOptions, ShadowEntry } from "./plan.ts";
import type { ConnectionFacts } from "./connection_facts.ts";
import { ChainMail, type MailView } from "./mail.ts";
import type { Member } from "./member.ts";
import { type Answer, objects } from "./member_mail.ts";
import { HEADER_EDITS } from "./negotiation.ts";
import type { FactStage, MailFacts, Selector } from "./selector.ts";
import { SpoolFull } from "./spool.ts";
import type { Steps, Wait } from "./steps.ts";

/** What a command comes to. Without any of it, the mail goes on. */
export interface Outcome {
  /** A link's answer that is the chain's. */
  readonly answer?: Answer;
  /** The link that gave it; undefined where the chain itself did. */
  readonly member?: Member;
  /** The answer is about this command alone (a recipient, DATA); else about the mail. */
  readonly commandOnly?: boolean;
  /** Nobody looks at the rest of the mail, or of its body. */
  readonly rest?: "accept" | "skip";
}

/** What a shadow link is to look at; or why it is not. */
export interface Shot {
  readonly shadow: ShadowEntry;
  readonly view?: MailView;
  readonly reason?: string;
}

/** What a mail passes through. */
export interface Passage {
  readonly options: ChainOptions;
  readonly members: readonly Member[];
  readonly connection: ConnectionFacts;
  /** What was negotiated with the MTA. */
  readonly agreement: Agreement;
}

/** The stage that a mail has reached with each command. */
const STAGE_OF: ReadonlyMap<number, FactStage> = new Map([
  [SMFIC.MAIL, "mail"],
  [SMFIC.RCPT, "rcpt"],
  [SMFIC.DATA, "data"],
  [SMFIC.HEADER, "data"],
  [SMFIC.EOH, "endOfHeaders"],
  [SMFIC.BODY, "body"],
  [SMFIC.BODYEOB, "endOfMessage"],
]);

const GOES_ON: Outcome = Object.freeze({});

/** The open mail of a connection, and where its links stand. */
export class MailPass {
  readonly mail: ChainMail;
  /** What shadow links are to look at, once the mail has its answer. */
  readonly shots: Shot[] = [];
  readonly #passage: Passage;
  #stage: FactStage = "mail";
  /** The link whose turn it is with the content. */
  #turn = 0;

  /** @param now When the mail begins, ms. */
  constructor(passage: Passage, now: number) {
    this.#passage = passage;
    const { options, connection, members } = passage;
    this.mail = new ChainMail(connection, options.spool, now);
    for (const member of members) {
      member.begin();
      const { canary } = member.entry;
      if (canary === undefined || canary === 1 || options.random() < canary) continue;
      member.mail.concerned = false;
      member.mail.reason = shareText(canary);
    }
  }

  /** Takes a command of the mail. */
  *take(frame: Frame, out: FrameWriter): Steps<Outcome> {
    const { mail } = this;
    this.#stage = STAGE_OF.get(frame.code)!;
    try {
      switch (frame.code) {
        case SMFIC.MAIL:
          mail.open(frame);
          return yield* this.#envelope(frame.code);
        case SMFIC.RCPT:
          return yield* this.#recipient(frame);
        case SMFIC.DATA:
          mail.data = OwnFrame.copy(frame);
          for (const member of this.#passage.members) member.mail.data = false;
          return yield* this.#envelope(frame.code);
        case SMFIC.BODYEOB:
          return yield* this.#end(frame, out);
        default:
          return (yield* this.#keep(frame)) ?? this.#rest(frame.code);
      }
    } catch (error) {
      if (!(error instanceof SpoolFull)) throw error;
      return this.#overfull(error.message, frame.code);
    }
  }

  /**
   * Takes a field that nobody answers, in one call: the way of most frames. Undefined if it is done, a wait while the link
   * has no room for more, false if it takes more than that.
   */
  quick(frame: Frame): Wait | undefined | false {
    const { mail } = this;
    const member = this.#current;
    if (member === undefined || !member.open) return false;
    const { live, headers, concerned } = member.mail;
    // A link that may yet be concerned hears of it later.
    const later = concerned === undefined && !live;
    if (!later && !(live && headers && !member.asks(SMFIC.HEADER))) return false;
    if (mail.headers.bytes + frame.end - frame.start > this.#passage.options.limits.headers) return false;
    mail.size += frame.end - frame.start;
    mail.headers.add(frame);
    const full = later ? undefined : member.tellField(frame);
    return full === undefined ? undefined : member.wait(full);
  }

  /** Tells all links that are still at it that the mail ends otherwise. */
  *abort(): Steps {
    for (const member of this.#passage.members) yield* member.abort();
  }

  /** Lets go of all that is kept. */
  release(): void {
    this.mail.body.release();
    for (const { view } of this.shots) view?.body.release();
  }

  /** MAIL and DATA: each link in turn that has to answer, those included that it has only now become clear for. */
  *#envelope(code: number): Steps<Outcome> {
    for (const member of this.#passage.members) {
      if (!member.open || member.patient || this.#concern(member) !== true) continue;
      const answer = yield* member.catchUp(this.mail);
      if (answer === undefined) continue;
      // After a refused DATA the mail stays open: more recipients may follow (Sendmail).
      const commandOnly = code === SMFIC.DATA && answer.command === SMFIC.DATA &&
        answer.verdict !== "discard";
      return { answer, member, commandOnly };
    }
    return GOES_ON;
  }

  *#recipient(frame: Frame): Steps<Outcome> {
    const { mail } = this;
    const { members, connection, options } = this.#passage;
    const candidate = mail.candidate(frame);
    // With SMFIP_RCPT_REJ the MTA also shows those that it has refused itself; they do not count.
    const refused = connection.macros.get("rcpt_mailer") === "error";
    if (!refused && mail.recipients.length >= options.limits.recipients) {
      return { answer: tooMany(options.limits.recipients), commandOnly: true };
    }
    for (const member of members) {
      if (!member.open || member.patient) continue;
      if (refused && (member.agreement.protocol & SMFIP.RCPT_REJ) === 0) continue;
      if (this.#concern(member, refused ? undefined : candidate.address) !== true) continue;
      const answer = (yield* member.catchUp(mail)) ??
        (member.open ? yield* member.recipient(candidate.macros, candidate.frame) : undefined);
      if (answer === undefined || !objects(answer)) continue;
      const commandOnly = answer.command === SMFIC.RCPT && answer.verdict !== "discard";
      if (commandOnly) mail.refused++;
      this.#countRecipients();
      return { answer, member, commandOnly };
    }
    if (!refused) mail.accept(candidate);
    this.#countRecipients();
    return GOES_ON;
  }

  /** Links that hear of recipients as they come know them all. */
  #countRecipients(): void {
    for (const { mail } of this.#passage.members) {
      if (mail.told) mail.recipients = this.mail.recipients.length;
    }
  }

  /** Header and body: kept for those whose turn comes, and given to the one whose turn it is. */
  *#keep(frame: Frame): Steps<Outcome | undefined> {
    const { mail } = this;
    const { limits } = this.#passage.options;
    const member = this.#current;
    const live = member?.mail.live === true;
    mail.size += frame.end - frame.start;
    if (frame.code === SMFIC.HEADER) {
      mail.headers.add(frame);
      if (mail.headers.bytes > limits.headers) {
        throw new SpoolFull(`its header has over ${limits.headers} bytes (limits.headers)`);
      }
    } else if (frame.code === SMFIC.EOH) mail.endOfHeaders = OwnFrame.copy(frame);
    else if (this.#bodyIsKept(live)) yield* mail.body.append(frame);
    if (!live || member === undefined) return yield* this.#settle();
    const answer = yield* member.piece(mail, frame);
    if (answer === undefined) return undefined;
    if (member.mail.note(answer)) return { answer, member };
    return member.mail.closed ? yield* this.#settle() : undefined;
  }

  /** Does anybody still need the body later? */
  #bodyIsKept(live: boolean): boolean {
    const { options, members } = this.#passage;
    if (options.shadows.length > 0) return true;
    const first = live ? this.#turn + 1 : this.#turn;
    return members.some((member, i) => i >= first && member.open && member.gets(SMFIC.BODY));
  }

  get #current(): Member | undefined {
    return this.#passage.members[this.#turn];
  }

  /** What the MTA need not send any more. */
  #rest(code: number): Outcome {
    const { members, options, agreement } = this.#passage;
    if (options.shadows.length > 0 || !wantsReply(code, agreement.protocol)) return GOES_ON;
    const rest = members.slice(this.#turn).filter(({ open }) => open);
    if (rest.length === 0) return { rest: "accept" };
    const enough = code === SMFIC.BODY && (agreement.protocol & SMFIP.SKIP) !== 0 &&
      rest.every((member) => member.mail.skipped || !member.gets(SMFIC.BODY));
    return enough ? { rest: "skip" } : GOES_ON;
  }

  /** Moves on to the link whose turn it is, as far as the facts say, and tells it of the mail as it now is. */
  *#settle(): Steps<Outcome | undefined> {
    const { mail } = this;
    const { members } = this.#passage;
    for (; this.#turn < members.length; this.#turn++) {
      const member = members[this.#turn];
      if (!member.open) continue;
      const concern = this.#concern(member);
      if (concern === false) continue;
      if (concern === undefined || member.mail.live) return undefined;
      // For a link that has heard the envelope as it came, changes of it come too late.
      if (member.mail.told) member.mail.recipients = Infinity;
      const answer = (yield* member.catchUp(mail)) ?? (member.open ? yield* member.content(mail) : undefined);
      if (answer !== undefined) return { answer, member };
      if (member.open) return undefined;
    }
    return undefined;
  }

  *#end(frame: Frame, out: FrameWriter): Steps<Outcome> {
    const { mail } = this;
    // The end may bring a last piece of body.
    if (frame.end > frame.start) {
      const piece = OwnFrame.of(SMFIC.BODY, frame.end - frame.start);
      piece.bytes.set(frame.bytes.subarray(frame.start, frame.end), piece.start);
      const outcome = yield* this.#keep(piece);
      if (outcome !== undefined) return outcome;
    }
    for (;;) {
      const outcome = yield* this.#settle();
      if (outcome !== undefined) return outcome;
      this.#shoot();
      const member = this.#current;
      if (member === undefined) break;
      const answer = yield* member.end(mail);
      if (objects(answer)) return { answer, member };
      yield* mail.apply(answer.edits);
      this.#turn++;
    }
    mail.encodeEdits(out);
    return GOES_ON;
  }

  /** Keeps the mail as it is now for the shadow links whose place is here. */
  #shoot(): void {
    const { options, connection } = this.#passage;
    for (const shadow of options.shadows.slice(this.shots.length)) {
      if (shadow.place > this.#turn) return;
      const { canary = 1, when } = shadow.entry;
      const inShare = canary === 1 || options.random() < canary;
      const facts = {
        ...connection.facts,
        ...this.#mailFacts(this.mail.addresses()),
        stage: "endOfMessage" as const,
      };
      if (!inShare) this.shots.push({ shadow, reason: shareText(canary) });
      else if (when === undefined || when.begin()(facts) === true) {
        this.shots.push({ shadow, view: this.mail.snapshot() });
      } else this.shots.push({ shadow, reason: conditionText(when) });
    }
  }

  #mailFacts(
    recipients: readonly EnvelopeAddress[],
  ): Pick<MailFacts, "sender" | "recipients" | "headers" | "size"> {
    const { mail } = this;
    return {
      sender: mail.from,
      recipients,
      get headers() {
        return mail.fields();
      },
      size: Math.max(mail.size, mail.announced),
    };
  }

  /** The mail is larger than what may be kept of it. */
  #overfull(text: string, command: number): Outcome {
    const { over } = this.#passage.options;
    return { answer: { verdict: over, reply: { kind: over }, text, command, edits: [] } };
  }

  /** Is the mail this link's concern? Decided once. */
  #concern(member: Member, candidate?: EnvelopeAddress): boolean | undefined {
    const { mail, entry: { when } } = member;
    if (mail.concerned === undefined) {
      mail.ask ??= when?.begin();
      mail.concerned = mail.ask === undefined ? true : mail.ask(this.#facts(member, candidate));
      if (mail.concerned === false) mail.reason = conditionText(when!);
    }
    return mail.concerned;
  }

  /** Those that the link's condition has not looked at. */
  #newRecipients({ mail }: Member, candidate: EnvelopeAddress | undefined): EnvelopeAddress[] {
    const since = this.mail.recipients.slice(mail.looked).map(({ address }) => address);
    mail.looked = this.mail.recipients.length;
    if (candidate !== undefined) since.push(candidate);
    return since;
  }

  /** What is known, as a link is to see it: while one before it may still change the header, that is not known. */
  #facts(member: Member, candidate: EnvelopeAddress | undefined): MailFacts {
    const { members, connection } = this.#passage;
    const before = members.slice(this.#turn, Math.max(this.#turn, members.indexOf(member)));
    const unsure = before.some(({ open, agreement }) => open && (agreement.actions & HEADER_EDITS) !== 0);
    const inContent = this.#stage === "endOfHeaders" || this.#stage === "body" ||
      this.#stage === "endOfMessage";
    const stage = unsure && inContent ? "data" : this.#stage;
    return Object.assign(this.#mailFacts(this.#newRecipients(member, candidate)), connection.facts, {
      stage,
    });
  }
}

function shareText(canary: number): string {
  return `not in its share of ${Math.round(canary * 100_000) / 1000} %`;
}

function conditionText({ text }: Selector): string {
  return `not the case: ${text}`;
}

function tooMany(most: number): Answer {
  const text = `452 4.5.3 over ${most} recipients, try again with fewer`;
  return {
    verdict: "tempfail",
    reply: { kind: "replyCode", text: new TextEncoder().encode(text) },
    text,
    command: SMFIC.RCPT,
    edits: [],
  };
}
