// A filter on libmilter behind millrace: the MTA gets what it would get without millrace in between, the filter is never
// sent what it would not answer, and it may die, hang and come back.
import fc from "fast-check";
import assert from "node:assert/strict";
import { UpstreamLink } from "../../src/links/upstream/upstream_link.ts";
import type { Command } from "../../src/protocol/mod.ts";
import type { MtaCommand } from "../../src/session/mta_types.ts";
import { MtaClient } from "../../src/testing/mta_client.ts";
import type { MtaClientOptions } from "../../src/testing/mta_client_types.ts";
import type { MailSource, SendOptions } from "../../src/testing/mta_mail.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { dial } from "../../src/transport/deno.ts";
import { startOrders, withOrders } from "../helpers/libmilter.ts";
import { utf8 } from "../property/wire.ts";
import { connectFrom, Driver } from "../redteam/driver.ts";
import { Millrace, upstreamOf } from "./upstreams.ts";

const DIALECTS = ["postfix", "sendmail"] as const;
const STAGES = ["mail", "rcpt", "data", "header", "endOfHeaders", "body", "endOfMessage"] as const;

/** A millrace before the filter. */
function before(spec: string, timeout = 60_000): { readonly front: Millrace; readonly link: UpstreamLink } {
  const { link } = upstreamOf(dial, { address: parseAddress(spec) });
  return { front: new Millrace(link, timeout), link };
}

/** One thing that a client does. */
type Act =
  | { readonly mail: MailSource; readonly options?: SendOptions }
  | { readonly command: MtaCommand };

/** What the SMTP client and the mail see of it. */
async function seen(client: MtaClient, act: Act): Promise<unknown> {
  if ("command" in act) {
    const { sent, answer } = await client.command(act.command);
    return { sent, verdict: answer?.verdict, reply: answer?.reply };
  }
  const { verdict, stage, reply, refused, mail, message } = await client.sendMail(act.mail, act.options);
  const { recipients, sender, quarantine } = mail ?? {};
  return { verdict, stage, reply, refused, recipients, sender, quarantine, message };
}

/** Does the same with the filter itself and through millrace, and compares. */
async function compared(spec: string, options: MtaClientOptions, acts: readonly Act[]): Promise<void> {
  const { front, link } = before(spec);
  const direct = await MtaClient.connect(await dial(parseAddress(spec)), options);
  const through = await MtaClient.connect(front.connect(), options);
  for (const act of acts) {
    const [left, right] = await Promise.all([seen(direct, act), seen(through, act)]);
    assert.deepEqual(right, left, JSON.stringify({ ...options, act }));
  }
  await Promise.all([direct.quit(), through.quit()]);
  assert.deepEqual(front.failures, []);
  await front.stop();
  await link.close();
  assert.equal(link.connections, 0);
}

const VERDICTS = ["accept", "reject", "tempfail", "discard", "skip", "text", "lines"];

withOrders(
  "upstream libmilter: every verdict at every stage is as without millrace",
  async (program, spec) => {
    await using _filter = await startOrders(program, spec);
    for (const dialect of DIALECTS) {
      // Elsewhere than in the body, skip means to each MTA something else, and to millrace nothing.
      const orders = STAGES.flatMap((stage) =>
        VERDICTS.filter((verdict) => verdict !== "skip" || stage === "body").map((verdict) =>
          `${verdict}-${stage}`
        )
      );
      const mails = orders.flatMap((order): Act[] => [
        {
          mail: {
            sender: `${order}@example.org`,
            recipients: ["a@x.example", "b@x.example"],
            message: `A: 1\n\n${"x".repeat(150_000)}`,
          },
        },
        { mail: {} },
      ]);
      await compared(spec, { dialect }, mails);
    }
  },
);

withOrders(
  "upstream libmilter: edits, broken off mails, refusals are as without millrace",
  async (program, spec) => {
    await using _filter = await startOrders(program, spec);
    for (const dialect of DIALECTS) {
      const recipients = ["nobody@example.com", "a@example.com"];
      await compared(spec, { dialect }, [
        { mail: { sender: "edit@example.org", message: "Subject: old\nX-Gone: 1\nX-Kept: 2\n\nold\n" } },
        { mail: { recipients } },
        { mail: { recipients: ["nobody@example.com"] } },
        { command: { kind: "unknown", command: utf8("FROB x") } },
        { command: { kind: "unknown", command: utf8("FORBIDDEN") } },
        ...STAGES.slice(0, -1).flatMap((abortAfter): Act[] => [
          { mail: { recipients }, options: { abortAfter: abortAfter as SendOptions["abortAfter"] } },
          { mail: {} },
        ]),
        { command: { kind: "helo", name: utf8("again.example") } },
        { mail: {} },
      ]);
      await compared(spec, { dialect, helo: "reject.example" }, [{ mail: {} }]);
    }
  },
);

