/**
 * Conditions on mail: true, false, or not known yet. Pure, and without packages.
 *
 * @module
 */
import type { Client, EnvelopeAddress, HeaderField, HeaderList, Macros } from "../filter/mod.ts";
import { type MacroLeaf, macroOf, placeOf } from "./macros.ts";
import type { Pattern } from "./patterns.ts";
import { type Stage, STAGES } from "./stages.ts";

/** The most fields of one name that a header condition looks at, from the top. */
export const MAX_FIELDS = 100;

/**
 * What is asked of a mail. Lists of patterns and networks mean: one of them. But for its functions it is plain data, so
 * that two conditions with the same JSON are the same.
 */
export type Condition = Combination | Leaf;
type Combination =
  | { readonly kind: "all" | "any"; readonly of: readonly Condition[] }
  | { readonly kind: "not"; readonly of: Condition };
/** A condition without others in it. */
export type Leaf =
  | { readonly kind: "client"; readonly networks: NetworkSet }
  | { readonly kind: "clientHost"; readonly patterns: readonly Pattern[] }
  | { readonly kind: "helo"; readonly patterns: readonly Pattern[] }
  | ({ readonly kind: "sender" } & AddressTest)
  | ({ readonly kind: "recipient" } & AddressTest)
  | { readonly kind: "header"; readonly name: string; readonly patterns: readonly Pattern[] }
  | { readonly kind: "headerMissing"; readonly names: readonly string[] }
  | { readonly kind: "sizeOver" | "sizeUnder"; readonly bytes: number }
  | MacroLeaf;
type AddressTest = { readonly part: "address" | "domain"; readonly patterns: readonly Pattern[] };

/** Networks, ready to be asked. */
export interface NetworkSet {
  /** Each as an administrator would write it. */
  readonly sources: readonly string[];
  /** Is the address in one of them? False for what is no IP address. */
  has(address: string | undefined): boolean;
}

/** What is known of a mail at a stage. */
export interface Facts {
  /** The stage that is reached: everything the MTA sends up to it is known. */
  readonly stage: Stage;
  readonly client: Client | undefined;
  readonly helo: string | undefined;
  readonly sender: EnvelopeAddress | undefined;
  /**
   * To judge one recipient: that one. To judge a mail for which recipients still come: those that came since the last
   * look; one that matches is remembered in `known`.
   */
  readonly recipients: readonly EnvelopeAddress[];
  /** No other recipient can change the answer: the judged one is there, or DATA is reached. */
  readonly recipientsComplete: boolean;
  readonly headers: HeaderList;
  readonly macros: Macros;
  /** The mail has at least so many bytes; at the end of the message exactly so many, or more if it said so itself. */
  readonly size: number;
  /**
   * Answers so far that cannot change within this mail, so that no pattern runs twice. Empty at MAIL; before it, where a
   * HELO may be followed by another, empty at each look.
   */
  readonly known: Map<Condition, boolean>;
}

/** Is the condition true? Undefined while the facts do not decide it; once they do, more facts change nothing. */
export function evaluate(condition: Condition, facts: Facts): boolean | undefined {
  switch (condition.kind) {
    case "all":
      return every(condition.of, facts, true);
    case "any":
      return every(condition.of, facts, false);
    case "not": {
      const inner = evaluate(condition.of, facts);
      return inner === undefined ? undefined : !inner;
    }
    case "recipient": {
      if (facts.known.get(condition)) return true;
      const matches = facts.recipients.some((recipient) => addressMatches(condition, recipient));
      if (facts.recipientsComplete) return matches;
      if (matches) facts.known.set(condition, true);
      return matches || undefined;
    }
    default: {
      const before = facts.known.get(condition);
      if (before !== undefined) return before;
      const now = evaluateLeaf(condition, facts);
      if (now !== undefined) facts.known.set(condition, now);
      return now;
    }
  }
}

/** `wanted` if all are `wanted`, the opposite as soon as one is, else undefined: "all" for true, "any" for false. */
function every(conditions: readonly Condition[], facts: Facts, wanted: boolean): boolean | undefined {
  let open = false;
  for (const condition of conditions) {
    const answer = evaluate(condition, facts);
    if (answer === !wanted) return !wanted;
    if (answer === undefined) open = true;
  }
  return open ? undefined : wanted;
}

function evaluateLeaf(leaf: Exclude<Leaf, { kind: "recipient" }>, facts: Facts): boolean | undefined {
  if (!reached(facts, firstStageOf(leaf))) return undefined;
  switch (leaf.kind) {
    case "client":
      return leaf.networks.has(facts.client?.address);
    case "clientHost":
      return matchesAny(leaf.patterns, facts.client?.host ?? "");
    case "helo":
      return matchesAny(leaf.patterns, facts.helo ?? "");
    case "sender":
      return facts.sender !== undefined && addressMatches(leaf, facts.sender);
    case "header":
      return fields(facts.headers, leaf.name).some((field) => fieldMatches(field, leaf.patterns));
    case "headerMissing":
      return leaf.names.some((name) => !facts.headers.has(name));
    case "sizeOver":
      // A mail only grows: what is over the limit stays over it.
      if (facts.size > leaf.bytes) return true;
      return reached(facts, "endOfMessage") ? false : undefined;
    case "sizeUnder":
      if (facts.size >= leaf.bytes) return false;
      return reached(facts, "endOfMessage") ? true : undefined;
    default: {
      const name = macroOf(leaf);
      const value = facts.macros.get(name);
      if (value === undefined) return reached(facts, placeOf(name).known.at(-1)!) ? false : undefined;
      return "patterns" in leaf ? matchesAny(leaf.patterns, value) : value !== "";
    }
  }
}

/** The stage at which the answer of a leaf can be known first. */
export function firstStageOf(leaf: Leaf): Stage {
  switch (leaf.kind) {
    case "client":
    case "clientHost":
      return "connect";
    case "helo":
      return "helo";
    case "sender":
    case "sizeOver":
    case "sizeUnder":
      return "mail";
    case "recipient":
      return "rcpt";
    case "header":
    case "headerMissing":
      return "endOfHeaders";
    default:
      return placeOf(macroOf(leaf)).known[0];
  }
}

function reached(facts: Facts, stage: Stage): boolean {
  return STAGES.indexOf(facts.stage) >= STAGES.indexOf(stage);
}

/** Does one of the patterns match? */
export function matchesAny(patterns: readonly Pattern[], text: string): boolean {
  return patterns.some((pattern) => pattern.matches(text));
}

function addressMatches(leaf: AddressTest, address: EnvelopeAddress): boolean {
  return matchesAny(leaf.patterns, leaf.part === "domain" ? address.domain : address.address);
}

function fields(headers: HeaderList, name: string): readonly HeaderField[] {
  return headers.all(name).slice(0, MAX_FIELDS);
}

/** Tries the value with encoded words decoded, and as it was sent where that differs. */
function fieldMatches(field: HeaderField, patterns: readonly Pattern[]): boolean {
  const { text, value } = field;
  return matchesAny(patterns, text) || (text !== value && matchesAny(patterns, value));
}

/** A condition that is always true. */
export const ALWAYS: Condition = Object.freeze({ kind: "all", of: [] });
