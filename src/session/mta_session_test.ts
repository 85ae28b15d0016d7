import assert from "node:assert/strict";
import { test } from "node:test";
import {
  abort,
  ALL,
  body,
  connect,
  CONTINUE,
  data,
  endOfHeaders,
  endOfMessage,
  header,
  helo,
  MAIL,
  mail,
  Play,
  quit,
  rcpt,
  unknown,
} from "../../tests/helpers/mta_play.ts";
import { toHex, utf8 } from "../../tests/property/wire.ts";
import { FrameWriter, type Reply, SMFIP } from "../protocol/mod.ts";
import type { MtaDialect } from "./mta_dialect.ts";
import { MtaSession } from "./mta_session.ts";
import type { MtaCommand } from "./mta_types.ts";

test("a Postfix session is byte for byte the one seen on the wire", () => {
  const macros: Record<string, string> = {
    j: "mx.example.test",
    daemon_name: "mx.example.test",
    daemon_addr: "127.0.0.1",
    v: "Postfix 3.7.11",
    _: "localhost [127.0.0.1]",
    mail_addr: "sender@example.org",
    mail_host: "no",
    mail_mailer: "error",
    rcpt_addr: "rcpt@example.test",
    rcpt_host: "example.test",
    rcpt_mailer: "local",
  };
  const play = new Play("postfix", { macros: (name) => macros[name] });
  const bytes: string[] = [];
  const note = (): void => void bytes.push(play.bytes());
  const say = (command: MtaCommand): void => {
    play.session.send(command, play.out);
    note();
    if (play.session.awaiting !== undefined) play.answer(CONTINUE);
  };
  play.session.start(play.out);
  note();
  play.answer({ kind: "negotiate", version: 6, actions: 1, protocol: 0, macros: [] });
  say(connect);
  say(helo);
  say({
    kind: "mail",
    address: utf8("<sender@example.org>"),
    args: [utf8("SIZE=100"), utf8("BODY=8BITMIME")],
  });
  say(rcpt);
  macros.i = "D64FA20C5C2";
  say(data);
  const field = (name: string, value: string): MtaCommand => ({
    kind: "header",
    name: utf8(name),
    value: utf8(value),
  });
  say(field("From", "<sender@example.org>"));
  say(endOfHeaders);
  say(body);
  say(endOfMessage);
  say(quit);
  const i = (letter: string): string => `0000001044${letter}6900${toHex(utf8("D64FA20C5C2"))}00`;
  const expected = [
    "0000000d4f00000006000001ff001fffff",
    "0000007344436a006d782e6578616d706c652e74657374007b6461656d6f6e5f6e616d657d006d782e6578616d706c652e74657374007b" +
    "6461656d6f6e5f616464727d003132372e302e302e31007600506f737466697820332e372e3131005f006c6f63616c686f7374205b3132" +
    "372e302e302e315d0000000018436c6f63616c686f73740034bca63132372e302e302e3100",
    "0000000244480000001448636c69656e742e6578616d706c652e6f726700",
    "00000044444d7b6d61696c5f616464727d0073656e646572406578616d706c652e6f7267007b6d61696c5f686f73747d006e6f007b6d61" +
    "696c5f6d61696c65727d006572726f72000000002d4d3c73656e646572406578616d706c652e6f72673e0053495a453d31303000424f44" +
    "593d384249544d494d4500",
    "0000004d44527b726370745f616464727d0072637074406578616d706c652e74657374007b726370745f686f73747d006578616d706c65" +
    "2e74657374007b726370745f6d61696c65727d006c6f63616c0000000015523c72637074406578616d706c652e746573743e00",
    `${i("54")}0000000154`,
    `${i("4c")}0000001b4c46726f6d003c73656e646572406578616d706c652e6f72673e00`,
    `${i("4e")}000000014e`,
    `${i("42")}000000084268656c6c6f0d0a`,
    `${i("45")}0000000145`,
    "000000014100000001410000000151",
  ];
  assert.deepEqual(bytes, expected);
});

test("Sendmail's frames have their own order and macros", () => {
  const play = new Play("sendmail", { macros: (name) => ({ j: "mx", i: "Q1", msg_id: "<1@x>" })[name] })
    .negotiated();
  assert.equal(play.pass(...ALL, quit), "DC DH DM DR T L N B DE Q");
  const postfix = new Play("postfix").negotiated();
  assert.equal(postfix.pass(...ALL, quit), "DC DH DM DR DT DL DN DB DE AAQ");
});

test("the next mail: Postfix sends a late abort before it, Sendmail nothing", () => {
  const postfix = new Play("postfix").negotiated();
  postfix.pass(...ALL);
  assert.equal(postfix.pass(...MAIL, ...MAIL), "ADM DR DT DL DN DB DE ADM DR DT DL DN DB DE");
  const sendmail = new Play("sendmail").negotiated();
  sendmail.pass(...ALL);
  assert.equal(sendmail.pass(...MAIL), "DM DR T L N B DE");
});

