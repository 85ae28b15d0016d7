/**
 * A rule, checked and compiled.
 *
 * @module
 */
import type { Condition } from "../../src/conditions/mod.ts";
import type { Accept, Discard, Edit, Reject, Tempfail } from "../../src/filter/mod.ts";

/** The edits that rules make. */
export type RuleEdit = Extract<Edit, { readonly kind: "addHeader" | "insertHeader" | "quarantine" }>;

/** One rule. It has a verdict, or edits, or edits together with `accept`. */
export interface Rule {
  /** Its place in the list, from 1. */
  readonly number: number;
  /** The name from the configuration, or `rule 3`: what the log shows. */
  readonly label: string;
  readonly when: Condition;
  /** Ends the rules where the rule matches; undefined if it only edits. */
  readonly verdict: Accept | Reject | Tempfail | Discard | undefined;
  readonly edits: readonly RuleEdit[];
}
