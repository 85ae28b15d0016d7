/**
 * Links that are tried out: each gets the mail as it was at its place in the chain, once the mail has its answer, in a
 * session of its own. So whatever it does, or however long it takes, nobody waits for it.
 *
 * @module
 */
import type { Agreement, Frame } from "../protocol/mod.ts";
import type { LinkReport, MailReport, SessionHost } from "../session/plan.ts";
import type { ShadowEntry } from "./plan.ts";
import type { ChainCounters } from "./counters.ts";
import type { MailView } from "./mail.ts";
import { Member } from "./member.ts";
import type { Answer } from "./member_mail.ts";
import type { MailFacts } from "./selector.ts";
import { Stepper, type Steps } from "./steps.ts";

/** Mails that may wait for shadow links at once; further ones are passed over. */
export const MOST_SHADOWS = 16;

/** What is known of the mail that a shadow link looks at. */
export interface ShadowMail {
  /** What the links were offered. */
  readonly offer: Frame;
  /** What was agreed with the MTA. */
  readonly agreement: Agreement;
  readonly facts: MailFacts;
  readonly queueId: string | undefined;
  /** What became of the mail without it. */
  readonly verdict: MailReport["verdict"];
}

/** The shadow links at work. */
export class ShadowRuns {
  readonly #host: SessionHost;
  readonly #counters: ChainCounters;
  readonly #running = new Set<ShadowRun>();

  constructor(host: SessionHost, counters: ChainCounters) {
    this.#host = host;
    this.#counters = counters;
  }

  /** Shows a mail to a link; the view's body is released when it is done. */
  start(shadow: ShadowEntry, view: MailView, mail: ShadowMail): void {
    const { entry } = shadow;
    if (this.#running.size >= MOST_SHADOWS) {
      this.#counters.misses(entry.link.name);
      view.body.release();
      return;
    }
    const run = new ShadowRun(entry, view, mail, this.#host, (report) => {
      this.#running.delete(run);
      view.body.release();
      if (report !== undefined) this.#tell(report, mail);
    });
    this.#running.add(run);
    run.begin();
  }

  /** Is any of them at work? */
  get busy(): boolean {
    return this.#running.size > 0;
  }

  /** Looks at the clock, ms. */
  tick(now: number): void {
    for (const run of this.#running) run.tick(now);
  }

  /** Ends what is still at work. */
  close(): void {
    for (const run of this.#running) run.end(undefined);
  }

  #tell(report: LinkReport, { queueId, verdict }: ShadowMail): void {
    this.#counters.count([report]);
    const objects = !["none", "continue", "accept", "skip"].includes(report.verdict);
    const differs = report.part === "answered" && (objects || report.refused > 0 || report.edits > 0);
    if (differs) this.#counters.differs(report.link);
    if (this.#host.shadow !== undefined) return this.#host.shadow(report);
    this.#host.log[differs ? "info" : "debug"](
      differs
        ? `shadow: "${report.link}" would have changed it`
        : `shadow: "${report.link}" would have changed nothing`,
      { queue: queueId ?? "-", was: verdict, ...report, failure: report.failure?.kind },
    );
  }
}

/** One mail in one shadow link. */
class ShadowRun {
  readonly #member: Member;
  readonly #view: MailView;
  readonly #mail: ShadowMail;
  readonly #stepper: Stepper;
  #done: ((report: LinkReport | undefined) => void) | undefined;

  constructor(
    entry: ShadowEntry["entry"],
    view: MailView,
    mail: ShadowMail,
    host: SessionHost,
    done: (report: LinkReport | undefined) => void,
  ) {
    const now = () => host.now();
    // Its failures are part of its report; nothing depends on them.
    this.#member = new Member(entry, { now, log: host.log, mail: () => {}, failure: () => {} });
    this.#view = view;
    this.#mail = mail;
    this.#stepper = new Stepper(now);
    this.#done = done;
  }

  begin(): void {
    this.#watch(() => this.#stepper.run(this.#steps()));
  }

  tick(now: number): void {
    if (now >= this.#stepper.deadline) this.#watch(() => this.#stepper.expire());
  }

  /** Ends the session, and reports what came of it. */
  end(report: LinkReport | undefined): void {
    const done = this.#done;
    if (done === undefined) return;
    this.#done = undefined;
    this.#stepper.drop();
    void this.#member.session.lost();
    done(report);
  }

  #watch(work: () => Promise<void> | undefined): void {
    const finish = () => this.end(this.#member.report("shadow"));
    // What it breaks is its own: the report says how far it came.
    try {
      const pending = work();
      if (pending === undefined) finish();
      else pending.then(finish, finish);
    } catch {
      finish();
    }
  }

  *#steps(): Steps {
    const member = this.#member;
    const { offer, agreement, facts } = this.#mail;
    yield* member.negotiated(member.offer(offer));
    member.agreed(agreement);
    member.begin();
    const { when } = member.entry;
    member.mail.concerned = when === undefined || when.evaluate(facts) === true;
    if (!member.mail.concerned) member.mail.reason = `not the case: ${when!.text}`;
    else yield* this.#look(member);
  }

  *#look(member: Member): Steps<Answer | undefined> {
    const answer = (yield* member.catchUp(this.#view)) ??
      (member.open ? yield* member.content(this.#view) : undefined);
    if (answer !== undefined || !member.open) return answer;
    return yield* member.end(this.#view);
  }
}