withOrders("upstream libmilter: versions 2 to 6", async (program, spec) => {
  await using _filter = await startOrders(program, spec);
  for (const dialect of DIALECTS) {
    for (const version of [2, 3, 4, 5, 6]) {
      await compared(spec, {
        dialect,
        version,
        actions: 0x1ff,
        client: { host: "[2001:db8::1]", address: "2001:db8::1" },
      }, [
        { mail: {} },
        { command: { kind: "unknown", command: utf8("FORBIDDEN") } },
        { mail: { sender: "edit@example.org" } },
        { mail: { sender: "reject-data@example.org" } },
        { mail: { sender: "skip-body@example.org", message: `A: 1\n\n${"x".repeat(200_000)}` } },
      ]);
    }
  }
  // What the filter insists on is not offered: it closes, and the policy answers.
  const { front, link } = before(spec);
  const client = await MtaClient.connect(front.connect(), { dialect: "sendmail", version: 4 });
  assert.equal((await client.sendMail()).verdict, "tempfail");
  assert.deepEqual(front.failures.map(({ kind }) => kind), ["unavailable"]);
  client.close();
  await front.stop();
  await link.close();
});

withOrders("upstream libmilter: a second SMTP connection on the MTA's socket", async (program, spec) => {
  await using _filter = await startOrders(program, spec);
  const { front, link } = before(spec);
  const client = await MtaClient.connect(front.connect());
  for (const abortAfter of [undefined, "rcpt", "header"] as const) {
    const { message } = await client.sendMail();
    assert.match(message!, /X-Calls: CHMRTLNBE aborts=0 mails=1 /);
    // libmilter itself takes SMFIC_QUIT_NC behind a whole mail only.
    if (abortAfter !== undefined) await client.sendMail({}, { abortAfter });
    await client.newConnection();
  }
  assert.deepEqual(front.failures, []);
  client.close();
  await front.stop();
  await link.close();
});

