/**
 * Random values of the protocol: texts, commands, replies, and what a bad day makes of a good session.
 *
 * @module
 */
import fc from "fast-check";
import type { Command, MacroPair, Reply } from "../../src/protocol/mod.ts";

/** Any bytes, NUL too. */
export const bytes: fc.Arbitrary<Uint8Array> = fc.uint8Array({ maxLength: 60 });

/** Bytes that can be closed by a NUL, mostly not UTF-8. */
export const text: fc.Arbitrary<Uint8Array> = fc.uint8Array({ min: 1, maxLength: 40 });

const name: fc.Arbitrary<Uint8Array> = fc.uint8Array({ min: 1, minLength: 1, maxLength: 20 });
const u32: fc.Arbitrary<number> = fc.oneof(
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xffffffff),
);
const port: fc.Arbitrary<number> = fc.integer({ min: 0, max: 0xffff });
const texts: fc.Arbitrary<Uint8Array[]> = fc.array(text, { maxLength: 8 });
const pair: fc.Arbitrary<MacroPair> = fc.tuple(text, text);

/** Records as literals make them, never with a null prototype. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(model, { noNullPrototype: true });
}

function kind<K extends string>(value: K): fc.Arbitrary<K> {
  return fc.constant(value);
}

/** Any command. */
export const command: fc.Arbitrary<Command> = fc.oneof(
  record({ kind: kind("negotiate"), version: u32, actions: u32, protocol: u32 }),
  record({
    kind: kind("macros"),
    stage: fc.integer({ min: 0, max: 255 }),
    pairs: fc.array(pair, { maxLength: 6 }),
  }),
  record({
    kind: kind("connect"),
    host: text,
    family: fc.constantFrom("inet" as const, "inet6" as const, "unix" as const),
    port,
    address: text,
  }),
  record({
    kind: kind("connect"),
    host: text,
    family: fc.constant("unknown" as const),
    port: fc.constant(0),
    address: fc.constant(new Uint8Array(0)),
  }),
  record({ kind: kind("helo"), name: text }),
  record({ kind: kind("mail"), address: text, args: texts }),
  record({ kind: kind("rcpt"), address: text, args: texts }),
  record({ kind: kind("data") }),
  record({ kind: kind("unknown"), command: text }),
  record({ kind: kind("header"), name, value: bytes }),
  record({ kind: kind("endOfHeaders") }),
  record({ kind: kind("body"), chunk: bytes }),
  record({ kind: kind("endOfMessage"), chunk: bytes }),
  record({ kind: kind("abort") }),
  record({ kind: kind("quit") }),
  record({ kind: kind("quitNewConnection") }),
);

const args: fc.Arbitrary<Uint8Array | undefined> = fc.option(text, { nil: undefined });

/** Any reply. */
export const reply: fc.Arbitrary<Reply> = fc.oneof(
  record({
    kind: kind("negotiate"),
    version: u32,
    actions: u32,
    protocol: u32,
    macros: fc.array(record({ stage: u32, names: text }), { maxLength: 7 }),
  }),
  record({
    kind: fc.constantFrom(
      "continue" as const,
      "accept" as const,
      "reject" as const,
      "tempfail" as const,
      "discard" as const,
      "skip" as const,
      "progress" as const,
      "shutdown" as const,
      "connectionFailed" as const,
    ),
  }),
  record({ kind: kind("replyCode"), text }),
  record({ kind: kind("quarantine"), reason: text }),
  record({ kind: kind("addHeader"), name, value: text }),
  record({ kind: kind("insertHeader"), index: u32, name, value: text }),
  record({ kind: kind("changeHeader"), index: u32, name, value: text }),
  record({ kind: kind("replaceBody"), chunk: bytes }),
  record({ kind: kind("changeSender"), address: text, args }),
  record({ kind: kind("addRecipient"), address: text }),
  record({ kind: kind("addRecipientWithArgs"), address: text, args }),
  record({ kind: kind("removeRecipient"), address: text }),
);

/** Sizes of the pieces in which bytes arrive; used round and round. */
export const cuts: fc.Arbitrary<number[]> = fc.array(
  fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 40_000 })),
  { minLength: 1, maxLength: 12 },
);

/** Cuts bytes into pieces of the given sizes, round and round. */
export function* pieces(all: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, i = 0; at < all.length; i++) {
    const end = at + sizes[i % sizes.length];
    yield all.subarray(at, end);
    at = end;
  }
}

/** One way to spoil bytes; positions are parts of the whole, from 0 to 1. */
export type Damage =
  | { readonly kind: "set"; readonly at: number; readonly byte: number }
  | { readonly kind: "cut"; readonly at: number; readonly length: number }
  | { readonly kind: "repeat"; readonly at: number; readonly length: number }
  | { readonly kind: "insert"; readonly at: number; readonly bytes: Uint8Array };

const place: fc.Arbitrary<number> = fc.double({ min: 0, max: 1, noNaN: true });
const few: fc.Arbitrary<number> = fc.integer({ min: 1, max: 20 });

/** Some damage. */
export const damage: fc.Arbitrary<Damage[]> = fc.array(
  fc.oneof(
    record({ kind: kind("set"), at: place, byte: fc.integer({ min: 0, max: 255 }) }),
    record({ kind: kind("cut"), at: place, length: few }),
    record({ kind: kind("repeat"), at: place, length: few }),
    record({ kind: kind("insert"), at: place, bytes }),
  ),
  { minLength: 1, maxLength: 5 },
);

/** The bytes after the damage. */
export function spoil(good: Uint8Array, damages: readonly Damage[]): Uint8Array {
  let list = [...good];
  for (const harm of damages) {
    const at = Math.floor(harm.at * list.length);
    if (harm.kind === "set") list[Math.min(at, list.length - 1)] = harm.byte;
    else if (harm.kind === "cut") list.splice(at, harm.length);
    else if (harm.kind === "repeat") list.splice(at, 0, ...list.slice(at, at + harm.length));
    else list = [...list.slice(0, at), ...harm.bytes, ...list.slice(at)];
  }
  return Uint8Array.from(list);
}
