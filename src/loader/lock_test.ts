import assert from "node:assert/strict";
import { LoadError } from "./error.ts";
import { EMPTY_LOCK, formatLock, type Lock, type LockedFilter, parseLock } from "./lock.ts";
import { diffLocks, foreignRedirects, formatDiff } from "./lock_diff.ts";

const hash = (digit: string) => `sha256-${digit.repeat(64)}`;
const use = "https://f.example/mod.ts";
const filter: LockedFilter = {
  entry: use,
  archive: hash("a"),
  wishes: { net: ["b:1", "a:2"], state: true },
  redirects: {},
  modules: { "https://f.example/z.ts": hash("2"), [use]: hash("1") },
};
const lock = (changes: Partial<LockedFilter> = {}): Lock => ({
  filters: { [use]: { ...filter, ...changes } },
});

Deno.test("formatLock() writes the same text for the same lock, and parseLock() reads it", () => {
  const turned: Lock = {
    filters: {
      "jsr:@a/b": filter,
      [use]: {
        modules: { [use]: hash("1"), "https://f.example/z.ts": hash("2") },
        redirects: {},
        wishes: { state: true, net: ["a:2", "b:1"] },
        archive: hash("a"),
        entry: use,
      },
    },
  };
  const text = formatLock(turned);
  assert.equal(text, formatLock({ filters: { [use]: filter, "jsr:@a/b": filter } }));
  assert.equal(formatLock(parseLock(text, "millrace.lock")), text);
  assert.match(text, /^\{\n {2}"version": 1,/);
  assert.match(text, /\}\n$/);
  assert.deepEqual(parseLock(formatLock(EMPTY_LOCK), "millrace.lock"), { filters: {} });
});

Deno.test("parseLock() refuses what it cannot vouch for", async (t) => {
  const one = (changes: object) =>
    JSON.stringify({ version: 1, filters: { [use]: { ...filter, ...changes } } });
  const rows: ReadonlyArray<readonly [string, string, string]> = [
    ["not JSON", "{", "it is not JSON"],
    ["merge conflict", "{\n<<<<<<< HEAD\n", "unfinished merge"],
    ["a list", "[]", "expected a JSON object"],
    ["no version", "{}", 'its version is "missing"'],
    ["a newer version", `{"version":2,"filters":{}}`, 'its version is "2", this program reads version 1'],
    ["a version as text", `{"version":"1","filters":{}}`, "this program reads version 1"],
    ["no filters", `{"version":1}`, 'no "filters"'],
    ["filter is text", `{"version":1,"filters":{"a":""}}`, 'the entry of "a" is not an object'],
    ["archive hash", one({ archive: "sha256-1" }), "has no archive hash"],
    ["module hash", one({ modules: { [use]: "x" } }), "modules without a hash"],
    ["entry", one({ entry: "toString" }), "an entry that is none of its modules"],
    ["redirect", one({ redirects: { a: "toString" } }), "leads to none of its modules"],
    ["address", one({ redirects: { a: use } }), "an address that is not a URL"],
    ["long wishes", one({ wishes: { net: ["x".repeat(30_000)] } }), "neither true nor lists"],
    ["wishes", one({ wishes: { net: false } }), "neither true nor lists"],
  ];
  for (const [name, text, reason] of rows) {
    await t.step(name, () =>
      assert.throws(() => parseLock(text, "millrace.lock"), (error) => {
        assert(error instanceof LoadError && error.kind === "lock");
        assert(error.message.startsWith('Cannot read "millrace.lock": '), error.message);
        assert(error.message.includes(reason), error.message);
        return true;
      }));
  }
});

Deno.test("diffLocks() and formatDiff() tell what changed", async (t) => {
  const rows: ReadonlyArray<readonly [string, Lock, Lock, string]> = [
    ["nothing", lock(), lock({ wishes: { state: true, net: ["a:2", "b:1"] } }), ""],
    [
      "a filter comes",
      EMPTY_LOCK,
      lock(),
      `+ ${use}\n  + ${use}\n  + https://f.example/z.ts\n  + wishes for net: a:2, b:1\n  + wishes for state: everything\n`,
    ],
    ["a filter goes", lock(), EMPTY_LOCK, `- ${use}\n`],
    [
      "only the compiler changed",
      lock(),
      lock({ archive: hash("b") }),
      `~ ${use}: same modules, compiled anew\n`,
    ],
    [
      "modules",
      lock(),
      lock({ archive: hash("b"), modules: { [use]: hash("3"), "https://g.example/n.ts": hash("4") } }),
      `~ ${use}\n  ~ ${use}\n  - https://f.example/z.ts\n  + https://g.example/n.ts\n`,
    ],
    [
      "rights",
      lock(),
      lock({ wishes: { net: true, read: ["/etc"] } }),
      `~ ${use}\n  ~ wishes for net: everything (was a:2, b:1)\n  + wishes for read: /etc\n  - wishes for state: everything\n`,
    ],
    [
      "redirects",
      lock({ redirects: { "https://f.example/a": use, "https://f.example/b": use } }),
      lock({
        redirects: { "https://f.example/a": "https://f.example/z.ts", "https://o.example/c": use },
      }),
      `~ ${use}\n  ~ redirect https://f.example/a -> https://f.example/z.ts (was ${use})\n` +
      `  - redirect https://f.example/b -> ${use}\n  + redirect https://o.example/c -> ${use} (another host)\n`,
    ],
    [
      "entry",
      lock(),
      lock({ entry: "https://f.example/z.ts" }),
      `~ ${use}\n  entry ${use} -> https://f.example/z.ts\n`,
    ],
    [
      "nothing steers the terminal",
      EMPTY_LOCK,
      {
        filters: {
          [use]: { ...filter, modules: { [use]: hash("1") }, wishes: { "net\n+ b": ["\x1b[2K\u{202e}"] } },
        },
      },
      `+ ${use}\n  + ${use}\n  + wishes for net\\n+ b: \\u{1b}[2K\\u{202e}\n`,
    ],
  ];
  for (const [name, before, after, expected] of rows) {
    await t.step(name, () => assert.equal(formatDiff(diffLocks(before, after)), expected));
  }
});

Deno.test("foreignRedirects() finds those between hosts, but not those of a jsr: address", () => {
  assert.deepEqual(
    foreignRedirects({
      "https://a.example/1": "https://a.example/2",
      "https://a.example/3": "https://b.example/3",
      "http://127.0.0.1:1/": "http://127.0.0.1:2/",
      "jsr:@a/b": "https://jsr.io/@a/b/1.0.0/mod.ts",
    }),
    [["https://a.example/3", "https://b.example/3"], ["http://127.0.0.1:1/", "http://127.0.0.1:2/"]],
  );
});
