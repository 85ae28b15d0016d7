/**
 * Failure policy: the one place where a filter's failure becomes an outcome for the mail.
 *
 * @module
 */

/** What happens to the mail when its filter fails. `accept`: as if the filter were not there. */
export type Outcome = "tempfail" | "accept" | "reject";

/** How a filter can fail. */
export type FailureKind =
  /** A hook threw, or its promise was rejected. */
  | "error"
  /** A hook did not answer in time. */
  | "timeout"
  /** A hook returned what is no verdict, or none that is legal at its stage. */
  | "bad-verdict"
  /** The mail is larger than the limits for what the filter wants kept. */
  | "limit";

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

/** The same outcome for every kind. Without a configuration it is tempfail: the MTA keeps the mail and tries again. */
export function uniformPolicy(outcome: Outcome = "tempfail"): FailurePolicy {
  return Object.freeze({ error: outcome, timeout: outcome, "bad-verdict": outcome, limit: outcome });
}
