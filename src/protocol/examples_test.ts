// Frames as real MTAs send and take them: read into what they say, and written back into the same bytes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { concat, drain, type Frame, framesOf, fromHex, toHex } from "../../tests/property/wire.ts";
import { letter } from "./codes.ts";
import { type Command, encodeCommand, parseCommand } from "./command.ts";
import { FrameReader, FrameWriter } from "./frame.ts";
import { MacroStore } from "./macros.ts";
import { encodeReply, parseReply, type Reply } from "./reply.ts";
import { Effect, nextState, State, step } from "./state.ts";

/** `>` MTA to filter, `<` filter to MTA; the frame in hex; what it says. */
type Example = readonly [direction: ">" | "<", hex: string, says: string];

/** A whole session of Postfix 3.7, as captured; the filter adds one header field. */
const POSTFIX: readonly Example[] = [
  [">", "0000000d 4f 00000006000001ff001fffff", "negotiate version=6 actions=0x1ff protocol=0x1fffff"],
  ["<", "0000000d 4f 000000060000000100000000", "negotiate version=6 actions=0x1 protocol=0x0 macros=[]"],
  [
    ">",
    "00000073 44 436a006d782e6578616d706c652e74657374007b6461656d6f6e5f6e616d657d006d782e6578616d706c652e74657374007b6461656d6f6e5f616464727d003132372e302e302e31007600506f737466697820332e372e3131005f006c6f63616c686f7374205b3132372e302e302e315d00",
    'macros stage=67 pairs=[["j" "mx.example.test"] ["{daemon_name}" "mx.example.test"] ["{daemon_addr}" "127.0.0.1"] ["v" "Postfix 3.7.11"] ["_" "localhost [127.0.0.1]"]]',
  ],
  [
    ">",
    "00000018 43 6c6f63616c686f73740034bca63132372e302e302e3100",
    'connect host="localhost" family=inet port=48294 address="127.0.0.1"',
  ],
  ["<", "00000001 63", "continue"],
  [">", "00000002 44 48", "macros stage=72 pairs=[]"],
  [">", "00000014 48 636c69656e742e6578616d706c652e6f726700", 'helo name="client.example.org"'],
  ["<", "00000001 63", "continue"],
  [
    ">",
    "00000044 44 4d7b6d61696c5f616464727d0073656e646572406578616d706c652e6f7267007b6d61696c5f686f73747d006e6f007b6d61696c5f6d61696c65727d006572726f7200",
    'macros stage=77 pairs=[["{mail_addr}" "sender@example.org"] ["{mail_host}" "no"] ["{mail_mailer}" "error"]]',
  ],
  [
    ">",
    "0000002d 4d 3c73656e646572406578616d706c652e6f72673e0053495a453d31303000424f44593d384249544d494d4500",
    'mail address="<sender@example.org>" args=["SIZE=100" "BODY=8BITMIME"]',
  ],
  ["<", "00000001 63", "continue"],
  [
    ">",
    "0000004d 44 527b726370745f616464727d0072637074406578616d706c652e74657374007b726370745f686f73747d006578616d706c652e74657374007b726370745f6d61696c65727d006c6f63616c00",
    'macros stage=82 pairs=[["{rcpt_addr}" "rcpt@example.test"] ["{rcpt_host}" "example.test"] ["{rcpt_mailer}" "local"]]',
  ],
  [">", "00000015 52 3c72637074406578616d706c652e746573743e00", 'rcpt address="<rcpt@example.test>" args=[]'],
  ["<", "00000001 63", "continue"],
  [">", "00000010 44 546900443634464132304335433200", 'macros stage=84 pairs=[["i" "D64FA20C5C2"]]'],
  [">", "00000001 54", "data"],
  ["<", "00000001 63", "continue"],
  [">", "00000010 44 4c6900443634464132304335433200", 'macros stage=76 pairs=[["i" "D64FA20C5C2"]]'],
  [
    ">",
    "0000001b 4c 46726f6d003c73656e646572406578616d706c652e6f72673e00",
    'header name="From" value="<sender@example.org>"',
  ],
  ["<", "00000001 63", "continue"],
  [">", "00000010 44 4c6900443634464132304335433200", 'macros stage=76 pairs=[["i" "D64FA20C5C2"]]'],
  [">", "0000000e 4c 5375626a656374007465737400", 'header name="Subject" value="test"'],
  ["<", "00000001 63", "continue"],
  [">", "00000010 44 4c6900443634464132304335433200", 'macros stage=76 pairs=[["i" "D64FA20C5C2"]]'],
  [
    ">",
    "00000039 4c 4d6573736167652d4964003c32303236313132323037303831342e4436344641323043354332406d782e6578616d706c652e746573743e00",
    'header name="Message-Id" value="<20261122070814.D64FA20C5C2@mx.example.test>"',
  ],
  ["<", "00000001 63", "continue"],
  [">", "00000010 44 4c6900443634464132304335433200", 'macros stage=76 pairs=[["i" "D64FA20C5C2"]]'],
  [
    ">",
    "0000002c 4c 446174650053756e2c203232204e6f7620323032362030373a30383a3134202b3030303020285554432900",
    'header name="Date" value="Sun, 22 Nov 2026 07:08:14 +0000 (UTC)"',
  ],
  ["<", "00000001 63", "continue"],
  [">", "00000010 44 4e6900443634464132304335433200", 'macros stage=78 pairs=[["i" "D64FA20C5C2"]]'],
  [">", "00000001 4e", "endOfHeaders"],
  ["<", "00000001 63", "continue"],
  [">", "00000010 44 426900443634464132304335433200", 'macros stage=66 pairs=[["i" "D64FA20C5C2"]]'],
  [">", "00000008 42 68656c6c6f0d0a", 'body chunk="hello\\r\\n"'],
  ["<", "00000001 63", "continue"],
  [">", "00000010 44 456900443634464132304335433200", 'macros stage=69 pairs=[["i" "D64FA20C5C2"]]'],
  [">", "00000001 45", 'endOfMessage chunk=""'],
  ["<", "0000000c 68 582d546573740079657300", 'addHeader name="X-Test" value="yes"'],
  ["<", "00000001 61", "accept"],
  [">", "00000001 41", "abort"],
  [">", "00000001 41", "abort"],
  [">", "00000001 51", "quit"],
];

