/**
 * Conditions of rules: true, false, or not known yet.
 *
 * @module
 */
import type { Client, EnvelopeAddress, HeaderField, HeaderList, Need } from "../../src/filter/mod.ts";
import { inNetworks, type Network } from "./networks.ts";
import type { Pattern } from "./patterns.ts";
import { knownWith, only, type Stage, STAGES, type StageSet, union } from "./stages.ts";

/** The most fields of one name that a header condition looks at, from the top. */
export const MAX_FIELDS = 100;

/** What a rule asks. Lists of patterns and networks mean: one of them. */
export type Condition = Combination | Leaf;
type Combination =
  | { readonly kind: "all" | "any"; readonly of: readonly Condition[] }
  | { readonly kind: "not"; readonly of: Condition };
type Leaf =
  | { readonly kind: "client"; readonly networks: readonly Network[] }
  | { readonly kind: "clientHost"; readonly patterns: readonly Pattern[] }
  | { readonly kind: "helo"; readonly patterns: readonly Pattern[] }
  | ({ readonly kind: "sender" } & AddressTest)
  | ({ readonly kind: "recipient" } & AddressTest)
  | { readonly kind: "header"; readonly name: string; readonly patterns: readonly Pattern[] }
  | { readonly kind: "headerMissing"; readonly names: readonly string[] }
  | { readonly kind: "sizeOver" | "sizeUnder"; readonly bytes: number };
type AddressTest = { readonly part: "address" | "domain"; readonly patterns: readonly Pattern[] };

/** What is known of a mail at a stage. */
export interface Facts {
  /** The stage that is reached: everything the MTA sends up to it is known. */
  readonly stage: Stage;
  readonly client: Client | undefined;
  readonly helo: string | undefined;
  readonly sender: EnvelopeAddress | undefined;
  /** The recipient for whom the rules are judged; undefined before RCPT, and where no rule asks for one. */
  readonly recipient: EnvelopeAddress | undefined;
  readonly headers: HeaderList;
  /** The mail has at least so many bytes; at the end of the message exactly so many, or more if it said so itself. */
  readonly size: number;
  /** Answers so far that cannot change within this mail, so that no pattern runs twice. */
  readonly known: Map<Condition, boolean>;
}

/** Is the condition true? Undefined while the facts do not decide it. */
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
    case "recipient":
      if (!reached(facts, "rcpt")) return undefined;
      return facts.recipient !== undefined && addressMatches(condition, facts.recipient);
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
  if (!reached(facts, STAGE_OF[leaf.kind])) return undefined;
  switch (leaf.kind) {
    case "client":
      return inNetworks(leaf.networks, facts.client?.address);
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
  }
}

/** The stage at which the answer of a leaf can be known first. */
const STAGE_OF = {
  client: "connect",
  clientHost: "connect",
  helo: "helo",
  sender: "mail",
  recipient: "rcpt",
  header: "endOfHeaders",
  headerMissing: "endOfHeaders",
  sizeOver: "mail",
  sizeUnder: "mail",
} as const satisfies Record<Leaf["kind"], Stage>;

function reached(facts: Facts, stage: Stage): boolean {
  return STAGES.indexOf(facts.stage) >= STAGES.indexOf(stage);
}

function matchesAny(patterns: readonly Pattern[], text: string): boolean {
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
    default: {
      const stage = only(STAGE_OF[condition.kind]);
      return { true: stage, false: stage };
    }
  }
}

/** A condition that is always true. */
export const ALWAYS: Condition = Object.freeze({ kind: "all", of: [] });

const NEEDS: Readonly<Record<Leaf["kind"], readonly Need[]>> = {
  client: ["client"],
  clientHost: ["client"],
  helo: ["helo"],
  sender: ["sender"],
  recipient: ["recipients"],
  header: ["headers"],
  headerMissing: ["headers"],
  // The sender's SIZE argument, the header, and the body, for which there is a hook.
  sizeOver: ["sender", "headers"],
  sizeUnder: ["sender", "headers"],
};

/** All leaves of a condition. */
export function leavesOf(condition: Condition): readonly Leaf[] {
  switch (condition.kind) {
    case "all":
    case "any":
      return condition.of.flatMap(leavesOf);
    case "not":
      return leavesOf(condition.of);
    default:
      return [condition];
  }
}

/** What the condition reads of the mail. */
export function needsOf(condition: Condition): readonly Need[] {
  return leavesOf(condition).flatMap((leaf) => NEEDS[leaf.kind]);
}

/** Does the answer depend on the recipient? */
export function asksRecipient(condition: Condition): boolean {
  return leavesOf(condition).some((leaf) => leaf.kind === "recipient");
}
