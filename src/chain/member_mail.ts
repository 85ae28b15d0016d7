/**
 * A link's answers, and where they leave it with the open mail.
 *
 * @module
 */
import type { Verdict } from "../filter/mod.ts";
import { type Reply, SMFIC } from "../protocol/mod.ts";
import type { LinkReport } from "../session/plan.ts";
import type { Failure } from "../session/policy.ts";
import { HOOK_OF_COMMAND } from "../session/wants.ts";

/** A link's answer to a command. */
export interface Answer {
  readonly verdict: Verdict["kind"];
  /** As it goes to the MTA. */
  readonly reply: Reply;
  /** The reply for the SMTP client, if the link gave one. */
  readonly text: string | undefined;
  /** Byte of the command. */
  readonly command: number;
  /** At the end of a message: the edits, values as the chain's links and the MTA write them. */
  readonly edits: readonly Reply[];
}

/** Does the answer end the mail for every link? */
export function objects({ verdict }: Answer): boolean {
  return verdict === "reject" || verdict === "tempfail" || verdict === "discard";
}

/** Where a link stands with the open mail. */
export class MemberMail {
  /** Undefined while the facts do not decide it. */
  concerned: boolean | undefined;
  reason: string | undefined;
  /** MAIL, or its turn in place of it, has come. */
  told = false;
  recipients = 0;
  data = false;
  /** It gets the content as it comes. */
  live = false;
  headers = false;
  endOfHeaders = false;
  body = false;
  skipped = false;
  /** It has said its last word on this mail. */
  closed = false;
  last: Answer | undefined;
  refused = 0;
  edits = 0;
  ms = 0;
  failure: Failure | undefined;

  /** Notes what an answer means for the link's part in the mail. True if it objects. */
  note(answer: Answer): boolean {
    if (answer.verdict === "continue") return false;
    this.last = answer;
    if (answer.verdict === "skip") this.skipped = true;
    else if (answer.command !== SMFIC.DATA || !objects(answer)) this.closed = true;
    return objects(answer);
  }

  /** Notes the answer to the end of the message. */
  end(answer: Answer): void {
    this.closed = true;
    this.last = answer;
    this.edits = countOf(answer.edits);
  }

  /** What the link did with the mail. */
  report(link: string, mode: LinkReport["mode"], gone: boolean): LinkReport {
    const { concerned, reason, told, closed, last, refused, edits, ms, failure } = this;
    const part = gone || concerned === false
      ? "unconcerned"
      : last !== undefined && last.verdict !== "skip"
      ? "answered"
      : told && closed
      ? "working"
      : "waiting";
    return {
      link,
      mode,
      part,
      reason: gone ? "it has accepted the whole connection" : reason,
      stage: last && HOOK_OF_COMMAND.get(last.command),
      verdict: last?.verdict ?? "none",
      reply: last?.text,
      refused,
      edits,
      ms: Math.round(ms * 1000) / 1000,
      failure,
    };
  }
}

/** How many edits these are; a body comes in several pieces. */
function countOf(edits: readonly Reply[]): number {
  return edits.filter(({ kind }, i) => kind !== "replaceBody" || edits[i - 1]?.kind !== "replaceBody").length;
}
