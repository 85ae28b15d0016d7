import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../tests/property/wire.ts";
import type { Reply } from "../protocol/mod.ts";
import {
  applyReplies,
  bracketed,
  type Dialect,
  type EnvelopedMail,
  withoutLeadingSpace,
} from "./edited_mail.ts";
import { parseMail } from "./eml.ts";

const decoder = new TextDecoder();

const add = (name: string, value: string): Reply => ({
  kind: "addHeader",
  name: utf8(name),
  value: utf8(value),
});
const insert = (index: number, name: string, value: string): Reply => ({
  kind: "insertHeader",
  index,
  name: utf8(name),
  value: utf8(value),
});
const change = (index: number, name: string, value: string): Reply => ({
  kind: "changeHeader",
  index,
  name: utf8(name),
  value: utf8(value),
});
const remove = (index: number, name: string): Reply => change(index, name, "");
const body = (text: string): Reply => ({ kind: "replaceBody", chunk: utf8(text) });
const FAR = 0x7fffffff;

function mail(header = "A: 1\nB: 2\nA: 3\n"): EnvelopedMail {
  const recipients = ["<one@example.com>", "<Two@example.com>"];
  return { ...parseMail(utf8(`${header}\nbody\n`)), sender: "<s@example.org>", recipients };
}

/** Fields of the edited mail as `A=1 B=2`. */
function fields(replies: readonly Reply[], dialect: Dialect, header?: string): string {
  return applyReplies(mail(header), replies, dialect).fields
    .map((field) => `${decoder.decode(field.rawName)}=${decoder.decode(field.raw)}`).join(" ");
}

test("header edits give what Postfix and Sendmail make of them", () => {
  const rows: readonly (readonly [string, readonly Reply[], postfix: string, sendmail: string])[] = [
    ["add a new name", [add("C", "x")], "A=1 B=2 A=3 C=x", "A=1 B=2 A=3 C=x"],
    ["add a name that is there", [add("a", "x")], "A=1 B=2 A=3 a=x", "a=x A=1 B=2 A=3"],
    ["add an empty value", [add("C", "")], "A=1 B=2 A=3 C=", "A=1 B=2 A=3 C="],
    ["insert at the top", [insert(0, "C", "x")], "C=x A=1 B=2 A=3", "C=x A=1 B=2 A=3"],
    ["insert below Received", [insert(1, "C", "x")], "C=x A=1 B=2 A=3", "C=x A=1 B=2 A=3"],
    ["insert in the middle", [insert(2, "C", "x")], "A=1 C=x B=2 A=3", "C=x A=1 B=2 A=3"],
    ["insert at the end", [insert(FAR, "C", "x")], "A=1 B=2 A=3 C=x", "A=1 B=2 A=3 C=x"],
    ["insert at -1", [insert(0xffffffff, "C", "x")], "A=1 B=2 A=3 C=x", "C=x A=1 B=2 A=3"],
    [
      "the later one is above",
      [insert(0, "C", "x"), insert(0, "D", "y")],
      "D=y C=x A=1 B=2 A=3",
      "D=y C=x A=1 B=2 A=3",
    ],
    ["change the first", [change(1, "a", "x")], "a=x B=2 A=3", "A=x B=2 A=3"],
    ["change the second", [change(2, "A", "x")], "A=1 B=2 A=x", "A=1 B=2 A=x"],
    ["0 is the first", [change(0, "A", "x")], "A=x B=2 A=3", "A=x B=2 A=3"],
    ["change past the last", [change(3, "A", "x")], "A=1 B=2 A=3 A=x", "A=x A=1 B=2 A=3"],
    ["change what is not there", [change(1, "C", "x")], "A=1 B=2 A=3 C=x", "A=1 B=2 A=3 C=x"],
    ["remove the first", [remove(1, "A")], "B=2 A=3", "B=2 A=3"],
    ["remove what is not there", [remove(3, "A"), remove(1, "C")], "A=1 B=2 A=3", "A=1 B=2 A=3"],
    ["remove the first twice", [remove(1, "A"), remove(1, "A")], "B=2", "B=2 A=3"],
    ["remove from the last on", [remove(2, "A"), remove(1, "A")], "B=2", "B=2"],
    ["change a removed one", [remove(1, "A"), change(1, "A", "x")], "B=2 A=x", "A=x B=2 A=3"],
    ["change after an added one", [add("A", "x"), change(1, "A", "y")], "A=y B=2 A=3 A=x", "A=y A=1 B=2 A=3"],
    [
      "change after an inserted one",
      [insert(0, "A", "x"), change(1, "A", "y")],
      "A=y A=1 B=2 A=3",
      "A=y A=1 B=2 A=3",
    ],
  ];
  for (const [name, replies, postfix, sendmail] of rows) {
    assert.equal(fields(replies, "postfix"), postfix, `${name}, Postfix`);
    assert.equal(fields(replies, "sendmail"), sendmail, `${name}, Sendmail`);
  }
});

