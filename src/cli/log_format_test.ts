import assert from "node:assert/strict";
import fc from "fast-check";
import { jsonLine, type LogLine, textLine } from "./log_format.ts";

const AT = Date.UTC(2026, 0, 31, 12);

function line(message: string, fields: Record<string, unknown> = {}): LogLine {
  return { time: AT, level: "info", message, fields };
}

Deno.test("textLine() writes one readable line", () => {
  assert.equal(
    textLine(
      line("mail", {
        queue: "4fX1",
        client: "mx.example[192.0.2.7]",
        sender: "<a@b.example>",
        n: 2,
        none: undefined,
      }),
      false,
    ),
    "2026-01-31T12:00:00.000Z info mail queue=4fX1 client=mx.example[192.0.2.7] sender=<a@b.example> n=2\n",
  );
  assert.equal(
    textLine(
      line("x", { a: "two words", b: 'say "hi"', c: "", d: "back\\slash", e: { k: [1, "v"] }, f: null }),
      false,
    ),
    '2026-01-31T12:00:00.000Z info x a="two words" b="say \\"hi\\"" c="" d="back\\\\slash" e={"k":[1,"v"]} f=null\n',
  );
});

Deno.test("textLine() colours the level only when told", () => {
  assert.ok(textLine(line("x"), true).endsWith(" \x1b[32minfo\x1b[0m x\n"));
  assert.ok(!textLine(line("x"), false).includes("\x1b"));
});

Deno.test("a value from the wire can not begin a line of its own, nor steer the terminal", () => {
  const evil = "a\r\n2026-01-31T12:00:00.000Z info mail queue=fake\x1b[2J\x9b\u2028\u202e";
  for (
    const text of [textLine(line(evil, { sender: evil }), false), jsonLine(line(evil, { sender: evil }))]
  ) {
    assert.equal(text.indexOf("\n"), text.length - 1);
    assert.doesNotMatch(text.slice(0, -1), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  }
});

Deno.test("a value can not pass for another field in text", () => {
  assert.match(textLine(line("mail", { sender: "x verdict=accept" }), false), /sender="x verdict=accept"\n$/);
  assert.match(
    textLine(line("mail", { sender: 'x" verdict="accept' }), false),
    /sender="x\\" verdict=\\"accept"\n$/,
  );
});

Deno.test("jsonLine() keeps values, and the record's own time, level and message", () => {
  const fields = { queue: "4fX1", level: "fake", message: "fake", time: 0, sender: "a\nb\u202e" };
  assert.deepEqual(JSON.parse(jsonLine(line("mail", fields))), {
    time: "2026-01-31T12:00:00.000Z",
    level: "info",
    message: "mail",
    queue: "4fX1",
    level_: "fake",
    message_: "fake",
    time_: 0,
    sender: "a\nb\u202e",
  });
});

Deno.test("lines are bounded and never throw, whatever is logged", () => {
  const loop: Record<string, unknown> = { big: "x".repeat(1_000_000) };
  loop.self = loop;
  const hostile = {
    get bad() {
      throw new Error("no");
    },
  };
  const values = [
    loop,
    hostile,
    10n,
    Symbol("s"),
    () => 1,
    NaN,
    new Date(NaN),
    new Uint8Array(9),
    new Error("e\n"),
    Array(1e6).fill(1),
    new Proxy({}, {
      ownKeys: () => ["a"],
      getOwnPropertyDescriptor: () => {
        throw new Error("no");
      },
    }),
  ];
  for (const value of values) {
    for (const make of [(l: LogLine) => textLine(l, false), jsonLine]) {
      const text = make(line("m", { value, again: value }));
      assert.ok(text.length < 20_000, `${text.length}`);
      assert.equal(text.indexOf("\n"), text.length - 1);
    }
  }
  fc.assert(
    fc.property(
      fc.string({ unit: "binary" }),
      fc.object({ withBigInt: true, withDate: true, maxDepth: 2, maxKeys: 4 }),
      (text, fields) => {
        JSON.parse(jsonLine(line(text, fields)));
        assert.equal(textLine(line(text, fields), false).split("\n").length, 2);
      },
    ),
    { numRuns: 50 },
  );
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`k${i}`, "v".repeat(100)]));
  assert.ok(textLine(line("m", many), false).length < 20_000);
  assert.equal(JSON.parse(jsonLine(line("m", many))).truncated, true);
});
