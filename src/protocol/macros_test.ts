import assert from "node:assert/strict";
import { test } from "node:test";
import { concat, latin1, utf8 } from "../../tests/property/wire.ts";
import { MAX_STRINGS } from "./bytes.ts";
import { SMFIC } from "./codes.ts";
import { MacroStore } from "./macros.ts";

const code = (letter: string): number => letter.charCodeAt(0);

/** Gives a macro frame, out of the middle of other bytes. */
function give(store: MacroStore, payload: string | Uint8Array): void {
  const bytes = typeof payload === "string" ? latin1(payload) : payload;
  store.set(concat(latin1("??"), bytes, latin1("\0\0??")), 2, 2 + bytes.length);
}

/** A store with a value of every stage, under the stage's letter in lower case, and `x` in all. */
function full(): MacroStore {
  const store = new MacroStore();
  for (const letter of "CHMRTNEU") {
    give(store, `${letter}${letter.toLowerCase()}\0${letter}\0{x}\0${letter}\0`);
  }
  return store;
}

function names(store: MacroStore): string {
  return [..."chmrtneu"].filter((name) => store.get(name) !== undefined).join("");
}

test("macros: braces make no difference, in the frame and in the question", () => {
  const store = new MacroStore();
  give(store, "Ci\x001\0{j}\x002\0{mail_addr}\0a\0v\0Postfix\0");
  for (const [name, value] of [["i", "1"], ["j", "2"], ["mail_addr", "a"], ["v", "Postfix"]]) {
    assert.equal(store.get(name), value);
    assert.equal(store.get(`{${name}}`), value);
  }
  assert.equal(store.get("k"), undefined);
  assert.equal(store.get(""), undefined);
});

test("macros: odd names are names", () => {
  const store = new MacroStore();
  give(store, "C\0nameless\0{}\0braces\0{\0open\0__proto__\0p\0constructor\0c\0");
  assert.equal(store.get(""), "nameless");
  assert.equal(store.get("{}"), "braces");
  assert.equal(store.get("{"), "open");
  assert.equal(store.get("__proto__"), "p");
  assert.equal(store.get("{constructor}"), "c");
  assert.equal(new MacroStore().get("constructor"), undefined);
});

test("macros: of two with one name in a frame the later one counts", () => {
  const store = new MacroStore();
  give(store, "C{x}\0first\0y\0between\0x\0second\0xx\0longer\0");
  assert.equal(store.get("x"), "second");
  assert.equal(store.get("{xx}"), "longer");
  assert.equal(store.get("xxx"), undefined);
});

test("macros: names that are not ASCII", () => {
  const store = new MacroStore();
  give(store, concat(latin1("C{"), utf8("zoë"), latin1("}\0both\0"), utf8("zo"), latin1("\0prefix\0")));
  assert.equal(store.get("zoë"), "both");
  assert.equal(store.get("{zoë}"), "both");
  assert.equal(store.get("zo"), "prefix");
  assert.equal(store.get("zoé"), undefined);
});

test("macros: an empty value is a value, and hides that of an earlier stage", () => {
  const store = new MacroStore();
  give(store, "C{x}\0early\0");
  give(store, "R{x}\0\0");
  assert.equal(store.get("x"), "");
});

test("macros: the latest stage counts, in wire order and not in that of their coming", () => {
  const store = full();
  assert.equal(store.get("x"), "U");
  for (const [letter, seen] of [["T", "U"], ["E", "U"]] as const) {
    give(store, `${letter}{x}\0again\0`);
    assert.equal(store.get("x"), seen);
  }
  const content = new MacroStore();
  give(content, "Ei\0end\0");
  give(content, "Ni\0headers\0");
  assert.equal(content.get("i"), "end");
});

test("macros: a frame replaces its own stage and nothing else", () => {
  const store = new MacroStore();
  give(store, "Cj\0one\0a\x001\0");
  give(store, "Cj\0two\0");
  assert.equal(store.get("j"), "two");
  assert.equal(store.get("a"), undefined);
  give(store, "C");
  assert.equal(store.get("j"), undefined);
});

/** What each command leaves of the stages C H M R T N E U. */
const LIFETIMES: readonly (readonly [command: keyof typeof SMFIC, left: string])[] = [
  ["CONNECT", "c"],
  ["HELO", "ch"],
  ["MAIL", "chm"],
  ["RCPT", "chmr"],
  ["DATA", "chmrtneu"],
  ["HEADER", "chmrtneu"],
  ["EOH", "chmrtneu"],
  ["BODY", "chmrtneu"],
  ["BODYEOB", "chmrtneu"],
  ["ABORT", "chmrtneu"],
  ["UNKNOWN", "chmrtneu"],
];

for (const [command, left] of LIFETIMES) {
  test(`macros: SMFIC_${command} leaves ${left === "chmrtneu" ? "all" : left}`, () => {
    const store = full();
    store.enter(SMFIC[command]);
    assert.equal(names(store), left);
  });
}

