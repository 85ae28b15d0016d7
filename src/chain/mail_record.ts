/**
 * The record of one mail: what each link did with it, and why the answer is what it is.
 *
 * @module
 */
import { letter, SMFIC } from "../protocol/mod.ts";
import type { LinkReport, MailReport, SessionHost } from "../session/plan.ts";
import { failureText } from "../session/policy.ts";
import { HOOK_OF_COMMAND } from "../session/wants.ts";
import type { ChainOptions } from "./plan.ts";
import type { ConnectionFacts } from "./connection_facts.ts";
import type { ChainMail } from "./mail.ts";
import type { Outcome, Shot } from "./mail_pass.ts";
import type { Member } from "./member.ts";

/** What a mail's record is made of. */
export class MailRecord {
  /** The last refusal that left the mail open: of a recipient, or of DATA. */
  refusal: Outcome | undefined;
  readonly #options: ChainOptions;
  readonly #members: readonly Member[];
  readonly #host: SessionHost;
  readonly #connection: ConnectionFacts;

  constructor(
    options: ChainOptions,
    members: readonly Member[],
    host: SessionHost,
    connection: ConnectionFacts,
  ) {
    this.#options = options;
    this.#members = members;
    this.#host = host;
    this.#connection = connection;
  }

  /** The MTA's queue id, if it has sent one. */
  get queueId(): string | undefined {
    return this.#connection.macros.get("i");
  }

  /** The mail, or the connection before any, has its answer. */
  end(
    mail: ChainMail | undefined,
    outcome: Outcome,
    code: number,
    shots: readonly Shot[] = [],
  ): MailReport {
    const { answer, member, rest } = outcome;
    const verdict = answer?.verdict ?? (rest === "accept" ? "accept" : "continue");
    const at = answer?.command ?? code;
    const failure = member?.mail.failure;
    const why = answer === undefined
      ? rest === "accept" ? "no link has anything more to say" : "no link objects"
      : member === undefined
      ? `the chain cannot take it: ${answer.text}`
      : failure === undefined
      ? `link "${member.name}" answers ${verdict} at ${stageOf(at)}`
      : `link "${member.name}" ${failureText(failure)}, and its policy is ${failure.outcome}`;
    return this.#write(mail, { verdict, code: at, outcome, why }, shots);
  }

  /** The mail ends without an answer of its own. */
  breakOff(mail: ChainMail): void {
    const { answer } = this.refusal ?? {};
    const all = answer === undefined || (answer.command === SMFIC.RCPT && mail.recipients.length > 0);
    if (all) {
      const why = "the client, or the mail server, ended the mail";
      this.#write(mail, { verdict: "none", code: SMFIC.ABORT, outcome: {}, why });
    } else this.end(mail, this.refusal!, answer.command);
  }

  #write(
    mail: ChainMail | undefined,
    end: { verdict: MailReport["verdict"]; code: number; outcome: Outcome; why: string },
    shots: readonly Shot[] = [],
  ): MailReport {
    const { client, macros } = this.#connection;
    const { member, answer } = end.outcome;
    const links = this.#links(mail !== undefined, shots);
    const report: MailReport = {
      filter: member?.name ?? "chain",
      queueId: this.queueId,
      client: client?.address ?? client?.host ?? macros.get("client_addr") ?? macros.get("_"),
      sender: mail === undefined ? undefined : mail.original?.address ?? macros.get("mail_addr"),
      recipients: mail?.accepted ?? 0,
      refused: mail?.refused ?? 0,
      stage: stageOf(end.code),
      verdict: end.verdict,
      reply: member === undefined ? undefined : answer?.text,
      edits: end.verdict === "continue" ? links.reduce((sum, { edits }) => sum + edits, 0) : 0,
      ms: mail === undefined ? 0 : this.#host.now() - mail.began,
      failure: links.find(({ failure }) => failure !== undefined)?.failure,
      links,
      why: end.why,
    };
    this.#options.counters.count(links);
    this.#host.mail(report);
    return report;
  }

  /** All links in their order, shadows where their place is. */
  #links(mailOpen: boolean, shots: readonly Shot[]): LinkReport[] {
    const links = this.#members.map((member) => member.report());
    if (!mailOpen) return links;
    for (const [i, { entry, place }] of [...this.#options.shadows.entries()].toReversed()) {
      const reason = shots[i]?.reason;
      const part = reason === undefined ? "waiting" : "unconcerned";
      links.splice(place, 0, { ...SHADOW, link: entry.link.name, reason, part });
    }
    return links;
  }
}

const SHADOW: Omit<LinkReport, "link"> = Object.freeze({
  mode: "shadow",
  part: "waiting",
  reason: undefined,
  stage: undefined,
  verdict: "none",
  reply: undefined,
  refused: 0,
  edits: 0,
  ms: 0,
  failure: undefined,
});

function stageOf(code: number): string {
  return HOOK_OF_COMMAND.get(code) ?? letter(code);
}
