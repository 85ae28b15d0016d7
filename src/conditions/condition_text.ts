/**
 * Conditions in words.
 *
 * @module
 */
import { printable, show } from "../text/show.ts";
import { formatSize } from "../text/units.ts";
import type { Condition } from "./condition.ts";
import type { Pattern } from "./patterns.ts";

/** The most entries of one list that are named; of the others, their number is. */
const MAX_NAMED = 3;
/** The longest text, in characters; what is longer is cut and marked with `…`. */
const MAX_TEXT = 400;

/** The condition as one line of words, such as `client in 192.0.2.0/24 and not authenticated`, cut where it is long. */
export function conditionText(condition: Condition): string {
  return printable(words(condition), MAX_TEXT);
}

function words(condition: Condition): string {
  switch (condition.kind) {
    case "all":
    case "any": {
      const { kind, of } = condition;
      if (of.length === 0) return kind === "all" ? "always" : "never";
      return of.length === 1 ? words(of[0]) : named(of.map(part), kind === "all" ? " and " : " or ");
    }
    case "not":
      return `not ${part(condition.of)}`;
    case "client":
      return `client in ${named(condition.networks.sources, ", ")}`;
    case "clientHost":
      return `client host ${oneOf(condition.patterns)}`;
    case "helo":
    case "daemon":
      return `${condition.kind} ${oneOf(condition.patterns)}`;
    case "sender":
    case "recipient":
      return `${condition.kind}${condition.part === "domain" ? " domain" : ""} ${oneOf(condition.patterns)}`;
    case "header":
      return `header ${condition.name} ${oneOf(condition.patterns)}`;
    case "headerMissing":
      return `without header ${named(condition.names, ", ")}`;
    case "sizeOver":
      return `size over ${formatSize(condition.bytes)}`;
    case "sizeUnder":
      return `size under ${formatSize(condition.bytes)}`;
    case "authenticated":
    case "tls":
      return condition.kind;
    case "macro":
      return `macro {${condition.name}} ${oneOf(condition.patterns)}`;
  }
}

/** A condition inside another, in brackets where its words would run into theirs. */
function part(condition: Condition): string {
  if ((condition.kind !== "all" && condition.kind !== "any") || condition.of.length === 0) {
    return words(condition);
  }
  return condition.of.length === 1 ? part(condition.of[0]) : `(${words(condition)})`;
}

function oneOf(patterns: readonly Pattern[]): string {
  return `matches ${named(patterns.map(({ source }) => show(source)), ", ")}`;
}

function named(entries: readonly string[], between: string): string {
  const rest = entries.length - MAX_NAMED;
  return rest <= 0 ? entries.join(between) : [...entries.slice(0, MAX_NAMED), `${rest} more`].join(between);
}
