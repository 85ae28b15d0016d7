/**
 * What a session is made from, and whom it reports to.
 *
 * @module
 */
import type { Filter, Log, Verdict } from "../filter/mod.ts";
import type { Failure, FailurePolicy } from "./policy.ts";

/** How much of a mail is kept for hooks that need it whole. */
export interface MailLimits {
  /** Bytes of header names and values. */
  readonly headers: number;
  /** Bytes of body kept for a `message` hook; a `body` hook streams and has no limit. */
  readonly body: number;
  /** Recipients. */
  readonly recipients: number;
  /** Length of a frame, bytes. */
  readonly frame: number;
}

/** A filter ready to serve connections. */
export interface FilterPlan {
  readonly name: string;
  readonly filter: Filter;
  readonly policy: FailurePolicy;
  readonly limits: MailLimits;
}

/** Whom a session reports to, and whose clock it uses. */
export interface SessionHost {
  /** Milliseconds, monotonic. */
  now(): number;
  readonly log: Log;
  /** A mail has ended, or a connection was refused before any. */
  mail(report: MailReport): void;
  /** The filter failed; `cause` is what it threw, if it did. */
  failure(failure: Failure, cause?: unknown): void;
  /** A link that is only tried out has looked at a mail. Without it, that is logged. */
  shadow?(report: LinkReport): void;
}

/** What became of one mail, or of a connection that was refused before any. */
export interface MailReport {
  readonly filter: string;
  readonly queueId: string | undefined;
  readonly client: string | undefined;
  readonly sender: string | undefined;
  /** Recipients accepted, as far as the filter was told of them. */
  readonly recipients: number;
  /** Recipients that the filter refused. */
  readonly refused: number;
  /** Where the verdict fell, as the hook is named; `abort` for a mail that ended without one. */
  readonly stage: string;
  /** Verdict kind; `none` for a mail that ended without one. */
  readonly verdict: Verdict["kind"] | "none";
  /** The reply text that was sent, if any. */
  readonly reply: string | undefined;
  readonly edits: number;
  /** From the mail's first command to its end, milliseconds. */
  readonly ms: number;
  readonly failure: Failure | undefined;
  /** In a chain of several links: what each did, in order. */
  readonly links?: readonly LinkReport[];
  /** In a chain of several links: why the answer is what it is, in words. */
  readonly why?: string;
}

/** What one link of a chain did with one mail. */
export interface LinkReport {
  readonly link: string;
  /** `shadow`: it was only asked what it would do; its answer follows in a record of its own. */
  readonly mode: "enforce" | "shadow";
  /**
   * `unconcerned`: its condition or share left it out. `waiting`: another link, or the client, ended the mail before
   * its turn. `working`: the mail ended while it had not said its last word. `answered`: it has.
   */
  readonly part: "unconcerned" | "waiting" | "working" | "answered";
  /** Why it was left out; undefined if it was not. */
  readonly reason: string | undefined;
  /** The hook of its last word; undefined without one. */
  readonly stage: string | undefined;
  /** Its last word; `none` without one. */
  readonly verdict: Verdict["kind"] | "none";
  readonly reply: string | undefined;
  /** Recipients that it refused. */
  readonly refused: number;
  readonly edits: number;
  /** Time that the mail spent in it, ms. */
  readonly ms: number;
  readonly failure: Failure | undefined;
}
