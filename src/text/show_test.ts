import test from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { printable, show } from "./show.ts";

test("printable() leaves one harmless line of bounded length", () => {
  fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 500 }), (text) => {
    const line = printable(text, 100);
    assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
    assert.ok(line.length <= 101 * "\\u{10ffff}".length);
  }));
  assert.equal(printable("a\r\nb\x1b[2J\u202e\x9b"), "a\\r\\nb\\x1b[2J\\u{202e}\\x9b");
  assert.equal(printable("grüße, 世界 ☃ a\\b"), "grüße, 世界 ☃ a\\b");
  assert.equal(printable("x".repeat(300), 10), `${"x".repeat(10)}…`);
});

test("show() quotes text and names the kind of the rest", () => {
  assert.equal(show('a"b'), '"a"b"');
  assert.deepEqual([7, true, null, undefined, [], {}, new Date()].map(show), [
    "7",
    "true",
    "nothing",
    "nothing",
    "a list",
    "a map",
    "a date",
  ]);
});