/** Frames of Sendmail 8.17 where it differs. */
const SENDMAIL: readonly Example[] = [
  [
    ">",
    "00000052 44 436a006d782e6578616d706c652e74657374005f006c6f63616c686f7374205b3132372e302e302e315d007b6461656d6f6e5f6e616d657d004d5441007b69665f6e616d657d006c6f63616c686f737400",
    'macros stage=67 pairs=[["j" "mx.example.test"] ["_" "localhost [127.0.0.1]"] ["{daemon_name}" "MTA"] ["{if_name}" "localhost"]]',
  ],
  [">", "00000002 44 48", "macros stage=72 pairs=[]"],
  [
    ">",
    "0000005f 44 4d690036414d376f6f3368303237373338007b6d61696c5f6d61696c65727d0065736d7470007b6d61696c5f686f73747d006578616d706c652e6f72672e007b6d61696c5f616464727d0073656e646572406578616d706c652e6f726700",
    'macros stage=77 pairs=[["i" "6AM7oo3h027738"] ["{mail_mailer}" "esmtp"] ["{mail_host}" "example.org."] ["{mail_addr}" "sender@example.org"]]',
  ],
  [
    ">",
    "0000001f 4d 3c73656e646572406578616d706c652e6f72673e0053495a453d31303000",
    'mail address="<sender@example.org>" args=["SIZE=100"]',
  ],
  [
    ">",
    "00000034 44 527b726370745f6d61696c65727d006c6f63616c007b726370745f686f73747d00007b726370745f616464727d00726f6f7400",
    'macros stage=82 pairs=[["{rcpt_mailer}" "local"] ["{rcpt_host}" ""] ["{rcpt_addr}" "root"]]',
  ],
  [
    ">",
    "00000039 44 457b6d73675f69647d003c3230323631313232303735302e36414d376f6f3368303237373338406d782e6578616d706c652e746573743e00",
    'macros stage=69 pairs=[["{msg_id}" "<202611220750.6AM7oo3h027738@mx.example.test>"]]',
  ],
];

