import assert from "node:assert/strict";
import { readArgs } from "../args.ts";
import { CommandError, UsageError } from "../command.ts";
import { type TestIo, testIo, type TestIoOptions } from "../test_io.ts";
import { command } from "./try.ts";

const MAIL = "From: a@b.example\r\nSubject: hi\r\n\r\nHello\r\nWorld\r\n";

/** Runs `try` with a filter module of the given text. */
async function run(
  filter: string,
  args: readonly string[] = ["a.eml"],
  options: TestIoOptions & { readonly settings?: string } = {},
): Promise<{ code: number; io: TestIo }> {
  const folder = await Deno.makeTempDir({ prefix: "millrace_try_" });
  try {
    await Deno.writeTextFile(`${folder}/f.ts`, filter);
    await Deno.writeTextFile(
      `${folder}/m.yaml`,
      `listen: unix:/m.sock\nfilters:\n- use: ./f.ts\n${options.settings ?? ""}`,
    );
    const io = testIo({ ...options, files: { "a.eml": MAIL, ...options.files } });
    return { code: await command.run(readArgs(command.spec, ["-c", `${folder}/m.yaml`, ...args]), io), io };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const EDITS = `export default {
  message(mail, c) {
    c.addHeader("X-Try", "yes");
    c.changeHeader("Subject", "[x] hi");
    c.replaceBody("Hello\\r\\nthere\\r\\n");
    c.addRecipient("<z@z.example>", "NOTIFY=NEVER");
    return c.accept();
  },
};`;

Deno.test("try shows verdict, edits and difference", async () => {
  const { code, io } = await run(EDITS);
  assert.equal(code, 0);
  assert.equal(
    io.out(),
    `a.eml: continue at endOfMessage
  changeHeader name="Subject" nth=1 value="[x] hi"
  addHeader name="X-Try" value="yes"
  addRecipient address="<z@z.example>" args="NOTIFY=NEVER"
  replaceBody bytes=14
--- a.eml
+++ a.eml (edited)
@@ -1,5 +1,6 @@
 From: a@b.example
-Subject: hi
+Subject: [x] hi
+X-Try: yes
 
 Hello
-World
+there
`,
  );
});

Deno.test("try --json prints one array for all mails", async () => {
  const { io } = await run(EDITS, ["--json", "a.eml", "b.eml"], { files: { "b.eml": "Subject: b\n\nx\n" } });
  const [a, b, ...rest] = JSON.parse(io.out());
  assert.equal(rest.length, 0);
  assert.deepEqual([a.file, a.verdict, a.stage], ["a.eml", "continue", "endOfMessage"]);
  assert.deepEqual(a.edits.map(({ kind }: { kind: string }) => kind).sort(), [
    "addHeader",
    "addRecipient",
    "changeHeader",
    "replaceBody",
  ]);
  assert.deepEqual(a.recipients, ["<recipient@example.com>", "<z@z.example>"]);
  assert.match(b.diff, /^--- b\.eml\n\+\+\+ b\.eml \(edited\)\n/);
});

Deno.test("try hands envelope and client to the filter", async () => {
  const filter = `export default { message(mail, c) {
    return c.reject("5.7.1", [mail.sender.address, mail.recipients.map((r) => r.address).join(","), mail.client.host,
      mail.client.address, mail.helo].join(" "));
  } };`;
  const reply = async (...args: string[]) =>
    JSON.parse((await run(filter, ["--json", "a.eml", ...args])).io.out())[0].reply;
  assert.equal(
    await reply(
      "--from",
      "s@x",
      "--rcpt",
      "<a@y>",
      "--rcpt",
      "b@y",
      "--client",
      "mx.x[2001:db8::1]",
      "--helo",
      "me",
    ),
    "550 5.7.1 s@x a@y,b@y mx.x 2001:db8::1 me",
  );
  assert.equal(
    await reply("--from", "<>", "--client", "192.0.2.9"),
    "550 5.7.1  recipient@example.com [192.0.2.9] 192.0.2.9 [192.0.2.9]",
  );
});

Deno.test("try refuses options that make no sense", async () => {
  for (const client of ["mx.example", "300.1.1.1", "mx[fe80]", "[", "mx [192.0.2.1]"]) {
    await assert.rejects(run(EDITS, ["a.eml", "--client", client]), UsageError, client);
  }
  await assert.rejects(
    run(EDITS, ["a.eml", "--dialect", "exim"]),
    /--dialect is "exim", expected postfix or sendmail/,
  );
});

Deno.test("try shows refused recipients, and a reject without a difference", async () => {
  const filter = `export default {
    rcpt(r, c) { if (r.address.startsWith("bad")) return c.reject("5.1.1", "no 100% such user"); },
    endOfMessage(c) { return c.tempfail("4.7.1", ["come", "back"]); },
  };`;
  const { code, io } = await run(filter, ["a.eml", "--rcpt", "bad@x", "--rcpt", "ok@x"]);
  assert.equal(code, 0);
  assert.match(io.out(), /^a\.eml: tempfail at endOfMessage: 451.*4\.7\.1 come/);
  assert.match(io.out(), /^ {2}refused <bad@x>: 550 5\.1\.1 no 100% such user$/m);
  assert.ok(!io.out().includes("---"));
});

Deno.test("try shows a filter's failure with its policy, and exits with 1", async () => {
  const { code, io } = await run("export default { message() { throw new Error('no\\x1b[31m') } };", [
    "a.eml",
  ], {
    settings: "  on_failure: reject\n",
  });
  assert.equal(code, 1);
  assert.match(io.out(), /^a\.eml: reject at /);
  assert.match(io.out(), /^ {2}failed in \w+ \(error\): .*no\\x1b\[31m$/m);
});

Deno.test("try ends a hook that never answers", async () => {
  const { code, io } = await run("export default { rcpt: () => new Promise(() => {}) };", ["a.eml"], {
    settings: "  timeout: 20ms\n",
  });
  assert.equal(code, 1);
  assert.match(io.out(), /failed in rcpt \(timeout\): no answer within 20 ms/);
});

Deno.test("try colours the difference on a terminal only, and never with NO_COLOR", async () => {
  assert.match(
    (await run(EDITS, ["a.eml"], { isTerminal: true, color: true })).io.out(),
    /\n.\[32m\+X-Try: yes.\[0m\n/,
  );
  assert.ok(!(await run(EDITS, ["a.eml"], { isTerminal: true, color: false })).io.out().includes("\x1b"));
});

Deno.test("try shows the log of the filter on standard error", async () => {
  const { io } = await run(
    "export default (env) => { env.log.info('made\\nby'); return { message(mail, c) {} } };",
  );
  assert.match(io.err(), /^\S+ info made\\nby filter=f\n$/);
});

Deno.test("try says which mail cannot be read", async () => {
  await assert.rejects(
    run(EDITS, ["/nowhere.eml"]),
    (error) =>
      error instanceof CommandError && error.exitCode === 1 &&
      /Cannot read the mail "\/nowhere\.eml"/.test(error.message),
  );
});

const CHAIN = [
  `export default { name: "mark", message: (_mail, { addHeader }) => addHeader("X-Mark", "yes") };`,
  `export default { name: "gone", mail: (_sender, { accept }) => accept() };`,
  `export default { name: "seen", message: (mail, { reject }) => mail.headers.has("X-Mark") ? reject("5.7.1", "marked") : undefined };`,
  `export default { name: "last", message() {} };`,
];

/** Runs `try` with a chain of filters. */
async function runChain(
  filters: readonly string[],
  args: readonly string[],
): Promise<{ code: number; io: TestIo }> {
  const folder = await Deno.makeTempDir({ prefix: "millrace_try_" });
  try {
    for (const [i, filter] of filters.entries()) await Deno.writeTextFile(`${folder}/f${i}.ts`, filter);
    const entries = filters.map((_, i) => `- use: ./f${i}.ts\n`).join("");
    await Deno.writeTextFile(`${folder}/m.yaml`, `listen: unix:/m.sock\nfilters:\n${entries}`);
    const io = testIo({ files: { "a.eml": MAIL } });
    return { code: await command.run(readArgs(command.spec, ["-c", `${folder}/m.yaml`, ...args]), io), io };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("try --explain says what each link did, and why the answer is what it is", async () => {
  const { code, io } = await runChain(CHAIN, ["--explain", "a.eml"]);
  assert.equal(code, 0);
  assert.equal(
    io.out().replaceAll(/[\d.]+ ms/g, "N ms"),
    `a.eml: reject at endOfMessage: 550 5.7.1 marked
  why: link "f2" answers reject at endOfMessage
  f0  continue at endOfMessage, 1 edit, N ms
  f1  accept at mail, N ms
  f2  reject at endOfMessage: 550 5.7.1 marked, N ms
  f3  not reached
`,
  );
  const one = await runChain(CHAIN.slice(0, 1), ["--explain", "a.eml"]);
  assert.match(
    one.io.out(),
    /\n {2}why: link "f0" answers continue at endOfMessage\n {2}f0 {2}continue at endOfMessage, 1 edit, /,
  );
});

Deno.test("try --json has the links' parts as well", async () => {
  const { io } = await runChain(CHAIN, ["--json", "a.eml"]);
  const [{ why, links }] = JSON.parse(io.out());
  assert.equal(why, 'link "f2" answers reject at endOfMessage');
  assert.deepEqual(
    links.map(({ link, part }: Record<string, string>) => [link, part]),
    [["f0", "answered"], ["f1", "answered"], ["f2", "answered"], ["f3", "waiting"]],
  );
});
