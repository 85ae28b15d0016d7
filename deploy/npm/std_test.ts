// What millrace needs of @std, asked of whatever the import map in force gives: JSR's packages or the stand-ins
// beside this file. Both have to pass.
import assert from "node:assert/strict";
import { parseArgs } from "@std/cli/parse-args";
import { assertSpyCalls, spy } from "@std/testing/mock";
import { FakeTime } from "@std/testing/time";
import { parse, YamlSyntaxError } from "@std/yaml";

Deno.test("parse() gives the same values from JSR and from npm", () => {
  const rows: ReadonlyArray<readonly [string, unknown]> = [
    ["", null],
    ["# only a comment\n", null],
    ["mode: 0660", { mode: 432 }],
    ["mode: 0o660", { mode: "0o660" }],
    ["size: 1_000", { size: 1000 }],
    ["from: 10:30", { from: "10:30" }],
    ["month: 08", { month: "08" }],
    ["on: yes", { on: "yes" }],
    ["on: True", { on: true }],
    ["nothing: ~", { nothing: null }],
    ["day: 2026-01-31", { day: new Date("2026-01-31") }],
    ["base: &b {x: 1}\nmore:\n  <<: *b\n  y: 2\n", { base: { x: 1 }, more: { x: 1, y: 2 } }],
    ["text: |\n  two\n  lines\n", { text: "two\nlines\n" }],
    ["- inet:8891@127.0.0.1\n- unix:/run/x", ["inet:8891@127.0.0.1", "unix:/run/x"]],
    ["timeout: 10s\nmemory: 64MiB\r\n", { timeout: "10s", memory: "64MiB" }],
  ];
  for (const [text, value] of rows) assert.deepEqual(parse(text), value, JSON.stringify(text));
});

Deno.test("parse() throws YamlSyntaxError with the place, counted from 1", () => {
  const rows: ReadonlyArray<readonly [string, number, number]> = [
    ["a: 1\na: 2", 2, 1],
    ["a: 1\n b: 2", 2, 3],
    ["listen: [x\nfilters: y\n", 2, 1],
    ["a: 1\nb: @x", 2, 4],
  ];
  for (const [text, line, column] of rows) {
    assert.throws(() => parse(text), (error) => {
      assert(error instanceof YamlSyntaxError && error instanceof SyntaxError);
      assert.deepEqual([error.line, error.column], [line, column], JSON.stringify(text));
      return true;
    });
  }
  assert.throws(() => parse("--- 1\n--- 2\n"), YamlSyntaxError);
});

Deno.test("parseArgs() reads flags as @std/cli does", () => {
  const options = {
    string: ["config", "limit"],
    boolean: ["help", "json", "colour"],
    collect: ["limit"],
    negatable: ["colour"],
    alias: { config: "c", help: "h" },
    default: { colour: true },
  } as const;
  const rows: ReadonlyArray<readonly [string, Record<string, unknown>]> = [
    ["try -c a.yaml x.eml --json", { _: ["try", "x.eml"], config: "a.yaml", c: "a.yaml", json: true }],
    ["--config=a=b.yaml -h", { config: "a=b.yaml", c: "a=b.yaml", help: true, h: true }],
    ["--limit 1 --limit=2", { limit: ["1", "2"] }],
    ["--no-colour 7", { colour: false, _: [7] }],
    ["--json -- --help", { json: true, _: ["--help"] }],
    ["--config", { config: "", c: "" }],
    ["-hc x.yaml -", { help: true, h: true, config: "x.yaml", c: "x.yaml", _: ["-"] }],
  ];
  const nothing = { _: [], help: false, h: false, json: false, colour: true, limit: [] };
  for (const [line, expected] of rows) {
    assert.deepEqual({ ...parseArgs(line.split(" "), options) }, { ...nothing, ...expected }, line);
  }
});

Deno.test("parseArgs() stops early and reports what it does not know", () => {
  const unknown: unknown[] = [];
  const args = parseArgs(["-x", "--what=1", "serve", "--late"], {
    boolean: ["x"],
    stopEarly: true,
    unknown(arg, key) {
      unknown.push([arg, key]);
      return key === undefined;
    },
  });
  assert.deepEqual(args, { _: ["serve", "--late"], x: true });
  assert.deepEqual(unknown, [["--what=1", "what"], ["serve", undefined]]);
});

Deno.test("FakeTime moves the clock, timers and AbortSignal.timeout, and gives them back", async () => {
  const realSetTimeout = globalThis.setTimeout;
  {
    using time = new FakeTime(1000);
    const seen: string[] = [];
    setTimeout(() => seen.push("timeout"), 50);
    const interval = setInterval(() => seen.push("interval"), 40);
    const signal = AbortSignal.timeout(100);
    time.tick(50);
    assert.deepEqual([Date.now(), ...seen], [1050, "interval", "timeout"]);
    clearInterval(interval);
    Promise.resolve().then(() => setTimeout(() => seen.push("late"), 10));
    await time.tickAsync(49);
    assert.deepEqual([seen.at(-1), signal.aborted], ["late", false]);
    time.tick(1);
    assert.equal(signal.reason.name, "TimeoutError");
    assert.equal(time.next(), false);
  }
  assert.equal(globalThis.setTimeout, realSetTimeout);
});

Deno.test("spy() records calls of a function and of a method", () => {
  const add = spy((a: number, b: number) => a + b);
  assert.equal(add(1, 2), 3);
  assertSpyCalls(add, 1);
  assert.deepEqual([add.calls[0].args, add.calls[0].returned], [[1, 2], 3]);
  assert.throws(() => assertSpyCalls(add, 2));

  const counter = {
    count: 1,
    next() {
      return ++this.count;
    },
  };
  {
    using next = spy(counter, "next");
    assert.equal(counter.next(), 2);
    assertSpyCalls(next, 1);
  }
  assert.equal(Object.hasOwn(counter.next, "calls"), false);
});
