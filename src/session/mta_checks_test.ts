import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../tests/property/wire.ts";
import { type Agreement, type Reply, SMFIC, SMFIM, SMFIP } from "../protocol/mod.ts";
import { oddEdit, readReplyText } from "./mta_checks.ts";
import { MtaMacros } from "./mta_macros.ts";

test("reply texts that both mail servers show as they are", () => {
  const rows: readonly (readonly [string, number, string])[] = [
    ["550 5.7.1 no", 550, "550 5.7.1 no"],
    ["451 4.7.1 100%% later", 451, "451 4.7.1 100% later"],
    ["550-5.7.1 one\r\n550 5.7.1 two", 550, "550-5.7.1 one\r\n550 5.7.1 two"],
    ["421 4.3.2 bye", 421, "421 4.3.2 bye"],
    ["554 5.6.0", 554, "554 5.6.0"],
  ];
  for (const [text, code, shown] of rows) {
    assert.deepEqual(readReplyText(utf8(text)), { code, text: shown, warnings: [] });
  }
});

test("reply texts that a mail server refuses, or that hang the client", () => {
  const rows: readonly (readonly [string, RegExp])[] = [
    ["", /does not start with a code/],
    ["250 2.0.0 fine", /does not start with a code from 400 to 599/],
    ["55", /does not start with a code/],
    ["550", /no blank after the code/],
    ["550-5.7.1 x", /line 1 has no blank/],
    ["550 5.7.1 a\r\n550 5.7.1 b", /line 1 has no "-"/],
    ["550-5.7.1 a\r\n551 5.7.1 b", /line 2 does not start with 550/],
    ["550 4.7.1 x", /"4.7.1" is not of class 5/],
    ["550 5.7.1 x\r\n", /ends with a line end/],
    ["550 5.7.1 a\rb", /control character/],
    ["550 5.7.1 a\x1b[0m", /control character/],
  ];
  for (const [text, why] of rows) {
    assert.throws(() => readReplyText(utf8(text)), { name: "ProtocolError", code: "bad-value" }, text);
    assert.throws(() => readReplyText(utf8(text)), why, text);
  }
});

test("reply texts that pass and should not be relied on", () => {
  const rows: readonly (readonly [string, RegExp])[] = [
    ["550 no enhanced code", /no enhanced status code/],
    ["550 5.7.1 50% off", /single %/],
    ["550-5.7.1 a\n550 5.7.1 b", /LF/],
    [`550 5.7.1 ${"x".repeat(980)}`, /over 980/],
  ];
  for (const [text, why] of rows) assert.match(readReplyText(utf8(text)).warnings.join(), why);
});

const AGREED: Agreement = { version: 6, actions: 0x1ff, protocol: 0, macros: [], dataSize: 65_535 };

test("header edits and quarantine reasons that end otherwise than meant", () => {
  const value = (text: string): Reply => ({ kind: "addHeader", name: utf8("X-A"), value: utf8(text) });
  const rows: readonly (readonly [Reply, RegExp | undefined])[] = [
    [value("a\n\tb\n c"), undefined],
    [value(""), undefined],
    [value("a\r\n b"), /has a CR/],
    [value("a\nb"), /line end without a blank/],
    [value("a\n"), /line end without a blank/],
    [{ kind: "insertHeader", index: 0, name: utf8("X-A:"), value: utf8("a") }, /not printable ASCII/],
    [{ kind: "changeHeader", index: 1, name: utf8("X A"), value: utf8("a") }, /not printable ASCII/],
    [{ kind: "quarantine", reason: utf8("") }, /no reason/],
    [{ kind: "quarantine", reason: utf8("a\nb") }, /line end/],
    [{ kind: "quarantine", reason: utf8("a") }, undefined],
  ];
  for (const [reply, odd] of rows) {
    const found = oddEdit(reply, AGREED, "postfix");
    if (odd === undefined) assert.deepEqual(found, []);
    else assert.match(found.join(), odd);
  }
  const spaced = { ...AGREED, protocol: SMFIP.HDR_LEADSPC };
  assert.match(oddEdit(value("a"), spaced, "postfix").join(), /no leading blank/);
  assert.deepEqual(oddEdit(value(" a"), spaced, "postfix"), []);
});

/** Names of the macros before a command, all having a value; undefined if there is no frame. */
function names(macros: MtaMacros, code: number): string | undefined {
  return macros.pairs(code)?.map(([name]) => new TextDecoder().decode(name)).join(" ");
}

test("a filter's macro lists, as Postfix and as Sendmail take them", () => {
  const list = (stage: number, names: string) => ({ stage, names: utf8(names) });
  const { MAIL, BODYEOB, EOH, HEADER, BODY, DATA } = SMFIC;
  const rows: readonly (readonly [
    ReturnType<typeof list>[],
    number,
    string | undefined,
    string | undefined,
  ])[] = [
    // asked, command, Postfix, Sendmail
    [[], DATA, "i", undefined],
    [[], BODYEOB, "i", "{msg_id}"],
    [[list(SMFIM.ENVFROM, "{i} mail_addr,x")], MAIL, "{i} mail_addr x", "i {mail_addr} x"],
    [[list(SMFIM.DATA, "i")], DATA, "i", "i"],
    [
      [list(SMFIM.ENVFROM, "")],
      MAIL,
      "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}",
      undefined,
    ],
    [[list(SMFIM.EOH, "{aa}")], EOH, "{aa}", "{aa}"],
    [[list(SMFIM.EOH, "{aa}")], HEADER, "{aa}", undefined],
    // Sendmail looks at the wrong list for the end of message.
    [[list(SMFIM.EOM, "{aa}")], BODYEOB, "{aa}", "{msg_id}"],
    [[list(SMFIM.EOM, "{aa}")], BODY, "{aa}", undefined],
    [[list(SMFIM.EOH, "{aa}")], BODYEOB, "i", undefined],
    [[list(SMFIM.EOM, "{aa}"), list(SMFIM.EOH, "{bb}")], BODYEOB, "{aa}", "{aa}"],
  ];
  for (const [asked, code, postfix, sendmail] of rows) {
    for (const [dialect, expected] of [["postfix", postfix], ["sendmail", sendmail]] as const) {
      const macros = new MtaMacros(dialect, () => "v");
      macros.agree(6, asked);
      assert.equal(names(macros, code), expected, `${dialect} ${code} ${JSON.stringify(asked)}`);
    }
  }
});

test("odd macro lists are named", () => {
  const odd = (dialect: "postfix" | "sendmail", stage: number, names: string): string =>
    new MtaMacros(dialect, () => undefined).agree(6, [{ stage, names: utf8(names) }]).join();
  assert.match(odd("postfix", 7, "a"), /stage 7/);
  assert.match(odd("sendmail", SMFIM.CONNECT, Array(51).fill("a").join(" ")), /51 macros/);
  assert.match(odd("sendmail", SMFIM.EOM, "a"), /end of headers/);
  assert.equal(odd("postfix", SMFIM.EOM, "a"), "");
});

test("macros without a value are left out, an empty value is sent, lists of the administrator replace the defaults", () => {
  const source = (name: string): string | undefined => ({ i: "Q", mail_addr: "" })[name];
  const macros = new MtaMacros("postfix", source, new Map([[SMFIC.CONNECT, ["{i}"]]]));
  macros.agree(6, []);
  assert.equal(names(macros, SMFIC.MAIL), "i {mail_addr}");
  assert.equal(names(macros, SMFIC.CONNECT), "{i}");
  macros.agree(4, []);
  assert.equal(names(macros, SMFIC.EOH), "");
});
