import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ALL,
  body,
  connect,
  CONTINUE,
  data,
  EMPTY,
  endOfHeaders,
  endOfMessage,
  header,
  helo,
  MAIL,
  mail,
  Play,
  quit,
  rcpt,
} from "../../tests/helpers/mta_play.ts";
import { fromHex, utf8 } from "../../tests/property/wire.ts";
import { FrameWriter, type Reply, SMFIF, SMFIP } from "../protocol/mod.ts";
import type { MtaDialect } from "./mta_dialect.ts";
import type { MtaCommand } from "./mta_types.ts";

test("verdicts: what they end, and what is sent after them", () => {
  const rows: readonly (readonly [MtaCommand["kind"], Reply, string, string, string, string])[] = [
    // at, reply, verdict, ends, then sent by Postfix, by Sendmail
    ["connect", { kind: "accept" }, "accept", "connection", "", "Q"],
    ["connect", { kind: "reject" }, "reject", "connection", "", "Q"],
    ["helo", { kind: "tempfail" }, "tempfail", "connection", "", "Q"],
    ["helo", { kind: "discard" }, "continue", "nothing", "", ""],
    ["mail", { kind: "accept" }, "accept", "mail", "", ""],
    ["mail", { kind: "tempfail" }, "tempfail", "mail", "", ""],
    ["rcpt", { kind: "reject" }, "reject", "command", "", ""],
    ["rcpt", { kind: "accept" }, "accept", "mail", "", ""],
    ["rcpt", { kind: "discard" }, "discard", "mail", "", ""],
    ["data", { kind: "reject" }, "reject", "command", "", ""],
    ["header", { kind: "discard" }, "discard", "mail", "", ""],
    ["endOfHeaders", { kind: "accept" }, "accept", "mail", "", ""],
    ["body", { kind: "skip" }, "skip", "nothing", "", ""],
    ["body", { kind: "tempfail" }, "tempfail", "mail", "", ""],
    ["endOfMessage", { kind: "accept" }, "accept", "mail", "", ""],
    ["endOfMessage", { kind: "continue" }, "continue", "nothing", "", ""],
    ["mail", { kind: "replyCode", text: utf8("421 4.3.2 bye") }, "tempfail", "connection", "", "Q"],
  ];
  for (const [at, reply, verdict, ends, postfix, sendmail] of rows) {
    for (const [dialect, then] of [["postfix", postfix], ["sendmail", sendmail]] as const) {
      const play = new Play(dialect).negotiated(SMFIP.SKIP).upTo(at);
      const event = play.answer(reply);
      assert.equal(event.kind, "answer");
      assert.deepEqual([event.verdict, event.ends], [verdict, ends], `${at} ${reply.kind} ${dialect}`);
      assert.equal(play.written(), then, `${at} ${reply.kind} ${dialect}`);
      assert.equal(play.session.over, ends === "connection");
      if (ends === "connection") assert.equal(play.pass(mail, quit).trim(), "", "nothing follows");
    }
  }
});

test("a filter that is done with a mail sees nothing more of it, and the next one in full", () => {
  for (const at of ["mail", "rcpt", "header", "endOfHeaders", "body"] as const) {
    const play = new Play("sendmail").negotiated().upTo(at);
    play.answer({ kind: "accept" });
    const rest = ALL.slice(ALL.findIndex(({ kind }) => kind === at) + 1);
    assert.equal(play.pass(...rest).trim(), "", at);
    assert.equal(play.pass(...MAIL), "DM DR T L N B DE", at);
  }
});

test("skip leaves out what each mail server leaves out", () => {
  const rows: readonly (readonly [MtaCommand, MtaDialect, string, string])[] = [
    [body, "postfix", "skip", " DE"],
    [body, "sendmail", "skip", " DE"],
    [header, "postfix", "skip", " DN DB DE"],
    [header, "sendmail", "skip", "L N  DE"],
    [endOfHeaders, "postfix", "continue", "DB DE"],
    [endOfHeaders, "sendmail", "skip", " DE"],
    [rcpt, "postfix", "skip", " DT DL DN DB DE"],
    [rcpt, "sendmail", "accept", "     "],
    [helo, "sendmail", "accept", "      "],
  ];
  for (const [at, dialect, verdict, rest] of rows) {
    const play = new Play(dialect).negotiated(SMFIP.SKIP).upTo(at.kind);
    const event = play.answer({ kind: "skip" });
    assert.ok(event.kind === "answer" && event.verdict === verdict, `${at.kind} ${dialect}`);
    play.written();
    const again = at === body || at === header || at === rcpt ? [at] : [];
    const letters = play.pass(...again, ...ALL.slice(ALL.indexOf(at) + 1));
    assert.equal(letters, rest, `${at.kind} ${dialect}`);
    assert.equal(play.warnings.length, at === body ? 0 : 1);
  }
  assert.throws(
    () => new Play("sendmail").negotiated(SMFIP.SKIP).upTo("endOfMessage").answer({ kind: "skip" }),
    {
      code: "wrong-stage",
    },
  );
});

