import assert from "node:assert/strict";
import { test } from "node:test";
import { latin1, utf8 } from "../../tests/property/wire.ts";
import { accept, discard, type Filter, proceed, reject, skip, tempfail } from "../filter/mod.ts";
import { uniformPolicy } from "../session/policy.ts";
import { runFilter, type TestMail } from "./run_filter.ts";

const HOOKS = [
  "connect",
  "helo",
  "mail",
  "rcpt",
  "data",
  "header",
  "endOfHeaders",
  "body",
  "endOfMessage",
  "message",
] as const;
type HookName = typeof HOOKS[number];

/** A filter with one hook that returns a value. */
function returning(hook: HookName, verdict: unknown, late = false): Filter {
  return { [hook]: () => late ? Promise.resolve(verdict) : verdict } as Filter;
}

const MAIL: TestMail = { message: "Subject: hello\nX-Tag: a\nX-Tag: b\n\nHi!\n" };

test("every hook is called once, in order, with what belongs to it", async () => {
  const seen: string[] = [];
  const filter: Filter = {
    connect: (client) =>
      void seen.push(`connect ${client.host} ${client.family} ${client.address} ${client.port}`),
    helo: (name) => void seen.push(`helo ${name}`),
    mail: (sender) => void seen.push(`mail ${sender.address} ${sender.parameter("size")}`),
    rcpt: (recipient) => void seen.push(`rcpt ${recipient.address}`),
    data: (context) => void seen.push(`data ${context.recipients.length}`),
    header: (field) => void seen.push(`header ${field.name} ${field.value}`),
    endOfHeaders: (context) => void seen.push(`endOfHeaders ${context.headers.length}`),
    body: (chunk) => void seen.push(`body ${chunk.length}`),
    endOfMessage: (context) => void seen.push(`endOfMessage ${context.queueId}`),
    message: (mail) => void seen.push(`message ${mail.body.text().trim()} ${mail.helo}`),
    close: () => void seen.push("close"),
  };
  const run = await runFilter(filter, {
    ...MAIL,
    sender: "me@example.org",
    senderArgs: ["SIZE=99"],
    recipients: ["a@example.com", "<b@example.com>"],
    client: { host: "mx.example.net", address: "2001:db8::1", port: 25 },
    helo: "hi.example.net",
    macros: { i: "Q7" },
  });
  assert.deepEqual(seen, [
    "connect mx.example.net inet6 2001:db8::1 25",
    "helo hi.example.net",
    "mail me@example.org 99",
    "rcpt a@example.com",
    "rcpt b@example.com",
    "data 2",
    "header Subject hello",
    "header X-Tag a",
    "header X-Tag b",
    "endOfHeaders 3",
    "body 5",
    "endOfMessage Q7",
    "message Hi! hi.example.net",
    "close",
  ]);
  assert.deepEqual([run.verdict, run.stage, run.reply, run.failure], [
    "continue",
    "endOfMessage",
    undefined,
    undefined,
  ]);
  assert.deepEqual(run.mail?.recipients, ["<a@example.com>", "<b@example.com>"]);
  assert.equal(run.mail?.sender, "<me@example.org>");
});

test("every verdict at every hook, at once and later", async () => {
  const verdicts = {
    continue: proceed(),
    accept: accept(),
    reject: reject(),
    tempfail: tempfail(),
    discard: discard(),
  };
  for (const hook of HOOKS) {
    for (const [kind, verdict] of Object.entries(verdicts)) {
      if (kind === "discard" && (hook === "connect" || hook === "helo")) continue;
      for (const late of [false, true]) {
        const run = await runFilter(returning(hook, verdict, late), MAIL);
        const label = `${hook} ${kind} ${late}`;
        assert.equal(run.verdict, kind, label);
        const stage = kind === "continue" || hook === "message" ? "endOfMessage" : hook;
        assert.equal(run.stage, stage, label);
        const passed = kind === "continue" || kind === "accept";
        assert.equal(run.mail !== undefined, passed, label);
        if (passed) assert.deepEqual(run.mail?.recipients, ["<recipient@example.com>"], label);
      }
    }
  }
});

