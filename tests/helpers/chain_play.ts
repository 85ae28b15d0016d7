/** Plays an MTA towards a chain, command by command. */
import type { Chain } from "../../src/chain/chain.ts";
import type { ChainEntry } from "../../src/chain/plan.ts";
import type { MailFacts, Selector } from "../../src/chain/selector.ts";
import type { Filter } from "../../src/filter/mod.ts";
import { InlineLink } from "../../src/links/inline.ts";
import type { Command } from "../../src/protocol/mod.ts";
import { type Outcome, uniformPolicy } from "../../src/session/policy.ts";
import { Driver } from "../redteam/driver.ts";

const LIMITS = { headers: 2 ** 20, body: 2 ** 26, recipients: 1000, frame: 2 ** 20 };
const encoder = new TextEncoder();

/** A filter's place in a chain. */
export function entry(
  filter: Filter,
  rest: Partial<ChainEntry> = {},
  policy: Outcome = "tempfail",
): ChainEntry {
  const name = filter.name ?? "link";
  const link = new InlineLink({ name, filter, policy: uniformPolicy(policy), limits: LIMITS });
  return { link, timeout: 1000, ...rest };
}

/** An MTA's connection to a chain. */
export function connected(chain: Chain): Driver {
  return new Driver(chain);
}

export function mail(address = "<a@client.example>", ...args: string[]): Command {
  return { kind: "mail", address: encoder.encode(address), args: args.map((arg) => encoder.encode(arg)) };
}
export function rcpt(address: string): Command {
  return { kind: "rcpt", address: encoder.encode(`<${address}>`), args: [] };
}
export function header(name: string, value: string): Command {
  return { kind: "header", name: encoder.encode(name), value: encoder.encode(value) };
}
export function body(text: string): Command {
  return { kind: "body", chunk: encoder.encode(text) };
}
export const data: Command = { kind: "data" };
export const endOfHeaders: Command = { kind: "endOfHeaders" };
export const end: Command = { kind: "endOfMessage", chunk: new Uint8Array(0) };

/** A filter that notes each of its hooks. */
export function noting(name: string, calls: string[], rest: Filter = {}): Filter {
  const note = (hook: string) => (...args: readonly unknown[]) => {
    const first = args[0] as { readonly address?: string; readonly name?: string };
    calls.push(
      [name, hook, args.length > 1 ? first?.address ?? first?.name : undefined].filter(Boolean).join(" "),
    );
  };
  const hooks = [
    "connect",
    "helo",
    "mail",
    "rcpt",
    "data",
    "header",
    "endOfHeaders",
    "body",
    "endOfMessage",
    "abort",
  ];
  return { name, ...Object.fromEntries(hooks.map((hook) => [hook, note(hook)])), ...rest };
}

/** A condition on the facts, which has to wait for a stage. */
export function when(
  text: string,
  evaluate: (facts: MailFacts) => boolean | undefined,
  needs: Selector["needs"] = new Set(),
): Selector {
  return { needs, macros: [], text, evaluate };
}

export async function said(driver: Driver, ...commands: Command[]): Promise<string[]> {
  const words: string[] = [];
  for (const command of commands) words.push(...await driver.say(command));
  return words;
}