test("edits, progress and quarantine come at the end only, except what Postfix bears", () => {
  const edit: Reply = { kind: "addHeader", name: utf8("X-A"), value: utf8("b") };
  const quarantine: Reply = { kind: "quarantine", reason: utf8("why") };
  for (const dialect of ["postfix", "sendmail"] as const) {
    const end = new Play(dialect).negotiated().upTo("endOfMessage");
    assert.equal(end.answer({ kind: "progress" }).kind, "progress");
    assert.equal(end.answer(edit).kind, "edit");
    assert.equal(end.answer(quarantine).kind, "edit");
    assert.equal(end.answer(CONTINUE).kind, "answer");
    assert.deepEqual(end.warnings, []);
    assert.throws(() => new Play(dialect).negotiated().upTo("header").answer(edit), { code: "wrong-stage" });
  }
  assert.throws(() => new Play("sendmail").negotiated().upTo("mail").answer({ kind: "progress" }), {
    code: "wrong-stage",
  });
  assert.throws(() => new Play("sendmail").negotiated().upTo("mail").answer(quarantine), {
    code: "wrong-stage",
  });
  const postfix = new Play("postfix").negotiated().upTo("mail");
  assert.equal(postfix.answer({ kind: "progress" }).kind, "progress");
  assert.equal(postfix.answer(quarantine).kind, "edit");
  assert.match(postfix.warnings.join(), /quarantines at command 'M'/);
});

test("Postfix wants a new body in one run, Sendmail does not mind", () => {
  const piece: Reply = { kind: "replaceBody", chunk: utf8("x") };
  const edit: Reply = { kind: "removeRecipient", address: utf8("<a@b>") };
  const postfix = new Play("postfix").negotiated().upTo("endOfMessage");
  for (const reply of [edit, piece, piece, edit]) postfix.answer(reply);
  assert.throws(() => postfix.answer(piece), { code: "wrong-stage" });
  const sendmail = new Play("sendmail").negotiated().upTo("endOfMessage");
  for (const reply of [piece, edit, piece, CONTINUE]) sendmail.answer(reply);
  // And the run of one mail is not that of the next.
  const next = new Play("postfix").negotiated().upTo("endOfMessage");
  for (const reply of [piece, edit, CONTINUE]) next.answer(reply);
  next.pass(...MAIL.slice(0, -1));
  next.send(endOfMessage);
  assert.equal(next.answer(piece).kind, "edit");
});

test("replies that no mail server takes", () => {
  const at = (kind: MtaCommand["kind"]): Play => new Play("postfix").negotiated().upTo(kind);
  // A byte behind a one-letter reply.
  assert.throws(() => at("mail").take(fromHex("000000026300")), { code: "bad-value" });
  assert.throws(() => at("mail").take(fromHex("000000016c")), { code: "unknown-code" });
  assert.throws(() => at("mail").answer({ kind: "connectionFailed" }), { code: "wrong-stage" });
  assert.throws(() => at("header").answer({ kind: "shutdown" }), { code: "wrong-stage" });
  assert.throws(() => new Play("sendmail").negotiated().upTo("mail").answer({ kind: "shutdown" }), {
    code: "wrong-stage",
  });
  assert.throws(
    () => at("mail").answer({ kind: "negotiate", version: 6, actions: 0, protocol: 0, macros: [] }),
    { code: "wrong-stage" },
  );
  const fresh = new Play("postfix");
  fresh.session.start(new FrameWriter());
  assert.throws(() => fresh.answer(CONTINUE), /'O' \(SMFIC_OPTNEG\) is expected/);
});

test("a surplus reply is refused, and a stage that was to be silent is named", () => {
  const play = new Play("postfix").negotiated(SMFIP.NR_HDR);
  play.pass(connect, helo, mail, rcpt, data);
  assert.throws(() => play.answer(CONTINUE), /no command waits for one/);
  play.send(header);
  assert.throws(() => play.answer(CONTINUE), /negotiated not to answer command 'L'/);
});

test("edits without their flag are named", () => {
  const rows: readonly (readonly [Reply, keyof typeof SMFIF])[] = [
    [{ kind: "addHeader", name: utf8("X"), value: EMPTY }, "ADDHDRS"],
    [{ kind: "insertHeader", index: 0, name: utf8("X"), value: EMPTY }, "ADDHDRS"],
    [{ kind: "changeHeader", index: 1, name: utf8("X"), value: EMPTY }, "CHGHDRS"],
    [{ kind: "replaceBody", chunk: EMPTY }, "CHGBODY"],
    [{ kind: "addRecipient", address: utf8("a") }, "ADDRCPT"],
    [{ kind: "addRecipientWithArgs", address: utf8("a"), args: utf8("b") }, "ADDRCPT_PAR"],
    [{ kind: "removeRecipient", address: utf8("a") }, "DELRCPT"],
    [{ kind: "changeSender", address: utf8("a"), args: undefined }, "CHGFROM"],
    [{ kind: "quarantine", reason: utf8("a") }, "QUARANTINE"],
  ];
  for (const [reply, flag] of rows) {
    const without = new Play("sendmail").negotiated(0, 0x1ff & ~SMFIF[flag]).upTo("endOfMessage");
    without.answer(reply);
    assert.match(without.warnings.join(), new RegExp(`SMFIF_${flag} and sends ${reply.kind}`));
    const negotiated = new Play("sendmail").negotiated(0, SMFIF[flag]).upTo("endOfMessage");
    negotiated.answer(reply);
    assert.deepEqual(negotiated.warnings, []);
  }
});
