import assert from "node:assert/strict";
import { test } from "node:test";
import { frameBytes, framesOf, fromHex, latin1, toHex } from "../../tests/property/wire.ts";
import { MAX_STRINGS } from "./bytes.ts";
import { type Command, encodeCommand, headerNameEnd, parseCommand, parseMacroPairs } from "./command.ts";
import type { ProtocolErrorCode } from "./errors.ts";
import { FrameWriter } from "./frame.ts";

const code = (letter: string): number => letter.charCodeAt(0);

/** Reads a payload out of the middle of other bytes, as it lies in a reader's buffer. */
function parse(letter: string, payload: Uint8Array): Command {
  const buffer = new Uint8Array(payload.length + 40).fill(0x21);
  buffer.set(payload, 20);
  // A NUL behind the end must never close a text of the frame.
  buffer[20 + payload.length] = 0;
  return parseCommand(code(letter), buffer, 20, 20 + payload.length);
}

function encode(command: Command): Uint8Array {
  const out = new FrameWriter();
  encodeCommand(command, out);
  return out.view();
}

/** Each row is read and written: the payload gives the command, the command gives the payload. */
const BOTH_WAYS: readonly (readonly [name: string, letter: string, payload: Uint8Array, command: Command])[] =
  [
    [
      "offer of Sendmail and Postfix",
      "O",
      fromHex("00000006 000001ff 001fffff"),
      { kind: "negotiate", version: 6, actions: 0x1ff, protocol: 0x1fffff },
    ],
    [
      "offer with the highest bits",
      "O",
      fromHex("ffffffff 80000000 f0000001"),
      { kind: "negotiate", version: 0xffffffff, actions: 0x80000000, protocol: 0xf0000001 },
    ],
    ["macros, none", "D", latin1("H"), { kind: "macros", stage: code("H"), pairs: [] }],
    [
      "macros with empty value, empty name, both",
      "D",
      latin1("R{rcpt_host}\0\0\0value\0\0\0"),
      {
        kind: "macros",
        stage: code("R"),
        pairs: [[latin1("{rcpt_host}"), latin1("")], [latin1(""), latin1("value")], [latin1(""), latin1("")]],
      },
    ],
    [
      "macros before a stage that no one knows",
      "D",
      latin1("\xffi\x001\0"),
      { kind: "macros", stage: 0xff, pairs: [[latin1("i"), latin1("1")]] },
    ],
    [
      "connect, IPv4, highest port",
      "C",
      latin1("mx\x004\xff\xff192.0.2.7\0"),
      { kind: "connect", host: latin1("mx"), family: "inet", port: 65535, address: latin1("192.0.2.7") },
    ],
    [
      "connect, IPv6 with Sendmail's prefix",
      "C",
      latin1("[IPv6:2001:db8::1]\x006\x00\x19IPv6:2001:db8:0:0:0:0:0:1\0"),
      {
        kind: "connect",
        host: latin1("[IPv6:2001:db8::1]"),
        family: "inet6",
        port: 25,
        address: latin1("IPv6:2001:db8:0:0:0:0:0:1"),
      },
    ],
    [
      "connect, Unix socket without a path",
      "C",
      latin1("localhost\0L\0\0\0"),
      { kind: "connect", host: latin1("localhost"), family: "unix", port: 0, address: latin1("") },
    ],
    [
      "connect, unknown",
      "C",
      latin1("localhost\0U"),
      { kind: "connect", host: latin1("localhost"), family: "unknown", port: 0, address: latin1("") },
    ],
    [
      "connect without a host name",
      "C",
      latin1("\0U"),
      { kind: "connect", host: latin1(""), family: "unknown", port: 0, address: latin1("") },
    ],
    ["helo", "H", latin1("mx.example.org\0"), { kind: "helo", name: latin1("mx.example.org") }],
    ["helo, empty", "H", latin1("\0"), { kind: "helo", name: latin1("") }],
    ["helo, not UTF-8", "H", latin1("\xff\xfe\0"), { kind: "helo", name: latin1("\xff\xfe") }],
    ["mail, null sender", "M", latin1("<>\0"), { kind: "mail", address: latin1("<>"), args: [] }],
    ["mail, null sender of local mail", "M", latin1("\0"), { kind: "mail", address: latin1(""), args: [] }],
    [
      "mail with arguments, one of them empty",
      "M",
      latin1("<a@example.org>\0SIZE=1\0\0BODY=8BITMIME\0"),
      {
        kind: "mail",
        address: latin1("<a@example.org>"),
        args: [latin1("SIZE=1"), latin1(""), latin1("BODY=8BITMIME")],
      },
    ],
    [
      "rcpt, not UTF-8",
      "R",
      latin1("<\xe9@example.org>\0ORCPT=rfc822;\xe9\0"),
      { kind: "rcpt", address: latin1("<\xe9@example.org>"), args: [latin1("ORCPT=rfc822;\xe9")] },
    ],
    ["data", "T", latin1(""), { kind: "data" }],
    ["unknown command", "U", latin1("FOOBAR a b\0"), { kind: "unknown", command: latin1("FOOBAR a b") }],
    [
      "header, folded with LF",
      "L",
      latin1("X-Fold\0line1\n line2\0"),
      { kind: "header", name: latin1("X-Fold"), value: latin1("line1\n line2") },
    ],
    ["header, empty value", "L", latin1("X\0\0"), { kind: "header", name: latin1("X"), value: latin1("") }],
    [
      "header with leading blank",
      "L",
      latin1("Subject\0 test\0"),
      { kind: "header", name: latin1("Subject"), value: latin1(" test") },
    ],
    [
      "header with NUL in its value",
      "L",
      latin1("X\0a\0b\0\0"),
      { kind: "header", name: latin1("X"), value: latin1("a\0b\0") },
    ],
    ["end of headers", "N", latin1(""), { kind: "endOfHeaders" }],
    ["body, any byte", "B", latin1("\0\xff\r\n\0"), { kind: "body", chunk: latin1("\0\xff\r\n\0") }],
    ["body, empty", "B", latin1(""), { kind: "body", chunk: latin1("") }],
    ["end of message", "E", latin1(""), { kind: "endOfMessage", chunk: latin1("") }],
    ["end of message with a last piece", "E", latin1("x\0"), { kind: "endOfMessage", chunk: latin1("x\0") }],
    ["abort", "A", latin1(""), { kind: "abort" }],
    ["quit", "Q", latin1(""), { kind: "quit" }],
    ["quit, new connection", "K", latin1(""), { kind: "quitNewConnection" }],
  ];

