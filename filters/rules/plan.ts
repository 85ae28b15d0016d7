/**
 * From rules to what the filter asks of the MTA: hooks, data and edits, and nothing that no rule needs.
 *
 * @module
 */
import {
  asksRecipient,
  knownWith,
  leavesOf,
  macrosToAsk,
  needsOf,
  only,
  type Stage,
  type StageSet,
  turnsOf,
} from "../../src/conditions/mod.ts";
import type { EditName, MacroRequest, Need } from "../../src/filter/mod.ts";
import { holdsUp } from "./judge.ts";
import type { Rule } from "./rule.ts";

/** What the rules ask for. */
export interface Plan {
  readonly hooks: ReadonlySet<Stage>;
  readonly needs: readonly Need[];
  readonly edits: readonly EditName[];
  /** Macros that the MTA does not send by itself; undefined if no rule reads one. */
  readonly macros: MacroRequest | undefined;
  /** Rules are judged for each recipient. */
  readonly perRecipient: boolean;
  /** The sizes that conditions compare with, in bytes. */
  readonly sizes: readonly number[];
}

/** Works the plan out. */
export function planOf(rules: readonly Rule[]): Plan {
  const hooks = new Set<Stage>();
  const edits = new Set<EditName>();
  rules.forEach((rule, index) => {
    const earlier = rules.slice(0, index).filter((before) => holdsUp(before, rule));
    for (const stage of stagesToAct(rule, earlier)) hooks.add(stage);
    for (const edit of rule.edits) edits.add(edit.kind);
    if (rule.edits.length > 0) hooks.add("endOfMessage");
    if (rule.verdict?.kind === "discard" && [rule, ...earlier].some(({ when }) => asksRecipient(when))) {
      // Discarded for some recipients only: they are taken off the mail at its end.
      edits.add("removeRecipient");
      hooks.add("endOfMessage");
    }
  });
  const leaves = rules.flatMap(({ when }) => leavesOf(when));
  const sizes = leaves.flatMap((leaf) =>
    leaf.kind === "sizeOver" || leaf.kind === "sizeUnder" ? [leaf.bytes] : []
  );
  if (sizes.length > 0) hooks.add("body");
  return {
    hooks,
    // The body comes to a hook, piece by piece; it need not be kept.
    needs: [...new Set(rules.flatMap(({ when }) => needsOf(when)))].filter((need) => need !== "body"),
    edits: [...edits],
    macros: macrosToAsk({ kind: "any", of: rules.map(({ when }) => when) }),
    perRecipient: leaves.some((leaf) => leaf.kind === "recipient"),
    sizes,
  };
}

/** The hooks in which a rule's verdict can come to be: it matches, and no rule that holds it up does. */
function stagesToAct(rule: Rule, earlier: readonly Rule[]): StageSet {
  if (rule.verdict === undefined) return [];
  const known = knownWith([turnsOf(rule.when).true, ...earlier.map(({ when }) => turnsOf(when).false)]);
  const { kind } = rule.verdict;
  if (kind === "reject" || kind === "tempfail") return known;
  return only(...known.map((stage) => {
    // At connect a mail cannot be discarded, nor at helo, where an accept would outlast a second HELO.
    if (stage === "helo" || (stage === "connect" && kind === "discard")) return "mail";
    // At RCPT both would be for all recipients, also those still to come.
    return stage === "rcpt" ? "data" : stage;
  }));
}
