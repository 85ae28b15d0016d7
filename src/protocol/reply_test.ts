import assert from "node:assert/strict";
import { test } from "node:test";
import { frameBytes, fromHex, latin1, toHex } from "../../tests/property/wire.ts";
import type { ProtocolErrorCode } from "./errors.ts";
import { FrameWriter } from "./frame.ts";
import { encodeReply, isFinal, parseReply, type Reply } from "./reply.ts";

const code = (letter: string): number => letter.charCodeAt(0);

/** Reads a payload out of the middle of other bytes, as it lies in a reader's buffer. */
function parse(letter: string, payload: Uint8Array): Reply {
  const buffer = new Uint8Array(payload.length + 40).fill(0x21);
  buffer.set(payload, 20);
  buffer[20 + payload.length] = 0;
  return parseReply(code(letter), buffer, 20, 20 + payload.length);
}

type Row = readonly [name: string, letter: string, payload: Uint8Array, reply: Reply, final: boolean];

/** Each row is read and written. */
const BOTH_WAYS: readonly Row[] = [
  [
    "options of version 2",
    "O",
    fromHex("00000002 0000003f 0000007f"),
    { kind: "negotiate", version: 2, actions: 0x3f, protocol: 0x7f, macros: [] },
    true,
  ],
  [
    "options with highest bits and an empty macro list",
    "O",
    fromHex("00000006 800001ff f0000000 00000001 00 00000005 6900"),
    {
      kind: "negotiate",
      version: 6,
      actions: 0x800001ff,
      protocol: 0xf0000000,
      macros: [{ stage: 1, names: latin1("") }, { stage: 5, names: latin1("i") }],
    },
    true,
  ],
  ["continue", "c", latin1(""), { kind: "continue" }, true],
  ["accept", "a", latin1(""), { kind: "accept" }, true],
  ["reject", "r", latin1(""), { kind: "reject" }, true],
  ["tempfail", "t", latin1(""), { kind: "tempfail" }, true],
  ["discard", "d", latin1(""), { kind: "discard" }, true],
  ["skip", "s", latin1(""), { kind: "skip" }, true],
  ["progress", "p", latin1(""), { kind: "progress" }, false],
  ["shutdown", "4", latin1(""), { kind: "shutdown" }, true],
  ["connection failed", "f", latin1(""), { kind: "connectionFailed" }, true],
  [
    "reply code of two lines",
    "y",
    latin1("550-5.7.1 a\r\n550 5.7.1 100%%\0"),
    { kind: "replyCode", text: latin1("550-5.7.1 a\r\n550 5.7.1 100%%") },
    true,
  ],
  ["quarantine", "q", latin1("why\0"), { kind: "quarantine", reason: latin1("why") }, false],
  ["quarantine without reason", "q", latin1("\0"), { kind: "quarantine", reason: latin1("") }, false],
  ["add header", "h", latin1("X\0v\0"), { kind: "addHeader", name: latin1("X"), value: latin1("v") }, false],
  [
    "add header, empty",
    "h",
    latin1("X\0\0"),
    { kind: "addHeader", name: latin1("X"), value: latin1("") },
    false,
  ],
  [
    "insert header at the far end",
    "i",
    latin1("\xff\xff\xff\xffX\0\xff\n b\0"),
    { kind: "insertHeader", index: 0xffffffff, name: latin1("X"), value: latin1("\xff\n b") },
    false,
  ],
  [
    "change header",
    "m",
    latin1("\0\0\x01\0X\0\0"),
    { kind: "changeHeader", index: 256, name: latin1("X"), value: latin1("") },
    false,
  ],
  ["replace body", "b", latin1("\0\r\n\xff"), { kind: "replaceBody", chunk: latin1("\0\r\n\xff") }, false],
  ["replace body by nothing", "b", latin1(""), { kind: "replaceBody", chunk: latin1("") }, false],
  ["add recipient", "+", latin1("<a>\0"), { kind: "addRecipient", address: latin1("<a>") }, false],
  [
    "remove recipient",
    "-",
    latin1("<\xe9>\0"),
    { kind: "removeRecipient", address: latin1("<\xe9>") },
    false,
  ],
  [
    "add recipient, arguments",
    "2",
    latin1("<a>\0NOTIFY=NEVER\0"),
    { kind: "addRecipientWithArgs", address: latin1("<a>"), args: latin1("NOTIFY=NEVER") },
    false,
  ],
  [
    "add recipient, arguments left out",
    "2",
    latin1("<a>\0"),
    { kind: "addRecipientWithArgs", address: latin1("<a>"), args: undefined },
    false,
  ],
  [
    "change sender, empty arguments as Stalwart wants them",
    "e",
    latin1("<>\0\0"),
    { kind: "changeSender", address: latin1("<>"), args: latin1("") },
    false,
  ],
  [
    "change sender to the empty string",
    "e",
    latin1("\0"),
    { kind: "changeSender", address: latin1(""), args: undefined },
    false,
  ],
];

for (const [name, letter, payload, reply, final] of BOTH_WAYS) {
  test(`reply ${letter}, ${name}: read and written`, () => {
    assert.deepEqual(parse(letter, payload), reply);
    const out = new FrameWriter();
    encodeReply(reply, out);
    assert.equal(toHex(out.view()), toHex(frameBytes(code(letter), payload)));
    assert.equal(isFinal(reply), final);
  });
}

