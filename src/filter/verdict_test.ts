import assert from "node:assert/strict";
import { test } from "node:test";
import {
  accept,
  checkReply,
  discard,
  MAX_REPLY_LINE,
  MAX_REPLY_LINES,
  proceed,
  reject,
  skip,
  tempfail,
  type Verdict,
} from "./verdict.ts";

const PLAIN: readonly (readonly [make: () => Verdict, kind: Verdict["kind"]])[] = [
  [proceed, "continue"],
  [accept, "accept"],
  [reject, "reject"],
  [tempfail, "tempfail"],
  [discard, "discard"],
  [skip, "skip"],
];

for (const [make, kind] of PLAIN) {
  test(`verdict ${kind}: plain, one object for all`, () => {
    assert.deepEqual(make(), { kind });
    assert.equal(make(), make());
    assert(Object.isFrozen(make()));
  });
}

test("verdict with a reply: defaults", () => {
  assert.deepEqual(reject("5.7.1"), {
    kind: "reject",
    reply: { code: 550, enhanced: "5.7.1", lines: ["Command rejected"] },
  });
  assert.deepEqual(tempfail("4.7.1"), {
    kind: "tempfail",
    reply: { code: 451, enhanced: "4.7.1", lines: ["Please try again later"] },
  });
});

test("verdict with a reply: code, one line, several lines", () => {
  assert.deepEqual(reject("5.1.1", "no such user", 551).reply, {
    code: 551,
    enhanced: "5.1.1",
    lines: ["no such user"],
  });
  assert.deepEqual(tempfail("4.3.2", ["one", "", "three"], 421).reply, {
    code: 421,
    enhanced: "4.3.2",
    lines: ["one", "", "three"],
  });
});

test("a reply is frozen, and keeps its lines when the caller's array changes", () => {
  const lines = ["one", "two"];
  const { reply } = reject("5.7.1", lines);
  assert(reply !== undefined);
  lines[0] = "550 something else\r\n";
  lines.push("three");
  assert.deepEqual(reply.lines, ["one", "two"]);
  assert(Object.isFrozen(reply) && Object.isFrozen(reply.lines));
});

const CODES: readonly (readonly [replyClass: 4 | 5, code: number, good: boolean])[] = [
  [5, 500, true],
  [5, 599, true],
  [5, 499, false],
  [5, 600, false],
  [5, 451, false],
  [5, 550.5, false],
  [5, NaN, false],
  [5, Infinity, false],
  [5, -550, false],
  [5, 55, false],
  [5, 5500, false],
  [4, 400, true],
  [4, 421, true],
  [4, 499, true],
  [4, 399, false],
  [4, 500, false],
  [4, 250, false],
];

for (const [replyClass, code, good] of CODES) {
  test(`reply code ${code} of class ${replyClass} is ${good ? "taken" : "refused"}`, () => {
    const make = () => checkReply(replyClass, code, `${replyClass}.0.0`, "x");
    if (good) assert.equal(make().code, code);
    else {assert.throws(make, {
        name: "RangeError",
        message: new RegExp(`code ${code} is not in ${replyClass}00 to`),
      });}
  });
}

test("a wrong reply code is told which function to use", () => {
  assert.throws(() => reject("5.0.0", "x", 451), /use tempfail\(\) for 4xx codes/);
  assert.throws(() => tempfail("4.0.0", "x", 550), /use reject\(\) for 5xx codes/);
});

const ENHANCED: readonly (readonly [enhanced: string, good: boolean])[] = [
  ["5.0.0", true],
  ["5.7.1", true],
  ["5.999.999", true],
  ["4.7.1", false],
  ["2.0.0", false],
  ["5.7", false],
  ["5.7.1.1", false],
  ["5.7.1000", false],
  ["55.7.1", false],
  ["5..1", false],
  ["", false],
  [" 5.7.1", false],
  ["5.7.1 ", false],
  ["5.7.1\n", false],
  ["5.7.1\r\n250 OK", false],
  ["5.7.\u0661", false],
];

for (const [enhanced, good] of ENHANCED) {
  test(`enhanced code ${JSON.stringify(enhanced)} of a reject is ${good ? "taken" : "refused"}`, () => {
    if (good) assert.equal(reject(enhanced, "x").reply?.enhanced, enhanced);
    else {assert.throws(() => reject(enhanced, "x"), {
        name: "RangeError",
        message: /is not of the form 5\.x\.y/,
      });}
  });
}

const LINES: readonly (readonly [line: string, good: boolean])[] = [
  ["", true],
  ["plain text", true],
  ["with\ttab and ~ and \\", true],
  ["100% of %s", true],
  ["a\nb", false],
  ["a\rb", false],
  ["a\r\n250 OK", false],
  ["a\0", false],
  ["\x1b[31mred", false],
  ["\x7f", false],
  ["caf\u00e9", false],
  ["\ud83d\ude00", false],
  ["a\u2028b", false],
];

for (const [line, good] of LINES) {
  test(`reply line ${JSON.stringify(line)} is ${good ? "taken" : "refused"}, alone and among others`, () => {
    for (const text of [line, [line], ["before", line, "after"]]) {
      if (good) reject("5.7.1", text);
      else {assert.throws(() => reject("5.7.1", text), {
          name: "RangeError",
          message: /control or non-ASCII character/,
        });}
    }
  });
}

test("reply line length: up to the limit with code and enhanced code, a percent sign counting twice", () => {
  const room = MAX_REPLY_LINE - "550 5.7.1 ".length;
  reject("5.7.1", "x".repeat(room));
  reject("5.7.1", "%".repeat(room / 2));
  assert.throws(() => reject("5.7.1", "x".repeat(room + 1)), {
    name: "RangeError",
    message: /over the limit of 970/,
  });
  assert.throws(() => reject("5.7.1", "%".repeat(room / 2 + 1)), RangeError);
  assert.throws(() => reject("5.777.111", "x".repeat(room)), /over the limit of 966/);
  assert.throws(
    () => reject("5.7.1", ["ok", "x".repeat(1_000_000)]),
    (error: Error) => error.message.length < 300,
  );
});

test("reply line count: 1 to the limit", () => {
  const lines = new Array<string>(MAX_REPLY_LINES).fill("x");
  assert.equal(reject("5.7.1", lines).reply?.lines.length, MAX_REPLY_LINES);
  assert.throws(() => reject("5.7.1", [...lines, "x"]), {
    name: "RangeError",
    message: /33 lines, allowed are 1 to 32/,
  });
  assert.throws(() => reject("5.7.1", []), { name: "RangeError", message: /0 lines/ });
});
