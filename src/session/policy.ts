/**
 * Failure policy: the one place where a filter's failure becomes an outcome for the mail.
 *
 * @module
 */

import { accept, reject, tempfail, type Verdict } from "../filter/mod.ts";

/** What happens to the mail when its filter fails. `accept`: as if the filter were not there. */
export type Outcome = "tempfail" | "accept" | "reject";

/** How a filter, or an upstream milter, can fail. */
export type FailureKind =
  /** A hook threw, or its promise was rejected. */
  | "error"
  /** A hook, or an upstream milter, did not answer in time. */
  | "timeout"
  /** A hook returned what is no verdict, or none that is legal at its stage. */
  | "bad-verdict"
  /** The mail is larger than the limits for what the filter wants kept. */
  | "limit"
  /** The sandbox ended by itself, or with another mail's failure; or the connection to an upstream milter broke. */
  | "crash"
  /** The sandbox took more memory than granted. */
  | "memory"
  /** The sandbox, or the upstream milter, answered what the protocol does not allow. */
  | "protocol"
  /** It could not be loaded, started or reached, or is held back after repeated failures. */
  | "unavailable";

/** Every kind, for configurations and checks. */
export const FAILURE_KINDS: readonly FailureKind[] = Object.freeze([
  "error",
  "timeout",
  "bad-verdict",
  "limit",
  "crash",
  "memory",
  "protocol",
  "unavailable",
]);

/** The outcome for each kind of failure. */
export type FailurePolicy = Readonly<Record<FailureKind, Outcome>>;

/** One failure, as logs and counters get it. */
export interface Failure {
  readonly kind: FailureKind;
  readonly filter: string;
  /** The hook that failed, as named in the filter API. */
  readonly hook: string;
  /** What went wrong, in words; from the filter, so not to be trusted. */
  readonly message: string;
  readonly outcome: Outcome;
}

/** `failed in rcpt (timeout)`, or without the hook where none was at work. */
export function failureText({ hook, kind }: Failure): string {
  return `failed${hook === "" ? "" : ` in ${hook}`} (${kind})`;
}

/** The same outcome for every kind. Without a configuration it is tempfail: the MTA keeps the mail and tries again. */
export function uniformPolicy(outcome: Outcome = "tempfail"): FailurePolicy {
  return Object.freeze(Object.fromEntries(FAILURE_KINDS.map((kind) => [kind, outcome])) as FailurePolicy);
}

/** A policy in words, for logs and reports: `tempfail`, or `timeout: accept, otherwise tempfail`. */
export function policyText(policy: FailurePolicy): string {
  const count = (outcome: Outcome): number => FAILURE_KINDS.filter((kind) => policy[kind] === outcome).length;
  const usual = (["tempfail", "accept", "reject"] as const).toSorted((a, b) => count(b) - count(a))[0];
  const others = FAILURE_KINDS.filter((kind) => policy[kind] !== usual);
  if (others.length === 0) return usual;
  return `${others.map((kind) => `${kind}: ${policy[kind]}`).join(", ")}, otherwise ${usual}`;
}

/** A policy's outcome as a verdict; the MTA's own text tells the client no more than that. */
export function verdictOf(outcome: Outcome): Verdict {
  if (outcome === "accept") return accept();
  return outcome === "reject" ? reject() : tempfail();
}
