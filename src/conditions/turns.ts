/**
 * When conditions become known, worked out before there is any mail.
 *
 * @module
 */
import { type Condition, firstStageOf, matchesAny } from "./condition.ts";
import { placeOf } from "./macros.ts";
import { knownWith, only, type StageSet, union } from "./stages.ts";

/** The stages at which a condition can become known to be true, and those at which to be false. */
export interface Turns {
  readonly true: StageSet;
  readonly false: StageSet;
}

/** Works out the {@linkcode Turns}; they decide which hooks a rule needs. */
export function turnsOf(condition: Condition): Turns {
  switch (condition.kind) {
    case "all": {
      const parts = condition.of.map(turnsOf);
      return {
        true: knownWith(parts.map((part) => part.true)),
        false: union(parts.map((part) => part.false)),
      };
    }
    case "any": {
      const parts = condition.of.map(turnsOf);
      return {
        true: union(parts.map((part) => part.true)),
        false: knownWith(parts.map((part) => part.false)),
      };
    }
    case "not": {
      const inner = turnsOf(condition.of);
      return { true: inner.false, false: inner.true };
    }
    case "helo": {
      // A client that says no HELO counts as one that says "", which is only known at MAIL.
      const silent = only("helo", "mail");
      return matchesAny(condition.patterns, "")
        ? { true: silent, false: only("helo") }
        : { true: only("helo"), false: silent };
    }
    case "sizeOver":
      return { true: only("mail", "body", "endOfMessage"), false: only("endOfMessage") };
    case "sizeUnder":
      return { true: only("endOfMessage"), false: only("mail", "body", "endOfMessage") };
    case "macro": {
      const { known } = placeOf(condition.name);
      return { true: known, false: known };
    }
    default: {
      const stage = only(firstStageOf(condition));
      return { true: stage, false: stage };
    }
  }
}