test("aborts, by what the filter answered before", () => {
  const rows:
    readonly (readonly [string, readonly MtaCommand[], Reply | undefined, MtaCommand, string, string])[] = [
      ["nothing open", [], undefined, abort, "A", ""],
      ["after MAIL", [mail], CONTINUE, abort, "A", "A"],
      ["after a refused MAIL", [mail], { kind: "reject" }, abort, "AA", ""],
      ["after a discard at MAIL", [mail], { kind: "discard" }, abort, "A", ""],
      ["after a discard at RCPT", [mail, rcpt], { kind: "discard" }, abort, "A", "A"],
      ["after accept at RCPT", [mail, rcpt], { kind: "accept" }, abort, "A", ""],
      ["after a refused field", [mail, rcpt, data, header], { kind: "reject" }, abort, "A", ""],
      ["MAIL in a mail", [mail, rcpt], CONTINUE, mail, "ADM", "ADM"],
      ["HELO in a mail", [mail, rcpt], CONTINUE, helo, "DH", "ADH"],
      ["the end in a mail", [mail, rcpt], CONTINUE, quit, "AQ", "Q"],
    ];
  for (const [name, before, reply, command, postfix, sendmail] of rows) {
    for (const [dialect, expected] of [["postfix", postfix], ["sendmail", sendmail]] as const) {
      const play = new Play(dialect).negotiated();
      play.pass(connect, helo, ...before.slice(0, -1));
      const last = before.at(-1);
      if (last !== undefined) {
        play.send(last);
        play.answer(reply!);
      }
      assert.equal(play.send(command).replace("?", ""), expected, `${name}, ${dialect}`);
    }
  }
});

test("Postfix tells of a second HELO first and aborts behind it", () => {
  const play = new Play("postfix").negotiated();
  play.pass(connect, helo, mail);
  assert.equal(play.pass(helo, mail), "DH ADM");
});

test("Sendmail aborts nothing where it does not send or wait at MAIL", () => {
  for (const flag of [SMFIP.NOMAIL, SMFIP.NR_MAIL]) {
    const play = new Play("sendmail").negotiated(flag);
    play.pass(connect, helo, mail, rcpt);
    assert.equal(play.send(abort), "");
  }
});

test("what is not wanted is not sent; macros of the envelope go all the same", () => {
  const none = SMFIP.NOCONNECT | SMFIP.NOHELO | SMFIP.NOMAIL | SMFIP.NORCPT | SMFIP.NODATA | SMFIP.NOUNKNOWN |
    SMFIP.NOHDRS | SMFIP.NOEOH | SMFIP.NOBODY;
  const postfix = new Play("postfix").negotiated(none);
  assert.equal(postfix.pass(connect, helo, unknown, ...MAIL), "D D  D D D    DE");
  const sendmail = new Play("sendmail").negotiated(none);
  assert.equal(sendmail.pass(connect, helo, unknown, ...MAIL), "D D  D D     DE");
});

test("what is not answered is not waited for", () => {
  const silent = SMFIP.NR_CONN | SMFIP.NR_HELO | SMFIP.NR_MAIL | SMFIP.NR_RCPT | SMFIP.NR_DATA |
    SMFIP.NR_UNKN |
    SMFIP.NR_HDR | SMFIP.NR_EOH | SMFIP.NR_BODY;
  const play = new Play("postfix").negotiated(silent);
  for (const command of [connect, helo, unknown, ...MAIL.slice(0, -1)]) {
    assert.ok(!play.send(command).includes("?"), command.kind);
  }
  assert.equal(play.send(endOfMessage), "DE?");
});

test("versions 2 and 3 know fewer commands, and answers may lower the version", () => {
  for (
    const [offered, answered, letters] of [[2, 2, "DM DR D DL"], [3, 3, "DU DM DR D DL"], [
      6,
      2,
      "DM DR D DL",
    ], [6, 4, "DU DM DR DT DL"]] as const
  ) {
    const play = new Play("postfix", { version: offered }).negotiated(0, 0x1ff, answered);
    play.pass(connect, helo);
    assert.equal(play.pass(unknown, mail, rcpt, data, header).trim(), letters, `${offered}, ${answered}`);
  }
  assert.throws(() => new MtaSession({ dialect: "postfix", version: 7 }), RangeError);
  assert.throws(() => new MtaSession({ dialect: "postfix", version: 1 }), RangeError);
});

test("offers by dialect and version", () => {
  const rows: readonly (readonly [MtaDialect, number, string])[] = [
    ["postfix", 2, "00000002000001ff0000007f"],
    ["postfix", 3, "00000003000001ff0000017f"],
    ["postfix", 4, "00000004000001ff0000037f"],
    ["postfix", 6, "00000006000001ff001fffff"],
    ["sendmail", 2, "000000020000003f0000007f"],
    ["sendmail", 6, "00000006000001ff001fffff"],
  ];
  for (const [dialect, version, words] of rows) {
    const out = new FrameWriter();
    new MtaSession({ dialect, version }).start(out);
    assert.equal(toHex(out.view()), `0000000d4f${words}`);
  }
  const out = new FrameWriter();
  new MtaSession({ dialect: "sendmail", actions: 1, protocol: 0x201fffff }).start(out);
  assert.equal(toHex(out.view()), "0000000d4f0000000600000001201fffff");
});

