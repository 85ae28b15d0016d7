import assert from "node:assert/strict";
import { test } from "node:test";
import { concat, latin1, utf8 } from "../../tests/property/wire.ts";
import { parseMail, renderMail, type WireMail, withCrlf } from "./eml.ts";

const decoder = new TextDecoder();

/** Names and raw values, and the body, as text. */
function shown(mail: WireMail): [fields: string[], body: string] {
  const fields = mail.fields.map((field) => `${decoder.decode(field.rawName)}=${decoder.decode(field.raw)}`);
  return [fields, decoder.decode(mail.body)];
}

test("parseMail() gives fields and body as an MTA sends them", () => {
  const rows: readonly (readonly [string, string, string[], string])[] = [
    ["plain", "A: 1\nB: 2\n\nbody\n", ["A=1", "B=2"], "body\r\n"],
    ["no blank after the colon", "A:1\n\n", ["A=1"], ""],
    ["one blank of two", "A:  1\n\n", ["A= 1"], ""],
    ["a tab is no blank", "A:\t1\n\n", ["A=\t1"], ""],
    ["trailing blanks stay", "A: 1 \n\n", ["A=1 "], ""],
    ["empty value", "A:\nB: \n\n", ["A=", "B="], ""],
    ["folded", "A: 1\n 2\n\t3\nB: 4\n\n", ["A=1\n 2\n\t3", "B=4"], ""],
    ["folded at once", "A:\n 1\n\n", ["A=\n 1"], ""],
    ["blank before the colon", "A : 1\n\n", ["A=1"], ""],
    ["same name twice, order kept", "A: 1\nB: 2\na: 3\n\n", ["A=1", "B=2", "a=3"], ""],
    ["no body and no empty line", "A: 1\n", ["A=1"], ""],
    ["no line end at all", "A: 1", ["A=1"], ""],
    ["no header", "\nbody", [], "body"],
    ["nothing", "", [], ""],
    ["text at once is body", "Hello there\nA: 1\n", [], "Hello there\r\nA: 1\r\n"],
    ["a line that is no field begins the body", "A: 1\nno field\n\nx\n", ["A=1"], "no field\r\n\r\nx\r\n"],
    ["a colon without a name begins the body", "A: 1\n: x\n", ["A=1"], ": x\r\n"],
    ["fields in the body stay there", "A: 1\n\nB: 2\n", ["A=1"], "B: 2\r\n"],
    ["an mbox line goes", "From me@x Mon Jan 1 2026\nA: 1\n\nx\n", ["A=1"], "x\r\n"],
    ["From: is no mbox line", "From: me\n\n", ["From=me"], ""],
    ["empty lines at the end stay", "A: 1\n\n\n\n", ["A=1"], "\r\n\r\n"],
    ["a colon in the value", "A: b: c\n\n", ["A=b: c"], ""],
  ];
  for (const [name, file, fields, body] of rows) {
    assert.deepEqual(shown(parseMail(utf8(file))), [fields, body], name);
    const crlf = file.replaceAll("\n", "\r\n");
    assert.deepEqual(shown(parseMail(utf8(crlf))), [fields, body], `${name}, CRLF`);
  }
});

test("bytes that are not UTF-8 stay as they are", () => {
  const file = concat(utf8("A: "), latin1("caf\xe9"), utf8("\n\n"), latin1("\xff\xfe\0"));
  const mail = parseMail(file);
  assert.deepEqual(mail.fields[0].raw, latin1("caf\xe9"));
  assert.deepEqual(mail.body, latin1("\xff\xfe\0"));
  assert.deepEqual(renderMail(mail), concat(utf8("A: "), latin1("caf\xe9\r\n\r\n\xff\xfe\0")));
});

test("renderMail() is the file again, with CRLF and one blank after each colon", () => {
  const file = "A: 1\r\nB:\r\n 2\r\n\t3\r\nC: \r\n\r\nbody\r\n.\r\n";
  assert.equal(decoder.decode(renderMail(parseMail(utf8(file)))), file.replace("B:", "B: "));
  assert.equal(decoder.decode(renderMail(parseMail(utf8("A:1\n\nx")))), "A: 1\r\n\r\nx");
});

test("withCrlf() mends bare LF only, and copies nothing if there is none", () => {
  const rows = [["a\nb", "a\r\nb"], ["\n", "\r\n"], ["a\r\nb\n\n", "a\r\nb\r\n\r\n"], ["a\rb", "a\rb"], [
    "",
    "",
  ]];
  for (const [given, expected] of rows) assert.equal(decoder.decode(withCrlf(utf8(given))), expected);
  const whole = utf8("a\r\nb\r\n");
  assert.equal(withCrlf(whole), whole);
});

test("a header of a hundred thousand lines is read in a moment", () => {
  const many = utf8("A: 1\n".repeat(50_000) + `B: x${"\n y".repeat(50_000)}\n\n`);
  assert.equal(parseMail(many).fields.length, 50_001);
});