for (const [name, letter, payload, command] of BOTH_WAYS) {
  test(`command ${letter}, ${name}: read and written`, () => {
    assert.deepEqual(parse(letter, payload), command);
    assert.equal(toHex(encode(command)), toHex(frameBytes(code(letter), payload)));
  });
}

/** Read only: what other senders add, and nobody minds. */
const LENIENT: readonly (readonly [name: string, letter: string, payload: Uint8Array, command: Command])[] = [
  [
    "an offer longer than 12 bytes",
    "O",
    fromHex("00000002 0000003f 0000007f 01"),
    { kind: "negotiate", version: 2, actions: 0x3f, protocol: 0x7f },
  ],
  [
    "connect, unknown, with port and address all the same",
    "C",
    latin1("h\0U\x00\x19x\0"),
    { kind: "connect", host: latin1("h"), family: "unknown", port: 0, address: latin1("") },
  ],
  ["helo with bytes behind its NUL", "H", latin1("a\0b"), { kind: "helo", name: latin1("a") }],
  ["data with a payload", "T", latin1("x"), { kind: "data" }],
  ["end of headers with a payload", "N", latin1("x"), { kind: "endOfHeaders" }],
  ["abort with a payload", "A", latin1("x"), { kind: "abort" }],
];

for (const [name, letter, payload, command] of LENIENT) {
  test(`command ${letter}, ${name}: taken`, () => assert.deepEqual(parse(letter, payload), command));
}

const NAME = "the milter protocol has none of that name";
const BROKEN:
  readonly (readonly [letter: string, payload: string, code: ProtocolErrorCode, message: string])[] = [
    ["O", "", "truncated", "Cannot read command 'O': it ends inside the version"],
    ["O", "\0\0\0", "truncated", "it ends inside the version"],
    ["O", "\0\0\0\x06", "truncated", "it ends inside the actions"],
    ["O", "\0\0\0\x06\0\0\x01", "truncated", "it ends inside the actions"],
    ["O", "\0\0\0\x06\0\0\x01\xff\0\0\0", "truncated", "it ends inside the protocol flags"],
    ["D", "", "truncated", "it ends before the stage letter"],
    ["D", "Ci", "bad-text", "the macro has no closing NUL"],
    ["D", "Ci\0", "truncated", "the last macro has a name and no value"],
    ["D", "Ci\x001\0j\0", "truncated", "the last macro has a name and no value"],
    ["D", "Ci\x001", "bad-text", "the macro has no closing NUL"],
    ["C", "", "truncated", "it ends before the host name"],
    ["C", "host", "bad-text", "the host name has no closing NUL"],
    ["C", "host\0", "truncated", "it ends before the address family"],
    ["C", "host\x005\0\x19x\0", "bad-value", "address family '5' is not 4, 6, L or U"],
    ["C", "host\0\0\0\0\0", "bad-value", "address family 0x00"],
    ["C", "host\x004", "truncated", "it ends inside port or address"],
    ["C", "host\x004\0\x19", "truncated", "it ends inside port or address"],
    ["C", "host\x004\0\x19192.0.2.7", "bad-text", "the address has no closing NUL"],
    ["H", "", "truncated", "it ends before the name"],
    ["H", "name", "bad-text", "the name has no closing NUL"],
    ["M", "", "truncated", "Cannot read command 'M': it ends before the address"],
    ["M", "<a>", "bad-text", "the address or argument has no closing NUL"],
    ["M", "<a>\0SIZE=1", "bad-text", "the address or argument has no closing NUL"],
    ["R", "", "truncated", "Cannot read command 'R': it ends before the address"],
    ["R", "<a>\0\0x", "bad-text", "the address or argument has no closing NUL"],
    ["U", "", "truncated", "it ends before the command"],
    ["U", "FOO", "bad-text", "the command has no closing NUL"],
    ["L", "", "truncated", "it ends before the header name"],
    ["L", "\0", "bad-text", "the header name is empty"],
    ["L", "\0value\0", "bad-text", "the header name is empty"],
    ["L", "Subject", "bad-text", "the header name has no closing NUL"],
    ["L", "Subject\0", "truncated", "it ends before the header value"],
    ["L", "Subject\0x", "bad-text", "the header value has no closing NUL"],
    ["M", "\0".repeat(MAX_STRINGS + 1), "too-many", `over ${MAX_STRINGS} strings`],
    ["D", "C" + "\0".repeat(MAX_STRINGS + 2), "too-many", `over ${MAX_STRINGS} strings`],
    ["X", "", "unknown-code", `Cannot read command 'X': ${NAME}`],
    ["\0", "", "unknown-code", `Cannot read command 0x00: ${NAME}`],
    [" ", "", "unknown-code", "Cannot read command 0x20"],
    ["\xff", "x", "unknown-code", "Cannot read command 0xff"],
  ];

