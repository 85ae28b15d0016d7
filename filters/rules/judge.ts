/**
 * From rules and facts to what is done: the first rule with a verdict wins, as soon as no rule before it can.
 *
 * @module
 */
import type { EnvelopeAddress } from "../../src/filter/mod.ts";
import { evaluate, type Facts } from "../../src/conditions/mod.ts";
import type { Rule } from "./rule.ts";

/** What the rules say of one recipient, or of the mail when none asks for recipients. */
export type Judgement =
  /** A rule that is not known yet can still change it. */
  | { readonly kind: "open" }
  /** Refused or thrown away; the edits do not matter. */
  | { readonly kind: "stopped"; readonly by: Rule }
  /** Passes, with these edits: accepted by a rule, or no rule has a verdict. */
  | { readonly kind: "passed"; readonly by: Rule | undefined; readonly edits: readonly Rule[] };

const OPEN: Judgement = Object.freeze({ kind: "open" });

/**
 * Judges by the facts of one recipient.
 *
 * A rule that matches waits for a rule before it that is not known yet, but not for one with the same kind of verdict:
 * whichever of the two it will be, the mail has the same fate.
 */
export function judge(rules: readonly Rule[], facts: Facts): Judgement {
  const edits: Rule[] = [];
  const waiting: Rule[] = [];
  for (const rule of rules) {
    const matches = evaluate(rule.when, facts);
    if (matches === false) continue;
    if (matches === undefined) {
      waiting.push(rule);
      continue;
    }
    if (rule.edits.length > 0) edits.push(rule);
    if (rule.verdict === undefined) continue;
    if (waiting.some((earlier) => holdsUp(earlier, rule))) return OPEN;
    return rule.verdict.kind === "accept"
      ? { kind: "passed", by: rule, edits }
      : { kind: "stopped", by: rule };
  }
  return waiting.length > 0 ? OPEN : { kind: "passed", by: undefined, edits };
}

/** Must a match of `rule` wait until it is known whether the `earlier` one matches? */
export function holdsUp(earlier: Rule, rule: Rule): boolean {
  if (earlier.verdict !== undefined && earlier.verdict.kind !== rule.verdict?.kind) return true;
  // Edits of a mail that is refused or thrown away are moot.
  return earlier.edits.length > 0 && rule.verdict?.kind === "accept";
}

/** What is done with a whole mail. */
export type Fate =
  | { readonly kind: "open" }
  | { readonly kind: "stopped"; readonly by: Rule }
  | {
    readonly kind: "passed";
    /** The rules that accept the mail for one recipient or more. */
    readonly by: readonly Rule[];
    /** The rules whose edits are made, in their order. */
    readonly edits: readonly Rule[];
    /** Recipients that do not get the mail, because a rule discards it for them alone. */
    readonly removed: readonly { readonly recipient: EnvelopeAddress; readonly by: Rule }[];
  };

/**
 * Joins the judgements of all recipients after RCPT, where there is only one answer. A refusal for one recipient
 * refuses the mail, which the sender learns; a discard, which nobody would learn, is only for its own recipient.
 *
 * @param all The facts, once for each recipient, or once when no rule asks for recipients.
 */
export function judgeMail(rules: readonly Rule[], all: readonly Facts[]): Fate {
  const judgements = all.map((facts) => ({
    recipient: facts.recipients.at(0),
    judgement: judge(rules, facts),
  }));
  const stops = judgements.flatMap(({ judgement }) => judgement.kind === "stopped" ? [judgement.by] : []);
  const refusal = first(stops.filter((rule) => rule.verdict?.kind !== "discard"));
  if (refusal !== undefined) return { kind: "stopped", by: refusal };
  if (judgements.some(({ judgement }) => judgement.kind === "open")) return { kind: "open" };
  const discard = first(stops);
  if (discard !== undefined && stops.length === all.length) return { kind: "stopped", by: discard };
  const by = new Set<Rule>();
  const edits = new Set<Rule>();
  const removed: { recipient: EnvelopeAddress; by: Rule }[] = [];
  for (const { recipient, judgement } of judgements) {
    if (judgement.kind === "stopped" && recipient !== undefined) {
      removed.push({ recipient, by: judgement.by });
    }
    if (judgement.kind !== "passed") continue;
    if (judgement.by !== undefined) by.add(judgement.by);
    for (const rule of judgement.edits) edits.add(rule);
  }
  return { kind: "passed", by: inOrder(by), edits: inOrder(edits), removed };
}

function inOrder(rules: Iterable<Rule>): readonly Rule[] {
  return [...rules].sort((one, other) => one.number - other.number);
}

function first(rules: readonly Rule[]): Rule | undefined {
  return inOrder(rules)[0];
}