test("the MTA's own Received is not seen, and not counted among those of its name", () => {
  for (const dialect of ["postfix", "sendmail"] as const) {
    const header = "Received: r\nA: 1\n";
    assert.equal(fields([change(1, "Received", "x")], dialect, header), "Received=x A=1");
    const inserted = [insert(0, "Received", "top"), change(1, "Received", "x")];
    assert.equal(fields(inserted, dialect, header), "Received=x Received=r A=1");
  }
});

test("body, sender, quarantine", () => {
  const edited = (...replies: Reply[]) => applyReplies(mail(), replies, "postfix");
  const text = (...replies: Reply[]) => decoder.decode(edited(...replies).body);
  assert.equal(text(), "body\r\n");
  assert.equal(text(body("a"), body("b\r\n")), "ab\r\n");
  assert.equal(text(body("")), "");
  assert.equal(edited({ kind: "changeSender", address: utf8("x@y"), args: undefined }).sender, "<x@y>");
  assert.equal(edited({ kind: "changeSender", address: utf8("<>"), args: utf8("RET=HDRS") }).sender, "<>");
  assert.equal(edited().quarantine, undefined);
  assert.equal(edited({ kind: "quarantine", reason: utf8("why") }).quarantine, "why");
  assert.deepEqual(edited({ kind: "continue" }, { kind: "progress" }), edited());
});

test("an empty sender is the null sender for Postfix and nothing for Sendmail", () => {
  const change: Reply = { kind: "changeSender", address: utf8(""), args: undefined };
  assert.equal(applyReplies(mail(), [change], "postfix").sender, "<>");
  assert.equal(applyReplies(mail(), [change], "sendmail").sender, "<s@example.org>");
});

test("recipients", () => {
  const plus = (address: string): Reply => ({ kind: "addRecipient", address: utf8(address) });
  const minus = (address: string): Reply => ({ kind: "removeRecipient", address: utf8(address) });
  const one = "<one@example.com>";
  const two = "<Two@example.com>";
  const rows: readonly (readonly [readonly Reply[], string[], string[]])[] = [
    [[plus("new@x")], [one, two, "<new@x>"], [one, two, "<new@x>"]],
    [[plus("<a@x>,<b@x>")], [one, two, "<a@x>,<b@x>"], [one, two, "<a@x>", "<b@x>"]],
    [[minus("one@example.com")], [two], [two]],
    [[minus("<two@example.com>")], [one, two], [one]],
    [[minus("<none@example.com>")], [one, two], [one, two]],
    [[minus(one), plus(one)], [two, one], [two, one]],
    [[minus(one), minus(two)], [], []],
    [[{ kind: "addRecipientWithArgs", address: utf8("<n@x>"), args: utf8("NOTIFY=NEVER") }], [
      one,
      two,
      "<n@x>",
    ], [
      one,
      two,
      "<n@x>",
    ]],
  ];
  for (const [replies, postfix, sendmail] of rows) {
    assert.deepEqual(applyReplies(mail(), replies, "postfix").recipients, postfix);
    assert.deepEqual(applyReplies(mail(), replies, "sendmail").recipients, sendmail);
  }
});

test("the mail given is not changed", () => {
  const given = mail();
  const before = structuredClone({ recipients: given.recipients, sender: given.sender, body: given.body });
  applyReplies(given, [remove(1, "A"), body("x"), {
    kind: "removeRecipient",
    address: utf8("one@example.com"),
  }], "postfix");
  assert.deepEqual({ recipients: given.recipients, sender: given.sender, body: given.body }, before);
  assert.equal(given.fields.length, 3);
});

test("withoutLeadingSpace() takes one blank off header values only", () => {
  const [header, bare, piece] = withoutLeadingSpace([add("A", "  x"), insert(0, "B", "x"), body(" x")]);
  assert.deepEqual(header, add("A", " x"));
  assert.deepEqual(bare, insert(0, "B", "x"));
  assert.deepEqual(piece, body(" x"));
});

test("bracketed()", () => {
  assert.deepEqual(["a@b", "<a@b>", "", "<>"].map(bracketed), ["<a@b>", "<a@b>", "<>", "<>"]);
});