for (const [letter, payload, errorCode, message] of BROKEN) {
  test(`command ${JSON.stringify(letter)} of ${JSON.stringify(payload.slice(0, 24))} is refused as ${errorCode}`, () => {
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

test("every byte that is no command is refused by that name", () => {
  const known = new Set(latin1("ABCDEHKLMNOQRTU"));
  for (let byte = 0; byte < 256; byte++) {
    if (known.has(byte)) continue;
    assert.throws(() => parseCommand(byte, new Uint8Array(8), 0, 8), {
      name: "ProtocolError",
      code: "unknown-code",
    });
  }
});

test("the most strings pass, both ways", () => {
  const args = Array.from({ length: MAX_STRINGS - 1 }, (_, i) => latin1(`A${i}`));
  const command: Command = { kind: "rcpt", address: latin1("<a>"), args };
  const [frame] = framesOf(encode(command));
  assert.deepEqual(parseCommand(frame.code, frame.payload, 0, frame.payload.length), command);
  assert.throws(() => encode({ ...command, args: [...args, latin1("x")] }), RangeError);
  const pairs = new Array<[Uint8Array, Uint8Array]>(MAX_STRINGS / 2 + 1).fill([latin1("i"), latin1("")]);
  assert.throws(() => encode({ kind: "macros", stage: code("C"), pairs }), /1002 strings in one frame/);
});

const nul = latin1("a\0b");
const UNSENDABLE: readonly Command[] = [
  { kind: "macros", stage: 67, pairs: [[nul, latin1("")]] },
  { kind: "macros", stage: 67, pairs: [[latin1("i"), nul]] },
  { kind: "connect", host: nul, family: "unknown", port: 0, address: latin1("") },
  { kind: "connect", host: latin1("h"), family: "inet", port: 0, address: nul },
  { kind: "helo", name: nul },
  { kind: "mail", address: nul, args: [] },
  { kind: "rcpt", address: latin1("<a>"), args: [nul] },
  { kind: "unknown", command: nul },
  { kind: "header", name: nul, value: latin1("") },
  { kind: "header", name: latin1(""), value: latin1("") },
];

for (const command of UNSENDABLE) {
  test(`command ${JSON.stringify(command).slice(0, 60)} is not sent, nor half of it`, () => {
    const out = new FrameWriter();
    encodeCommand({ kind: "data" }, out);
    assert.throws(() => encodeCommand(command, out), { name: "RangeError", message: /^Cannot send a / });
    encodeCommand({ kind: "quit" }, out);
    assert.equal(toHex(out.view()), "0000000154" + "0000000151");
  });
}

test("parsed bytes are copies: the reader's buffer can be used again", () => {
  const buffer = latin1("<a@example.org>\0SIZE=1\0");
  const command = parseCommand(code("M"), buffer, 0, buffer.length);
  buffer.fill(0x7a);
  assert.deepEqual(command, { kind: "mail", address: latin1("<a@example.org>"), args: [latin1("SIZE=1")] });
});

test("a header's name end is an index into the buffer, macro pairs start where told", () => {
  const buffer = latin1("??Subject\0x\0!!");
  assert.equal(headerNameEnd(buffer, 2, 12), 9);
  assert.deepEqual(parseMacroPairs(latin1("Ci\x001\0"), 1, 5), [[latin1("i"), latin1("1")]]);
  assert.deepEqual(parseMacroPairs(latin1("C"), 1, 1), []);
});