const OPTIONS = "\0\0\0\x06\0\0\x01\xff\0\0\0\0";
const BROKEN:
  readonly (readonly [letter: string, payload: string, code: ProtocolErrorCode, message: string])[] = [
    ...["c", "a", "r", "t", "d", "s", "p", "4", "f"].map((letter) =>
      [letter, "xy", "bad-value", `Cannot read reply '${letter}': it has 2 bytes too many`] as const
    ),
    ["O", OPTIONS.slice(0, 11), "truncated", "it ends inside the protocol flags"],
    ["O", OPTIONS + "\0\0\0", "truncated", "it ends inside the macro list"],
    ["O", OPTIONS + "\0\0\0\x01", "truncated", "it ends before the macro list"],
    ["O", OPTIONS + "\0\0\0\x01i", "bad-text", "the macro list has no closing NUL"],
    ["O", OPTIONS + "\0\0\0\x01\0".repeat(17), "too-many", "over 16 macro lists"],
    ["y", "", "truncated", "it has 0 texts, expected one text"],
    ["y", "550 5.7.1 no", "bad-text", "the text has no closing NUL"],
    ["y", "550 5.7.1 no\0x\0", "bad-value", "it has 2 texts, expected one text"],
    ["q", "", "truncated", "expected one reason"],
    ["+", "", "truncated", "expected one address"],
    ["+", "<a>", "bad-text", "the address has no closing NUL"],
    ["+", "<a>\0<b>\0", "bad-value", "it has 2 texts, expected one address"],
    ["-", "<a>\0<b>\0", "bad-value", "it has 2 texts, expected one address"],
    ["h", "", "truncated", "it has 0 texts, expected header name and value"],
    ["h", "X\0", "truncated", "it has 1 texts, expected header name and value"],
    ["h", "X\0v", "bad-text", "the header has no closing NUL"],
    ["h", "\0v\0", "bad-text", "the header name is empty"],
    ["h", "X\0v\0w\0", "bad-value", "it has 3 texts"],
    ["i", "\0\0\0", "truncated", "it ends inside the index"],
    ["i", "\0\0\0\0", "truncated", "expected header name and value"],
    ["i", "\0\0\0\0\0v\0", "bad-text", "the header name is empty"],
    ["m", "\0\0\0\x01X\0", "truncated", "it has 1 texts"],
    ["2", "", "truncated", "it has 0 texts, expected an address"],
    ["2", "<a>\0b\0c\0", "bad-value", "it has 3 texts"],
    ["e", "<a>\0b", "bad-text", "the address has no closing NUL"],
    ["e", "", "truncated", "expected an address and at most one of arguments"],
    ["l", "", "unknown-code", "Cannot read reply 'l': the milter protocol has none of that name"],
    ["\x00", "", "unknown-code", "Cannot read reply 0x00"],
    ["C", "", "unknown-code", "Cannot read reply 'C'"],
  ];

for (const [letter, payload, errorCode, message] of BROKEN) {
  test(`reply ${JSON.stringify(letter)} of ${JSON.stringify(payload.slice(0, 24))} is refused: ${message}`, () => {
    assert.throws(() => parse(letter, latin1(payload)), (error: Error) => {
      assert.deepEqual({ name: error.name, code: (error as { code?: unknown }).code }, {
        name: "ProtocolError",
        code: errorCode,
      });
      assert(error.message.includes(message), error.message);
      return true;
    });
  });
}

test("every byte that is no reply is refused by that name", () => {
  const known = new Set(latin1("O+-24abcdefhimpqrsty"));
  for (let byte = 0; byte < 256; byte++) {
    if (known.has(byte)) continue;
    assert.throws(() => parseReply(byte, new Uint8Array(8), 0, 8), {
      name: "ProtocolError",
      code: "unknown-code",
    });
  }
});

const nul = latin1("a\0b");
const none = latin1("");
const UNSENDABLE: readonly Reply[] = [
  { kind: "negotiate", version: 6, actions: 0, protocol: 0, macros: [{ stage: 0, names: nul }] },
  { kind: "replyCode", text: nul },
  { kind: "quarantine", reason: nul },
  { kind: "addHeader", name: nul, value: none },
  { kind: "addHeader", name: latin1("X"), value: nul },
  { kind: "addHeader", name: none, value: none },
  { kind: "insertHeader", index: 0, name: latin1("X"), value: nul },
  { kind: "insertHeader", index: 0, name: none, value: none },
  { kind: "changeHeader", index: 1, name: none, value: none },
  { kind: "changeHeader", index: 1, name: latin1("X"), value: nul },
  { kind: "changeSender", address: nul, args: undefined },
  { kind: "changeSender", address: latin1("<a>"), args: nul },
  { kind: "addRecipient", address: nul },
  { kind: "addRecipientWithArgs", address: latin1("<a>"), args: nul },
  { kind: "removeRecipient", address: nul },
];

for (const reply of UNSENDABLE) {
  test(`reply ${JSON.stringify(reply).slice(0, 60)} is not sent, nor half of it`, () => {
    const out = new FrameWriter();
    encodeReply({ kind: "progress" }, out);
    assert.throws(() => encodeReply(reply, out), { name: "RangeError", message: /^Cannot send a / });
    encodeReply({ kind: "tempfail" }, out);
    assert.equal(toHex(out.view()), "0000000170" + "0000000174");
  });
}