test("replies of the filter's own come back as the client sees them", async () => {
  const rows: readonly (readonly [Filter, string])[] = [
    [returning("mail", reject("5.7.1", "100% no")), "550 5.7.1 100% no"],
    [returning("message", tempfail("4.7.1", ["one", "two"])), "451-4.7.1 one\r\n451 4.7.1 two"],
    [returning("connect", reject("5.7.1", "go away", 554)), "554 5.7.1 go away"],
    [returning("rcpt", reject("5.1.1", "nobody")), "550 5.1.1 nobody"],
  ];
  for (const [filter, reply] of rows) assert.equal((await runFilter(filter, MAIL)).reply, reply);
});

test("recipients are refused one by one", async () => {
  const filter: Filter = {
    rcpt: (recipient) =>
      recipient.domain === "bad.example"
        ? reject("5.1.1", "nobody")
        : recipient.domain === "late.example"
        ? tempfail()
        : undefined,
    message: (mail, { addHeader }) =>
      addHeader("X-To", mail.recipients.map(({ address }) => address).join(" ")),
  };
  const some = await runFilter(filter, { recipients: ["a@bad.example", "b@ok.example", "c@late.example"] });
  assert.deepEqual(some.refused, [
    { recipient: "<a@bad.example>", reply: "550 5.1.1 nobody" },
    { recipient: "<c@late.example>", reply: undefined },
  ]);
  assert.equal(some.verdict, "continue");
  assert.deepEqual(some.mail?.recipients, ["<b@ok.example>"]);
  assert.match(some.message!, /^X-To: b@ok\.example\r$/m);
  const none = await runFilter(filter, { recipients: ["a@bad.example"] });
  assert.deepEqual([none.verdict, none.stage, none.reply, none.mail], [
    "reject",
    "rcpt",
    "550 5.1.1 nobody",
    undefined,
  ]);
});

test("accepting at one recipient accepts the mail for all that are asked for", async () => {
  const run = await runFilter({ rcpt: () => accept() }, { recipients: ["a@x.example", "b@x.example"] });
  assert.equal(run.verdict, "accept");
  assert.deepEqual(run.mail?.recipients, ["<a@x.example>", "<b@x.example>"]);
});

test("every edit, in both dialects", async () => {
  const filter: Filter = {
    message(_mail, edit) {
      edit.addHeader("X-Added", "1");
      edit.insertHeader(0, "X-Top", "2");
      edit.changeHeader("Subject", "new\n folded");
      edit.removeHeader("X-Tag");
      edit.replaceBody("Bye!\r\n");
      edit.addRecipient("new@example.com", "NOTIFY=NEVER");
      edit.removeRecipient("<recipient@example.com>");
      edit.changeSender("<>");
      edit.quarantine("looks odd");
    },
  };
  for (const dialect of ["postfix", "sendmail"] as const) {
    const run = await runFilter(filter, MAIL, { dialect });
    assert.equal(run.message, "X-Top: 2\r\nSubject: new\r\n folded\r\nX-Added: 1\r\n\r\nBye!\r\n", dialect);
    const { sender, recipients, quarantine } = run.mail!;
    assert.deepEqual([sender, recipients, quarantine], ["<>", ["<new@example.com>"], "looks odd"]);
  }
});

test("edits of a refused mail come to nothing", async () => {
  const run = await runFilter({
    message: (_mail, { addHeader, reject }) => {
      addHeader("X", "y");
      return reject();
    },
  }, MAIL);
  assert.deepEqual([run.verdict, run.edits, run.mail, run.message], ["reject", [], undefined, undefined]);
});

test("a mail of any size and any bytes", async () => {
  const lines = latin1(`X: caf\xe9\n\n${"\xff\x00line\n".repeat(40_000)}`);
  const sizes: number[] = [];
  let total = 0;
  const run = await runFilter({
    header: (field) => assert.deepEqual(field.raw, latin1("caf\xe9")),
    body: (chunk) => {
      sizes.push(chunk.length);
      total += chunk.length;
    },
  }, { message: lines });
  assert.equal(total, 8 * 40_000);
  assert.deepEqual(sizes, [65_535, 65_535, 65_535, 65_535, 320_000 - 4 * 65_535]);
  assert.deepEqual(run.mail?.body.length, 320_000);
});

