// Encoded words: any text can be decoded, and none of them takes long.
import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { HeaderBlock, HeaderField } from "../../src/filter/mod.ts";
import { decodeWords } from "../../src/filter/encoded_word.ts";

const CHARSETS = [
  "utf-8",
  "iso-8859-1",
  "windows-1252",
  "koi8-r",
  "gb2312",
  "iso-2022-jp",
  "utf-16",
  "nonesuch",
  "x*en",
];
const part = fc.oneof(
  fc.constantFrom(
    "=?",
    "?=",
    "?Q?",
    "?B?",
    "?q?",
    "?b?",
    "?",
    "=",
    "_",
    " ",
    "\t",
    "\r\n ",
    "*",
    "=C3",
    "=A9",
    "Zm9v",
  ),
  fc.constantFrom(...CHARSETS),
  fc.string({ unit: "binary", maxLength: 8 }),
);

test("decodeWords never throws, and leaves text without words as it is", () => {
  fc.assert(
    fc.property(fc.array(part, { maxLength: 25 }).map((parts) => parts.join("")), (text) => {
      const decoded = decodeWords(text);
      assert.equal(typeof decoded, "string");
      if (!text.includes("=?")) assert.equal(decoded, text);
    }),
    { numRuns: 3000 },
  );
});

test("decodeWords gives back any text that was put into words, with either encoding", () => {
  const encoder = new TextEncoder();
  const word = (text: string, base64: boolean): string => {
    const bytes = encoder.encode(text);
    if (base64) return `=?utf-8?B?${btoa(String.fromCharCode(...bytes))}?=`;
    return `=?UTF-8?Q?${
      [...bytes].map((byte) => `=${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("")
    }?=`;
  };
  // A byte order mark at the start is no text.
  const piece = fc.string({ unit: "grapheme", maxLength: 10 }).filter((text) => !text.startsWith("\ufeff"));
  fc.assert(
    fc.property(fc.array(fc.tuple(piece, fc.boolean()), { minLength: 1, maxLength: 5 }), (list) => {
      const words = list.map(([text, base64]) => word(text, base64));
      const text = list.map(([text]) => text).join("");
      for (const between of [" ", "\t ", ""]) assert.equal(decodeWords(words.join(between)), text);
      assert.equal(HeaderField.of("Subject", words.join("\n ")).text, text);
    }),
    { numRuns: 500 },
  );
});

test("fields of any bytes can be read in every way", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.uint8Array({ maxLength: 20 }), (value, name) => {
      const whole = new Uint8Array(name.length + 1 + value.length);
      whole.set(name);
      whole.set(value, name.length + 1);
      const field = new HeaderField(new HeaderBlock(whole), 0, name.length, whole.length);
      assert.deepEqual(field.raw, value);
      assert.deepEqual(field.rawName, name);
      assert.equal(typeof field.value, "string");
      assert.equal(typeof field.text, "string");
      assert.equal(typeof field.name, "string");
    }),
    { numRuns: 1000 },
  );
});

// A pattern that goes back over what it has seen for each place where it starts would need 10^10 steps and more here.
const LENGTH = 300_000;
const HOSTILE: readonly (readonly [name: string, text: string])[] = [
  ["starts without an end", "=?".repeat(LENGTH)],
  ["ends", "?=".repeat(LENGTH)],
  ["an endless charset", "=?" + "a".repeat(LENGTH)],
  ["endless charsets", "=?a".repeat(LENGTH)],
  ["an endless language", "=?a*" + "b".repeat(LENGTH)],
  ["languages", "=?a*b".repeat(LENGTH)],
  ["an endless payload", "=?utf-8?Q?" + "=41".repeat(LENGTH)],
  ["payloads without an end", "=?utf-8?Q?a".repeat(LENGTH / 3)],
  ["blanks after an end", "=?" + ("?=" + " ".repeat(1000)).repeat(LENGTH / 1000)],
  ["endless blanks after an end", "=??=" + " \t".repeat(LENGTH)],
  ["one long word", "=?utf-8?Q?" + "=41".repeat(LENGTH) + "?="],
  ["one long word in base64", "=?utf-8?B?" + "QUFB".repeat(LENGTH) + "?="],
  ["many words", "=?utf-8?Q?a?= ".repeat(LENGTH / 10)],
  ["many words of no charset", "=?nonesuch?Q?a?= ".repeat(LENGTH / 10)],
  ["folds", "=?" + "\r\n ".repeat(LENGTH)],
  ["line ends", "=?" + "\r\n".repeat(LENGTH)],
];

for (const [name, text] of HOSTILE) {
  test(`decodeWords is done with ${name}`, () => {
    assert(decodeWords(text).length <= text.length);
    assert(HeaderField.of("Subject", text).text.length <= text.length);
  });
}