const series: fc.Arbitrary<Command> = fc.oneof(
  { weight: 3, arbitrary: senders() },
  {
    weight: 4,
    arbitrary: fc.constantFrom("<a@x.example>", "<nobody@x.example>").map((to): Command => ({
      kind: "rcpt",
      address: utf8(to),
      args: [],
    })),
  },
  {
    weight: 12,
    arbitrary: fc.constantFrom<Command>(
      { kind: "data" },
      { kind: "header", name: utf8("A"), value: utf8("b") },
      { kind: "endOfHeaders" },
      { kind: "body", chunk: utf8("body") },
      { kind: "endOfMessage", chunk: utf8("") },
      { kind: "abort" },
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom<Command>(
      { kind: "unknown", command: utf8("FROB") },
      { kind: "unknown", command: utf8("FORBIDDEN") },
      { kind: "helo", name: utf8("again") },
      { kind: "quitNewConnection" },
      connectFrom("again"),
      { kind: "macros", stage: 0x4d, pairs: [[utf8("i"), utf8("Q")]] },
    ),
  },
);

function senders(): fc.Arbitrary<Command> {
  return fc.constantFrom(...STAGES.flatMap((stage) => VERDICTS.map((verdict) => `${verdict}-${stage}`)), "a")
    .map((order) => ({ kind: "mail", address: utf8(`<${order}@x.example>`), args: [] }));
}

withOrders(
  "upstream libmilter: no order of commands makes it wait for an answer that never comes",
  async (program, spec) => {
    await using _filter = await startOrders(program, spec);
    const { link } = upstreamOf(dial, { address: parseAddress(spec) });
    let answers = 0;
    await fc.assert(
      fc.asyncProperty(
        // Whole mails in between, so that what went before shows.
        fc.array(fc.oneof(fc.array(series, { maxLength: 12 }), senders().map(wholeMail)), { maxLength: 6 }),
        fc.constantFrom(2, 3, 4, 6),
        async (list, version) => {
          const driver = new Driver(link, 30_000);
          await driver.begin("client", { version });
          for (const command of list.flat()) {
            let replies: string[];
            try {
              replies = await driver.say(command);
            } catch (error) {
              // An order that no MTA may send is refused before it gets here.
              assert.match(String(error), /^ProtocolError/);
              break;
            }
            answers += replies.length;
            const silent = ["abort", "macros", "quitNewConnection"].includes(command.kind);
            const last = replies.at(-1);
            assert.equal(last === undefined, silent, command.kind);
            assert.equal(
              replies.filter((words) =>
                /^(continue|accept|reject|tempfail|discard|skip|replyCode)\b/.test(words)
              ).length,
              silent ? 0 : 1,
            );
          }
          await driver.lost();
          const unexpected = driver.notes.failures.filter(({ message }) =>
            !message.includes("would not answer it")
          );
          assert.deepEqual(unexpected, []);
        },
      ),
      { numRuns: 150 },
    );
    assert(answers > 500, `only ${answers} answers`);
    await link.close();
    assert.equal(link.connections, 0);
  },
);

function wholeMail(mail: Command): Command[] {
  return [
    mail,
    { kind: "rcpt", address: utf8("<a@x.example>"), args: [] },
    { kind: "data" },
    { kind: "header", name: utf8("A"), value: utf8("b") },
    { kind: "endOfHeaders" },
    { kind: "body", chunk: utf8("body") },
    { kind: "endOfMessage", chunk: utf8("") },
  ];
}

withOrders(
  "upstream libmilter: killed in mid-mail, and back for the next mail of the connection",
  async (program, spec) => {
    const { front, link } = before(spec);
    const first = await startOrders(program, spec);
    const clients = await Promise.all(
      DIALECTS.map((dialect) => MtaClient.connect(front.connect(), { dialect })),
    );
    for (const client of clients) {
      await client.sendMail();
      await client.command({ kind: "mail", address: utf8("<a@x.example>"), args: [] });
      await client.command({ kind: "rcpt", address: utf8("<b@x.example>"), args: [] });
    }
    await first[Symbol.asyncDispose]();
    for (const client of clients) {
      const { answer } = await client.command({ kind: "data" });
      assert.equal(answer?.verdict, "tempfail");
      await client.abort();
    }
    assert.deepEqual(front.failures.map(({ kind }) => kind), ["crash", "crash"]);
    // Meanwhile nobody is there.
    assert.equal((await clients[0].sendMail()).verdict, "tempfail");
    assert.equal(front.failures.at(-1)?.kind, "unavailable");
    await using _second = await startOrders(program, spec);
    for (const client of clients) {
      const { message } = await client.sendMail();
      assert.match(message!, /X-Calls: CHMRTLNBE aborts=0 mails=1 /, "it was told of CONNECT and HELO");
      await client.quit();
    }
    await front.stop();
    await link.close();
    assert.equal(link.connections, 0);
  },
);

withOrders(
  "upstream libmilter: stopped, it is answered for by its deadline; going on, it is used again",
  async (program, spec) => {
    await using filter = await startOrders(program, spec);
    const { front, link } = before(spec, 1000);
    const client = await MtaClient.connect(front.connect());
    assert.equal((await client.sendMail()).verdict, "continue");
    filter.signal("SIGSTOP");
    assert.equal((await client.sendMail()).verdict, "tempfail");
    assert.equal(front.failures.at(-1)?.kind, "timeout");
    // The socket still opens, but nobody negotiates.
    assert.equal((await client.sendMail()).verdict, "tempfail");
    assert.equal(front.failures.at(-1)?.kind, "timeout");
    filter.signal("SIGCONT");
    // On a busy machine it may miss another deadline; then it is held back for a moment.
    let verdict = "";
    for (let i = 0; i < 100 && verdict !== "continue"; i++) {
      ({ verdict } = await client.sendMail());
      if (verdict !== "continue") await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.equal(verdict, "continue");
    await client.quit();
    await front.stop();
    await link.close();
  },
);

withOrders(
  "upstream libmilter: signs of life keep a slow one alive beyond its deadline",
  async (program, spec) => {
    await using _filter = await startOrders(program, spec);
    const { front, link } = before(spec, 2500);
    const client = await MtaClient.connect(front.connect());
    const { verdict, message, trace } = await client.sendMail({ sender: "slow@example.org" });
    assert.equal(verdict, "continue", JSON.stringify(front.failures));
    assert.match(message!, /X-Calls: CHMRTLNBE/);
    // The MTA gets the server's own signs of life, not one for each of the filter's.
    const progress = trace.filter(({ from, name }) => from === "filter" && name === "SMFIR_PROGRESS").length;
    assert(progress >= 1 && progress < 10, `${progress} signs of life`);
    await client.quit();
    await front.stop();
    await link.close();
  },
);

withOrders(
  "upstream libmilter: a hundred connections at once, and no socket stays open",
  async (program, spec) => {
    await using _filter = await startOrders(program, spec);
    const { front, link } = before(spec);
    const round = async (size: number): Promise<void> => {
      await Promise.all(Array.from({ length: size }, async (_, id) => {
        const client = await MtaClient.connect(front.connect(), { dialect: DIALECTS[id % 2] });
        for (let n = 0; n < 3; n++) {
          const sender = n === 1 ? "reject-data@example.org" : "me@example.org";
          assert.equal((await client.sendMail({ sender })).verdict, n === 1 ? "reject" : "continue");
        }
        // Some go away without a word, in mid-mail.
        if (id % 3 === 0) {
          await client.command({ kind: "mail", address: utf8("<a@x.example>"), args: [] });
          client.close();
        } else await client.quit();
      }));
    };
    await round(1);
    await until(() => link.connections === 0);
    const open = await sockets();
    await round(100);
    await until(() => link.connections === 0);
    await until(async () => await sockets() <= open);
    assert.deepEqual(front.failures, []);
    await front.stop();
    await link.close();
  },
);

/** Open files of this process. */
async function sockets(): Promise<number> {
  // Deno shows /proc to nobody who has not all rights.
  const { stdout } = await new Deno.Command("ls", { args: [`/proc/${Deno.pid}/fd`] }).output();
  return new TextDecoder().decode(stdout).trim().split("\n").length;
}

/** Waits until something holds; a test that would wait for ever fails. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`it never came true: ${holds}`);
}