test("skip ends the body hook's part, and the mail goes on", async () => {
  let chunks = 0;
  const run = await runFilter({
    body: () => {
      chunks++;
      return skip();
    },
    endOfMessage: ({ addHeader }) => addHeader("X-Seen", "yes"),
  }, { message: `A: 1\n\n${"x".repeat(200_000)}` });
  assert.equal(chunks, 1);
  assert.match(run.message!, /X-Seen: yes/);
});

test("protocol versions 2 to 6: newer hooks and edits are missing in older ones", async () => {
  for (const version of [2, 3, 4, 5, 6]) {
    const seen: string[] = [];
    const run = await runFilter(
      {
        negotiate: (offer) => void seen.push(`v${offer.version}`),
        data: () => void seen.push("data"),
        header: () => {},
        endOfMessage: ({ addHeader }) => addHeader("X-A", "b"),
      },
      MAIL,
      { version },
    );
    assert.deepEqual(seen, version < 4 ? [`v${version}`] : [`v${version}`, "data"]);
    assert.match(run.message!, /X-A: b/, `version ${version}`);
  }
});

test("leading space: the filter sees the blank, brings its own, and the mail has one", async () => {
  let raw: Uint8Array | undefined;
  const run = await runFilter({
    leadingSpace: true,
    header: (field) => void (raw ??= field.raw.slice()),
    endOfMessage: ({ addHeader, changeHeader }) => {
      addHeader("X-A", " b");
      changeHeader("Subject", " new");
    },
  }, MAIL);
  assert.deepEqual(raw, utf8(" hello"));
  assert.match(run.message!, /^Subject: new\r\n/);
  assert.match(run.message!, /^X-A: b\r$/m);
});

test("what a hook throws is thrown, or becomes the policy's verdict", async () => {
  for (const hook of HOOKS) {
    for (const late of [false, true]) {
      const boom = new TypeError(`boom in ${hook}`);
      const filter = {
        [hook]: () => {
          if (late) return Promise.reject(boom);
          throw boom;
        },
      } as Filter;
      await assert.rejects(runFilter(filter, MAIL), (error) => error === boom, `${hook} ${late}`);
      for (const outcome of ["tempfail", "accept", "reject"] as const) {
        const run = await runFilter(filter, MAIL, { policy: uniformPolicy(outcome) });
        assert.equal(run.verdict, outcome, `${hook} ${late}`);
        assert.equal(run.failure?.kind, "error");
        assert.match(run.failure!.message, /boom in/);
        assert.equal(run.mail !== undefined, outcome === "accept");
      }
    }
  }
});

test("what is no verdict, or none at that hook, is an error", async () => {
  const rows: readonly (readonly [HookName, unknown])[] = [
    ["mail", 42],
    ["message", { kind: "explode" }],
    ["connect", discard()],
    ["helo", skip()],
    ["header", skip()],
    ["message", { kind: "reject", reply: { code: 250, enhanced: "2.0.0", lines: ["ok"] } }],
  ];
  for (const [hook, value] of rows) {
    await assert.rejects(runFilter(returning(hook, value), MAIL), /it returned|Cannot make the reply/, hook);
    const run = await runFilter(returning(hook, value), MAIL, { policy: uniformPolicy("tempfail") });
    assert.deepEqual([run.verdict, run.failure?.kind], ["tempfail", "bad-verdict"]);
  }
});

test("an edit that was not declared, or cannot be, is an error", async () => {
  const undeclared: Filter = { edits: ["addHeader"], message: (_mail, edit) => edit.quarantine("x") };
  await assert.rejects(runFilter(undeclared, MAIL), /add "quarantine"/);
  const broken: Filter = { message: (_mail, edit) => edit.addHeader("X Y", "z") };
  await assert.rejects(runFilter(broken, MAIL), RangeError);
});

test("without a mail there is a small default one, and the null sender is an empty text", async () => {
  const run = await runFilter({ message: (mail) => assert.equal(mail.sender.address, "") }, { sender: "" });
  assert.equal(run.message, "Subject: test\r\n\r\nTest.\r\n");
});

test("a filter without hooks lets everything pass", async () => {
  const run = await runFilter({}, MAIL);
  assert.deepEqual([run.verdict, run.edits], ["continue", []]);
  assert.equal(run.message, "Subject: hello\r\nX-Tag: a\r\nX-Tag: b\r\n\r\nHi!\r\n");
});