/** Single frames. */
const SINGLE: readonly Example[] = [
  [
    "<",
    "00000034 4f 000000060000011100000400000000017b746c735f76657273696f6e7d000000000669000000000569207b6d73675f69647d00",
    'negotiate version=6 actions=0x111 protocol=0x400 macros=[stage=1 names="{tls_version}" stage=6 names="i" stage=5 names="i {msg_id}"]',
  ],
  [
    ">",
    "0000002d 43 6d782e6578616d706c652e6f7267003661a9495076363a323030313a6462383a303a303a303a303a303a3100",
    'connect host="mx.example.org" family=inet6 port=25001 address="IPv6:2001:db8:0:0:0:0:0:1"',
  ],
  [
    ">",
    "0000001a 43 5b3139322e302e322e375d00349c403139322e302e322e3700",
    'connect host="[192.0.2.7]" family=inet port=40000 address="192.0.2.7"',
  ],
  [">", "0000000c 43 6c6f63616c686f73740055", 'connect host="localhost" family=unknown port=0 address=""'],
  [">", "0000000f 43 6c6f63616c686f7374004c000000", 'connect host="localhost" family=unix port=0 address=""'],
  [
    ">",
    "00000018 43 6c6f63616c686f7374003400003132372e302e302e3100",
    'connect host="localhost" family=inet port=0 address="127.0.0.1"',
  ],
  [">", "00000004 4d 3c3e00", 'mail address="<>" args=[]'],
  [">", "00000002 4d 00", 'mail address="" args=[]'],
  [
    ">",
    "00000015 4c 582d466f6c64006c696e65310a206c696e653200",
    'header name="X-Fold" value="line1\\n line2"',
  ],
  [">", "0000000a 4c 582d456d7074790000", 'header name="X-Empty" value=""'],
  [">", "0000000f 4c 5375626a65637400207465737400", 'header name="Subject" value=" test"'],
  [">", "00000012 55 464f4f4241522061726731206172673200", 'unknown command="FOOBAR arg1 arg2"'],
  ["<", "00000016 79 35353020352e372e31206e6f202525206865726500", 'replyCode text="550 5.7.1 no %% here"'],
  [
    "<",
    "00000021 79 3435312d342e372e312066697273740d0a34353120342e372e31206c61737400",
    'replyCode text="451-4.7.1 first\\r\\n451 4.7.1 last"',
  ],
  ["<", "00000007 68 582d41006200", 'addHeader name="X-A" value="b"'],
  ["<", "0000000b 69 00000000582d41006200", 'insertHeader index=0 name="X-A" value="b"'],
  ["<", "00000011 6d 000000015375626a656374006e657700", 'changeHeader index=1 name="Subject" value="new"'],
  ["<", "0000000e 6d 000000025375626a6563740000", 'changeHeader index=2 name="Subject" value=""'],
  ["<", "0000000b 62 6e657720626f64790d0a", 'replaceBody chunk="new body\\r\\n"'],
  ["<", "00000011 2b 3c61406578616d706c652e6f72673e00", 'addRecipient address="<a@example.org>"'],
  [
    "<",
    "0000001e 32 3c61406578616d706c652e6f72673e004e4f544946593d4e4556455200",
    'addRecipientWithArgs address="<a@example.org>" args="NOTIFY=NEVER"',
  ],
  ["<", "00000011 2d 3c62406578616d706c652e6f72673e00", 'removeRecipient address="<b@example.org>"'],
  ["<", "00000004 65 3c3e00", 'changeSender address="<>" args=undefined'],
  [
    "<",
    "00000022 65 3c6e406578616d706c652e6f72673e005245543d4844525320454e5649443d7800",
    'changeSender address="<n@example.org>" args="RET=HDRS ENVID=x"',
  ],
  ["<", "0000000c 71 737573706963696f757300", 'quarantine reason="suspicious"'],
  ["<", "00000001 70", "progress"],
  [">", "00000001 4b", "quitNewConnection"],
];