test("an answer that takes more than was offered is refused", () => {
  const answer = (dialect: MtaDialect, version: number, actions: number, protocol: number) => {
    const play = new Play(dialect, { version: 4 });
    play.session.start(new FrameWriter());
    play.answer({ kind: "negotiate", version, actions, protocol, macros: [] });
    return play;
  };
  for (const dialect of ["postfix", "sendmail"] as const) {
    assert.throws(() => answer(dialect, 6, 0, 0), { name: "ProtocolError", code: "bad-value" });
    assert.throws(() => answer(dialect, 4, 0x200, 0), { code: "bad-value" });
    assert.throws(() => answer(dialect, 1, 0, 0), { code: "bad-value" });
  }
  assert.throws(() => answer("sendmail", 4, 0, SMFIP.SKIP), { code: "bad-value" });
  assert.match(answer("postfix", 4, 0, SMFIP.SKIP).warnings.join(), /0x400 that were not offered/);
});

test("IPv6 clients: as they are for Postfix, in Sendmail's own form for Sendmail", () => {
  const rows = [
    ["2001:db8::1", "2001:db8::1", "IPv6:2001:db8:0:0:0:0:0:1"],
    ["IPv6:::1", "::1", "IPv6:0:0:0:0:0:0:0:1"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", "IPv6:1:2:3:4:5:6:7:8"],
  ];
  for (const [address, postfix, sendmail] of rows) {
    for (const [dialect, expected] of [["postfix", postfix], ["sendmail", sendmail]] as const) {
      const play = new Play(dialect, { macroLists: new Map() }).negotiated();
      play.session.send({ ...connect, family: "inet6", address: utf8(address) } as MtaCommand, play.out);
      assert.ok(play.bytes().endsWith(`0036bca6${toHex(utf8(expected))}00`), expected);
    }
  }
});

test("header values bring the blank after the colon if the filter asked for it", () => {
  const play = new Play("postfix").negotiated(SMFIP.HDR_LEADSPC);
  play.pass(connect, helo, mail, rcpt, data);
  play.session.send(header, play.out);
  assert.ok(play.bytes().endsWith(toHex(utf8("Subject\0 test\0"))));
});

test("calls at the wrong moment are the caller's mistakes and named", () => {
  const play = new Play("postfix");
  assert.throws(() => play.send(mail), TypeError);
  play.negotiated();
  assert.throws(() => play.session.start(new FrameWriter()), TypeError);
  play.pass(connect, helo, mail, rcpt);
  play.send(data);
  assert.throws(() => play.send(header), /answer to 'T' is still to come/);
  play.answer(CONTINUE);
  play.pass(header, endOfHeaders);
  assert.throws(() => play.send(header), /Cannot send command 'L' at stage "body"/);
  assert.throws(() => play.send({ kind: "body", chunk: new Uint8Array(65_536) }), RangeError);
  play.pass({ kind: "body", chunk: new Uint8Array(65_535) }, endOfMessage, quit);
  assert.throws(() => play.send(mail), TypeError);
});

test("larger frames where they were agreed to; long fields only to Postfix's filters", () => {
  const large = new Play("sendmail", { protocol: 0x301fffff }).negotiated(SMFIP.MDS_256K);
  assert.equal(large.session.agreement?.dataSize, 262_143);
  const field: MtaCommand = { kind: "header", name: utf8("X"), value: new Uint8Array(80_000).fill(0x61) };
  const play = (dialect: MtaDialect): Play => {
    const fresh = new Play(dialect).negotiated();
    fresh.pass(connect, helo, mail, rcpt, data);
    return fresh;
  };
  assert.equal(play("postfix").pass(field), "DL");
  assert.throws(() => play("sendmail").pass(field), RangeError);
});

test("a new SMTP connection on the same socket starts anew and keeps the options", () => {
  const play = new Play("postfix").negotiated(SMFIP.NOHELO);
  play.pass(...ALL);
  assert.equal(play.pass({ kind: "quitNewConnection" }, ...ALL), "K DC D DM DR DT DL DN DB DE");
  play.pass(mail);
  assert.equal(play.pass({ kind: "quitNewConnection" }), "AK");
});

test("unknown commands may come anywhere and end no mail", () => {
  const play = new Play("postfix").negotiated();
  assert.equal(play.pass(unknown, connect, unknown, helo, mail, rcpt, unknown), "DU DC DU DH DM DR DU");
  play.send(unknown);
  const event = play.answer({ kind: "reject" });
  assert.ok(event.kind === "answer" && event.ends === "command");
  assert.equal(play.pass(data, header), "DT DL");
  play.send(unknown);
  play.answer({ kind: "accept" });
  assert.match(play.warnings.join(), /dies of that/);
});