for (const [letter, left] of [["C", "c"], ["H", "ch"], ["M", "chm"], ["R", "chmr"]] as const) {
  test(`macros: those of ${letter} alone begin its stage, also where the command itself is switched off`, () => {
    const store = full();
    give(store, `${letter}${letter.toLowerCase()}\0new\0`);
    assert.equal(names(store), left);
    assert.equal(store.get(letter.toLowerCase()), "new");
  });

  test(`macros: the same ones of ${letter} again forget what came after them all the same`, () => {
    const store = full();
    give(store, `${letter}${letter.toLowerCase()}\0${letter}\0{x}\0${letter}\0`);
    assert.equal(names(store), left);
  });
}

test("macros: clear forgets everything, and the store can be filled again", () => {
  const store = full();
  store.clear();
  assert.equal(names(store), "");
  assert.equal(store.get("x"), undefined);
  give(store, "Cx\0C\0");
  assert.equal(store.get("x"), "C");
});

test("macros: the second mail does not see the queue id of the first", () => {
  const store = new MacroStore();
  for (const frame of ["M{mail_addr}\0a\0", "R{rcpt_addr}\0b\0", "Ti\0one\0", "Li\0one\0", "Ei\0one\0"]) {
    give(store, frame);
  }
  assert.equal(store.get("i"), "one");
  give(store, "M{mail_addr}\0c\0");
  assert.equal(store.get("i"), undefined);
  assert.equal(store.get("rcpt_addr"), undefined);
  store.enter(SMFIC.MAIL);
  assert.equal(store.get("mail_addr"), "c");
});

test("macros: Postfix's frames before headers and body are those of end of headers and end of message", () => {
  const store = new MacroStore();
  give(store, "L{x}\0header\0");
  assert.equal(store.get("x"), "header");
  give(store, "N{x}\0eoh\0");
  assert.equal(store.get("x"), "eoh");
  give(store, "B{x}\0body\0");
  assert.equal(store.get("x"), "body");
  give(store, "E{x}\0end\0");
  assert.equal(store.get("x"), "end");
});

test("macros: a value read before is read anew when its frame changes, by length or by a byte", () => {
  const store = new MacroStore();
  for (const value of ["one", "two", "three", "", "three", "two"]) {
    give(store, `Li\0${value}\0`);
    assert.equal(store.get("i"), value);
    give(store, `Li\0${value}\0`);
    assert.equal(store.get("i"), value);
  }
});

test("macros: bytes that are not UTF-8 give replacement characters, and no error", () => {
  const store = new MacroStore();
  give(store, concat(latin1("C{a}\0"), utf8("Zoë"), latin1("\0{b}\0Zo\xeb\0")));
  assert.equal(store.get("a"), "Zoë");
  assert.equal(store.get("b"), "Zo\ufffd");
});

test("macros: stages that nobody knows, and no stage at all, are passed over", () => {
  const store = full();
  for (const payload of ["", "Xi\x001\0", "\xffi\x001\0", "Ai\x001\0", "Qi\x001\0", "X not even a list"]) {
    give(store, payload);
  }
  assert.equal(names(store), "chmrtneu");
});

const BROKEN: readonly (readonly [payload: string, code: string])[] = [
  ["Mi", "bad-text"],
  ["Mi\x001", "bad-text"],
  ["Mi\0", "truncated"],
  ["Mi\x001\0j\0", "truncated"],
  ["M" + "\0".repeat(MAX_STRINGS + 2), "too-many"],
];

for (const [payload, errorCode] of BROKEN) {
  test(`macros ${JSON.stringify(payload.slice(0, 20))} are refused as ${errorCode}, and none of them is kept`, () => {
    const store = new MacroStore();
    give(store, "Ci\0good\0");
    give(store, "M" + "{y}\0z\0".repeat(MAX_STRINGS / 2));
    assert.throws(() => give(store, payload), { name: "ProtocolError", code: errorCode });
    assert.equal(store.get("i"), "good");
    assert.equal(store.get("j"), undefined);
    assert.equal(store.get(""), undefined);
    assert.equal(store.get("y"), undefined);
    give(store, "Mj\0later\0");
    assert.equal(store.get("j"), "later");
  });
}

test("macros: as many as one frame may have", () => {
  const store = new MacroStore();
  give(store, "C" + Array.from({ length: MAX_STRINGS / 2 }, (_, i) => `m${i}\0${i}\0`).join(""));
  assert.equal(store.get("m0"), "0");
  assert.equal(store.get(`m${MAX_STRINGS / 2 - 1}`), String(MAX_STRINGS / 2 - 1));
});

test("macros: the frame's buffer can be used again", () => {
  const store = new MacroStore();
  const frame = latin1("Ci\0value\0");
  store.set(frame, 0, frame.length);
  frame.fill(0x7a);
  assert.equal(store.get("i"), "value");
  assert.equal(code("C"), SMFIC.CONNECT);
});
