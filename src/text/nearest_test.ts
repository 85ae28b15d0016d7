import test from "node:test";
import assert from "node:assert/strict";
import { nearest } from "./nearest.ts";

const WORDS = ["tempfail", "accept", "reject", "on_failure", "use", "endOfMessage", "rcpt"];

test("nearest() finds the word behind a slip", () => {
  const slips: readonly (readonly [string, string])[] = [
    ["acept", "accept"],
    ["accpet", "accept"],
    ["Reject", "reject"],
    ["temp-fail", "tempfail"],
    ["onFailure", "on_failure"],
    ["on-failure", "on_failure"],
    ["user", "use"],
    ["end_of_message", "endOfMessage"],
    ["rctp", "rcpt"],
  ];
  for (const [slip, word] of slips) assert.equal(nearest(slip, WORDS), word, slip);
});

test("nearest() finds nothing for words that are far from all", () => {
  for (const word of ["", "x", "zebra", "connections", "-", "e".repeat(100_000)]) {
    assert.equal(nearest(word, WORDS), undefined, word.slice(0, 10));
  }
});
