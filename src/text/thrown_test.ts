import test from "node:test";
import assert from "node:assert/strict";
import { isThrown, thrownMessage, thrownText } from "./thrown.ts";

const boom = (): never => {
  throw new Error("boom");
};
const traps = new Proxy({}, { get: () => boom });

test("errors keep their words, with and without the name", () => {
  const error = new TypeError("no list");
  assert.equal(thrownText(error), "TypeError: no list");
  assert.equal(thrownMessage(error), "no list");
});

test("whatever else is thrown gets the words that it has", () => {
  const rows: [unknown, string][] = [
    ["late", "late"],
    [undefined, "undefined"],
    [null, "null"],
    [7, "7"],
    [7n, "7"],
    [Symbol("s"), "Symbol(s)"],
    [{}, "[object Object]"],
    [["a", "b"], "a,b"],
    [{ toString: () => "own words" }, "own words"],
  ];
  for (const [value, words] of rows) {
    assert.equal(thrownText(value), words);
    assert.equal(thrownMessage(value), words);
  }
});

test("what has no words is said to have none", () => {
  const rows: [unknown, string][] = [
    [Object.create(null), "object"],
    [new Proxy({}, traps), "object"],
    [new Proxy(new Error("hidden"), traps), "object"],
    [new Proxy(() => {}, traps), "function"],
    [Object.defineProperty(new Error("x"), "message", { get: boom }), "object"],
    [Object.assign(new Error("x"), { message: Object.create(null) }), "object"],
    [{ toString: boom }, "object"],
    [{ [Symbol.toPrimitive]: () => ({}) }, "object"],
  ];
  for (const [i, [value, kind]] of rows.entries()) {
    const words = `a thrown ${kind} that cannot be put into words`;
    assert.equal(thrownText(value), words, `row ${i}`);
    assert.equal(thrownMessage(value), words, `row ${i}`);
  }
});

test("long words are cut", () => {
  for (const value of [new Error("x".repeat(5000)), "y".repeat(5000)]) {
    for (const words of [thrownText(value), thrownMessage(value)]) {
      assert.equal(words.length, 1000);
      assert.equal(words.at(-1), "…");
    }
  }
  assert.equal(thrownText("z".repeat(1000)), "z".repeat(1000));
});

test("isThrown() is instanceof, and no for what cannot be asked", () => {
  assert.equal(isThrown(new TypeError("x"), Error), true);
  assert.equal(isThrown(new TypeError("x"), RangeError), false);
  assert.equal(isThrown("x", Error), false);
  assert.equal(isThrown(new Proxy(new Error("x"), traps), Error), false);
});
