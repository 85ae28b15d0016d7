/**
 * What a reload changes, in words.
 *
 * @module
 */
import type { Config, LinkConfig } from "../../config/schema.ts";
import { type Address, formatAddress } from "../../transport/address.ts";

/** What is said when a key has another value; nothing where the list is empty. */
type Words = {
  readonly [Key in keyof Required<Config>]: (before: Config[Key], after: Config[Key]) => string[];
};

/**
 * Every key has its line here: one that is new does not compile until somebody has said what a reload makes of it.
 * `Runtime` puts all of them into effect or refuses.
 */
const WORDS: Words = {
  filters: filterWords,
  listen: (before, after) => {
    const [old, now] = [before.map(formatAddress), after.map(formatAddress)];
    return [
      ...now.filter((address) => !old.includes(address)).map((address) => `listening on ${address}`),
      ...old.filter((address) => !now.includes(address)).map((address) =>
        `no longer listening on ${address}`
      ),
    ];
  },
  control: (before, after) => {
    const text = (address?: Address) => address && formatAddress(address);
    if (text(before) === text(after)) return [];
    return [after === undefined ? "no control socket any more" : `control socket ${text(after)}`];
  },
  threads: other("threads"),
  socket: other("socket"),
  spool: other("spool"),
  limits: other("limits"),
  cache: other("cache"),
  lock: other("lock"),
  jsr: other("jsr"),
  log: other("log"),
};

/** What is different after a reload, part by part. Every filter is named: each has been started anew. */
export function changeWords(before: Config, after: Config): string[] {
  const keys = Object.keys(WORDS) as (keyof Config)[];
  return keys.flatMap((key) => wordsOf(key, before, after));
}

function wordsOf<Key extends keyof Config>(key: Key, before: Config, after: Config): string[] {
  return WORDS[key](before[key], after[key]);
}

function other(key: keyof Config): (before: unknown, after: unknown) => string[] {
  return (before, after) => same(before, after) ? [] : [`${key} changed`];
}

function filterWords(before: readonly LinkConfig[], after: readonly LinkConfig[]): string[] {
  const old = new Map(before.map((filter) => [filter.name, filter]));
  const words = after.map((filter) => {
    const known = old.get(filter.name);
    if (known === undefined) return `${filter.kind} ${filter.name} added`;
    // Deno keeps a module once it is imported, and what that imports is not looked at (inline_code.ts).
    const code = filter.kind === "filter" && filter.isolation === "none" && filter.use.kind === "path"
      ? " (same code: isolation none)"
      : "";
    return `${filter.kind} ${filter.name} ${same(known, filter) ? "restarted" : "changed"}${code}`;
  });
  const names = new Set(after.map(({ name }) => name));
  const kept = before.filter(({ name }) => names.has(name)).map(({ name }) => name);
  const order = after.filter(({ name }) => old.has(name)).map(({ name }) => name);
  return [
    ...words,
    ...before.filter(({ name }) => !names.has(name)).map(({ kind, name }) => `${kind} ${name} removed`),
    ...(same(kept, order) ? [] : ["order of the filters changed"]),
  ];
}

/** Both come from the same schema, so that the keys of equal values stand in one order; options are as they were written. */
function same(one: unknown, another: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(another);
}
