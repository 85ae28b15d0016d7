/**
 * A condition as a chain takes it: which mails concern a link.
 *
 * @module
 */
import type { Need } from "../filter/mod.ts";
import { type Condition, evaluate, type Facts } from "./condition.ts";
import { conditionText } from "./condition_text.ts";
import { macrosOf, needsOf } from "./needs.ts";
import { STAGES } from "./stages.ts";

/** What is known of a mail, by whoever remembers nothing: all recipients so far, each time. */
export type MailFacts = Omit<Facts, "recipientsComplete" | "known">;

/** Says which mails concern a link. */
export interface ConditionSelector {
  /** What it reads of the mail. */
  readonly needs: ReadonlySet<Need>;
  /** The macros it reads, as on the wire: also those that an MTA sends unasked, if it is given no list of another's. */
  readonly macros: readonly string[];
  /** In words. */
  readonly text: string;
  /** Undefined while the facts do not decide it. It is true of a mail if it is so of one of its recipients. */
  evaluate(facts: MailFacts): boolean | undefined;
}

/** The selector of a condition. */
export function selectorOf(condition: Condition): ConditionSelector {
  return {
    needs: new Set(needsOf(condition)),
    macros: [...new Set(Object.values(macrosOf(condition)).flat())],
    text: conditionText(condition),
    evaluate(facts) {
      const { stage, client, helo, sender, recipients, macros, size } = facts;
      return evaluate(condition, {
        stage,
        client,
        helo,
        sender,
        recipients,
        // After DATA no recipient comes any more.
        recipientsComplete: STAGES.indexOf(stage) >= STAGES.indexOf("data"),
        // Put together only if it is looked at.
        get headers() {
          return facts.headers;
        },
        macros,
        size,
        known: new Map(),
      });
    },
  };
}
