import assert from "node:assert/strict";
import { test } from "node:test";
import { concat, latin1, utf8 } from "../../tests/property/wire.ts";
import { HeaderBlock } from "./header_block.ts";
import { HeaderField, HeaderList } from "./header_list.ts";

const FIELDS: readonly (readonly [raw: string, value: string])[] = [
  ["plain", "plain"],
  [" leading blank", "leading blank"],
  ["trailing \t", "trailing"],
  ["", ""],
  ["   ", ""],
  ["line1\n line2\n\tline3", "line1 line2\tline3"],
  ["line1\r\n line2", "line1 line2"],
  ["\n folded", "folded"],
  ["a\nb", "a\nb"],
  ["a\n\n b", "a\n b"],
  ["a\n  \n b", "a   b"],
  ["tab\tinside", "tab\tinside"],
];

for (const [raw, value] of FIELDS) {
  test(`header value ${JSON.stringify(raw)} reads as ${JSON.stringify(value)}, its bytes stay`, () => {
    const field = HeaderField.of("Subject", latin1(raw));
    assert.equal(field.value, value);
    assert.equal(field.value, value);
    assert.deepEqual(field.raw, latin1(raw));
  });
}

test("a field lies inside a larger buffer, and shows only its part", () => {
  const buffer = new HeaderBlock(latin1("..X-One\0first value\0X-Two\0\0"));
  const one = new HeaderField(buffer, 2, 7, 19);
  const two = new HeaderField(buffer, 20, 25, 26);
  assert.equal(one.name, "X-One");
  assert.equal(one.value, "first value");
  assert.equal(two.name, "X-Two");
  assert.equal(two.value, "");
  assert.deepEqual(two.rawName, latin1("X-Two"));
  assert.equal(two.raw.length, 0);
});

test("bytes that are not UTF-8 stay as they are, and read as replacement characters", () => {
  const raw = concat(utf8("Zoë "), latin1("\xeb\xff"));
  const field = HeaderField.of("X-\u00e9", raw);
  assert.deepEqual(field.raw, raw);
  assert.equal(field.value, "Zoë \ufffd\ufffd");
  assert.deepEqual(field.rawName, utf8("X-é"));
});

test("text decodes encoded words, value does not", () => {
  const field = HeaderField.of("Subject", "=?utf-8?Q?caf=C3=A9?=\n =?utf-8?B?IQ==?=");
  assert.equal(field.value, "=?utf-8?Q?caf=C3=A9?= =?utf-8?B?IQ==?=");
  assert.equal(field.text, "café!");
});

function list(): HeaderList {
  return new HeaderList([
    HeaderField.of("Received", "one"),
    HeaderField.of("Subject", "first"),
    HeaderField.of("received", "two"),
    HeaderField.of("SUBJECT", "second"),
    HeaderField.of("__proto__", "odd"),
  ]);
}

test("fields keep order, case and duplicates", () => {
  assert.deepEqual([...list()].map((field) => `${field.name}: ${field.value}`), [
    "Received: one",
    "Subject: first",
    "received: two",
    "SUBJECT: second",
    "__proto__: odd",
  ]);
  assert.equal(list().length, 5);
  assert.equal(list().at(2)?.value, "two");
  assert.equal(list().at(5), undefined);
  assert.equal(list().at(-1), undefined);
});

test("access by name ignores case", () => {
  for (const name of ["Subject", "subject", "SUBJECT"]) {
    assert.equal(list().get(name), "first");
    assert.equal(list().field(name)?.name, "Subject");
    assert.deepEqual(list().all(name).map((field) => field.value), ["first", "second"]);
    assert.equal(list().has(name), true);
  }
  assert.equal(list().get("__proto__"), "odd");
  for (const name of ["To", "", "Subject ", "constructor", "toString"]) {
    assert.equal(list().get(name), undefined);
    assert.equal(list().field(name), undefined);
    assert.deepEqual(list().all(name), []);
    assert.equal(list().has(name), false);
  }
});

test("a list grows with the fields it was given", () => {
  const fields: HeaderField[] = [];
  const headers = new HeaderList(fields);
  assert.equal(headers.get("To"), undefined);
  fields.push(HeaderField.of("To", "a@example.org"));
  assert.equal(headers.get("to"), "a@example.org");
  assert.equal(headers.length, 1);
});