function textOf(bytes: Uint8Array): string {
  return JSON.stringify(String.fromCharCode(...bytes));
}

/** A command or reply in one line: kind, then each field as `name=value`. */
function say(value: unknown): string {
  if (value instanceof Uint8Array) return textOf(value);
  if (Array.isArray(value)) return `[${value.map(say).join(" ")}]`;
  if (typeof value !== "object" || value === null) return String(value);
  return Object.entries(value).map(([name, field]) => {
    if (name === "kind") return String(field);
    return name === "actions" || name === "protocol"
      ? `${name}=0x${field.toString(16)}`
      : `${name}=${say(field)}`;
  }).join(" ");
}

function read([direction]: Example, frame: Frame): Command | Reply {
  const parse = direction === ">" ? parseCommand : parseReply;
  return parse(frame.code, frame.payload, 0, frame.payload.length);
}

function write([direction]: Example, value: Command | Reply): Uint8Array {
  const out = new FrameWriter();
  if (direction === ">") encodeCommand(value as Command, out);
  else encodeReply(value as Reply, out);
  return out.view();
}

for (const example of [...POSTFIX, ...SENDMAIL, ...SINGLE]) {
  const [direction, hex, says] = example;
  test(`example ${direction} ${says.slice(0, 70)}`, () => {
    const bytes = fromHex(hex);
    const frames = framesOf(bytes);
    assert.equal(frames.length, 1);
    const value = read(example, frames[0]);
    assert.equal(say(value), says);
    assert.equal(toHex(write(example, value)), toHex(bytes));
  });
}

test("a whole session of Postfix: both streams have the length that was captured", () => {
  const lengths = { ">": 0, "<": 0 };
  for (const [direction, hex] of POSTFIX) lengths[direction] += fromHex(hex).length;
  assert.deepEqual(lengths, { ">": 781, "<": 93 });
});

test("a whole session of Postfix: the same frames at once, byte by byte, and with bytes behind it", () => {
  const stream = concat(...POSTFIX.filter(([direction]) => direction === ">").map(([, hex]) => fromHex(hex)));
  const whole = framesOf(stream);
  assert.equal(whole.length, POSTFIX.filter(([direction]) => direction === ">").length);
  const slow = new FrameReader();
  const frames: Frame[] = [];
  for (const byte of stream) {
    slow.push(Uint8Array.of(byte));
    frames.push(...drain(slow));
  }
  assert.deepEqual(frames, whole);
  assert.deepEqual(framesOf(concat(stream, fromHex("00000001"))), whole);
});

test("a whole session of Postfix: stages, mails and the queue id", () => {
  const reader = new FrameReader();
  reader.push(concat(...POSTFIX.filter(([direction]) => direction === ">").map(([, hex]) => fromHex(hex))));
  const macros = new MacroStore();
  let state: number = State.START;
  const story: string[] = [];
  while (reader.next()) {
    const cell = step(state, reader.code);
    state = nextState(cell);
    if (reader.code === 0x44) {
      macros.set(reader.bytes, reader.start, reader.end);
      continue;
    }
    macros.enter(reader.code);
    const effects = Object.entries(Effect).filter(([, bit]) => (cell & bit) !== 0).map(([name]) =>
      `+${name}`
    );
    story.push(`${letter(reader.code)[1]}${effects.join("")} ${macros.get("i") ?? "-"}`);
  }
  const id = "D64FA20C5C2";
  const content = ["T", "L", "L", "L", "L", "N", "B", "E+FINISH", "A", "A", "Q"].map((step) =>
    `${step} ${id}`
  );
  assert.deepEqual(story, ["O -", "C -", "H -", "M+OPEN -", "R -", ...content]);
  assert.equal(state, State.CLOSED);
  assert.equal(reader.buffered, 0);
});
