/**
 * Facts for tests.
 *
 * @module
 */
import { type EnvelopeAddress, HeaderField, HeaderList, type Macros } from "../filter/mod.ts";
import type { Condition, Facts } from "./condition.ts";
import type { Stage } from "./stages.ts";
import { when } from "./when.ts";

/** What a test says of a mail; the rest is empty. */
export interface TestFacts {
  readonly client?: string;
  readonly host?: string;
  readonly helo?: string;
  readonly sender?: string;
  readonly recipients?: readonly string[];
  /** Default: from DATA on. */
  readonly recipientsComplete?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly macros?: Readonly<Record<string, string>>;
  readonly size?: number;
  readonly known?: Map<Condition, boolean>;
}

const BEFORE_DATA: readonly Stage[] = ["connect", "helo", "mail", "rcpt"];

/** An address of the envelope. */
export function addressOf(address: string): EnvelopeAddress {
  return {
    raw: new TextEncoder().encode(`<${address}>`),
    address,
    domain: address.slice(address.lastIndexOf("@") + 1).toLowerCase(),
    args: [],
    parameter: () => undefined,
  };
}

/** Macros by name without braces. */
export function macrosFrom(values: Readonly<Record<string, string>>): Macros {
  const map = new Map(Object.entries(values));
  return { get: (name) => map.get(name.replace(/^\{(.*)\}$/, "$1")) };
}

/** The facts at a stage. */
export function factsAt(stage: Stage, facts: TestFacts = {}): Facts {
  const { client, host = "", sender, recipients = [], headers = {}, macros = {} } = facts;
  return {
    stage,
    client: client === undefined ? undefined : { host, family: "inet", address: client, port: 25 },
    helo: facts.helo,
    sender: sender === undefined ? undefined : addressOf(sender),
    recipients: recipients.map(addressOf),
    recipientsComplete: facts.recipientsComplete ?? !BEFORE_DATA.includes(stage),
    headers: new HeaderList(Object.entries(headers).map(([name, value]) => HeaderField.of(name, value))),
    macros: macrosFrom(macros),
    size: facts.size ?? 0,
    known: facts.known ?? new Map(),
  };
}

/** The condition of a `when` that is right. */
export function conditionOf(value: unknown): Condition {
  return when.parse(value);
}
