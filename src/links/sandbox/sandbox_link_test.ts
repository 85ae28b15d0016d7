// A filter's sandboxes over time: they die, are replaced, held back, shared, and their forgeries are seen.
import assert from "node:assert/strict";
import { connectFrom, Driver, mailCommands, repliesIn } from "../../../tests/redteam/driver.ts";
import { SCRIPTED, WHOLE } from "../../../tests/redteam/filters.ts";
import { ready, sandboxOf } from "../../../tests/redteam/sandboxes.ts";
import { encodeReply, FrameWriter, type Reply } from "../../protocol/mod.ts";
import { type Outcome, uniformPolicy } from "../../session/policy.ts";
import type { Cell } from "./cell.ts";
import { FromInmate } from "./messages.ts";
import type { SandboxLink } from "./sandbox_link.ts";

const encoder = new TextEncoder();
const FAST = { firstPause: 1, longestPause: 1, grace: 100 };

function cellOf(link: SandboxLink): Cell {
  const cell = link.cell();
  assert("ready" in cell && !(cell instanceof Promise), "a sandbox is up");
  return cell;
}

function kill(link: SandboxLink): void {
  cellOf(link).end({ kind: "crash", message: "killed by the test" });
}

for (const outcome of ["tempfail", "accept", "reject"] as const satisfies readonly Outcome[]) {
  Deno.test(`a sandbox that dies at any stage of a mail costs this mail its ${outcome}, and the next one works`, async () => {
    const { link } = sandboxOf(SCRIPTED, { policy: uniformPolicy(outcome) }, { times: FAST });
    await link.start();
    const commands = mailCommands("a@client.example", [encoder.encode("x")]);
    // Every stage for one outcome, a few for the others: each costs a new sandbox.
    for (const stage of outcome === "tempfail" ? commands.keys() : [1, commands.length - 1]) {
      const driver = new Driver(link);
      await driver.begin("endOfMessage=macros");
      for (const command of commands.slice(0, stage)) {
        assert.deepEqual(await driver.say(command), ["continue"]);
      }
      kill(link);
      const [reply] = await driver.say(commands[stage]);
      if (stage === 0) {
        // No mail was open: the new sandbox takes it from the start.
        assert.equal(reply, "continue");
      } else {
        const end = commands[stage].kind === "endOfMessage";
        assert.equal(reply, outcome === "accept" && end ? "continue" : outcome, commands[stage].kind);
        assert.deepEqual(driver.notes.failures.map(({ kind, outcome }) => [kind, outcome]), [[
          "crash",
          outcome,
        ]]);
      }
      await driver.say({ kind: "abort" });
      // The same MTA connection goes on in the new sandbox, which was told of CONNECT and HELO.
      await ready(link);
      const next = await driver.mail();
      assert.equal(next.at(-1), "continue");
      assert(next.some((words) => /X-Macros .*helo\.example/.test(words)), next.join("\n"));
      await driver.lost();
    }
    await link.close();
  });
}

Deno.test("a mail whose sandbox died is refused to the end, also where only one recipient was refused at first", async () => {
  const { link } = sandboxOf(SCRIPTED, {}, { times: FAST });
  await link.start();
  for (const dies of ["rcpt", "data"]) {
    const driver = new Driver(link);
    await driver.begin();
    const [mail, rcpt, data, ...content] = mailCommands("a@client.example", [encoder.encode("x")]);
    assert.deepEqual(await driver.say(mail), ["continue"]);
    if (dies === "data") assert.deepEqual(await driver.say(rcpt), ["continue"]);
    kill(link);
    // An MTA goes on after a refused recipient, and may after a refused DATA.
    for (const command of [rcpt, rcpt, data, rcpt, data]) {
      assert.deepEqual(await driver.say(command), ["tempfail"], `${dies}: ${command.kind}`);
    }
    assert.deepEqual(await driver.say(content[0]), ["tempfail"]);
    assert.deepEqual(driver.notes.failures.map(({ kind }) => kind), ["crash"]);
    assert.deepEqual(driver.notes.mails.map(({ verdict }) => verdict), ["tempfail"]);
    await ready(link);
    await driver.say({ kind: "abort" });
    assert.equal((await driver.mail()).at(-1), "continue");
    await driver.lost();
  }
  await link.close();
});

Deno.test("a sandbox that dies while its answer is waited for is answered for at once", async () => {
  const { link } = sandboxOf(SCRIPTED, {}, { times: FAST });
  await link.start();
  const driver = new Driver(link);
  await driver.begin("endOfMessage=never");
  const mail = driver.mail();
  setTimeout(() => kill(link), 100);
  assert.equal((await mail).at(-1), "tempfail");
  assert.deepEqual(driver.notes.mails.map(({ failure, verdict }) => [failure?.kind, verdict]), [[
    "crash",
    "tempfail",
  ]]);
  await driver.lost();
  await link.close();
});

Deno.test("a verdict of a replayed CONNECT holds for the mail that is waited for", async () => {
  // The client's name says until when it is welcome.
  const source = `export default {
    connect(client) { return Date.now() < Number(client.host) ? undefined : { kind: "reject" }; },
    message() {},
  };`;
  const { link } = sandboxOf(source, {}, { times: FAST });
  await link.start();
  const driver = new Driver(link);
  const until = Date.now() + 5000;
  assert.deepEqual((await driver.begin(String(until))).slice(1), ["continue"]);
  await new Promise((resolve) => setTimeout(resolve, until - Date.now() + 1));
  kill(link);
  await ready(link);
  const [mail, rcpt, , , , , end] = mailCommands("a@client.example", [encoder.encode("x")]);
  const replies = [...await driver.say(mail), ...await driver.say(rcpt), ...await driver.say(end)];
  assert.deepEqual(replies, ["reject"]);
  await driver.lost();
  await link.close();
});

Deno.test("a filter that fails again and again is held back with growing pauses, and answered for meanwhile", async () => {
  const { link, events } = sandboxOf(SCRIPTED, {}, { times: { firstPause: 20, longestPause: 70 } });
  await link.start();
  const driver = new Driver(link);
  await driver.begin();
  for (let i = 0; i < 5; i++) {
    await ready(link);
    kill(link);
  }
  assert.deepEqual(await driver.mail(), ["tempfail"]);
  assert.equal(driver.notes.failures.at(-1)?.kind, "unavailable");
  assert.match(driver.notes.failures.at(-1)?.message ?? "", /held back.*killed by the test/);
  await ready(link);
  await driver.say({ kind: "abort" });
  assert.equal((await driver.mail()).at(-1), "continue");
  const pauses = events.filter(({ message }) => message.startsWith("Holding")).map(({ fields }) =>
    fields.pause
  );
  assert.deepEqual(pauses, [20, 40, 70, 70]);
  await driver.lost();
  await link.close();
});

Deno.test("instances share the connections, and one that dies takes only its own", async () => {
  const { link } = sandboxOf(WHOLE, {}, { instances: 3, times: FAST });
  await link.start();
  const drivers = Array.from({ length: 6 }, () => new Driver(link));
  for (const driver of drivers) {
    await driver.begin();
    await driver.say(mailCommands("a@client.example", [])[0]);
  }
  const victim = cellOf(link);
  assert.equal(victim.load, 2);
  victim.end({ kind: "crash", message: "killed by the test" });
  const rest = mailCommands("a@client.example", [encoder.encode("x")]).slice(1);
  const verdicts: string[] = [];
  for (const driver of drivers) {
    const words: string[] = [];
    for (const command of rest) words.push(...await driver.say(command));
    verdicts.push(words.includes("tempfail") ? "tempfail" : words.at(-1)!);
    await driver.lost();
  }
  assert.deepEqual(verdicts.sort(), ["continue", "continue", "continue", "continue", "tempfail", "tempfail"]);
  await link.close();
});

function bytesOf(...replies: readonly Reply[]): Uint8Array {
  const writer = new FrameWriter();
  for (const reply of replies) encodeReply(reply, writer);
  return writer.take().slice();
}

const text = encoder.encode("x");

Deno.test("bytes that the protocol does not allow end the sandbox, and the mail goes by policy", async (t) => {
  const rows: [name: string, kind: number, bytes: Uint8Array, session?: number][] = [
    ["an answer twice", FromInmate.REPLY, bytesOf({ kind: "continue" }, { kind: "continue" })],
    ["an edit before the end", FromInmate.REPLY, bytesOf({ kind: "addHeader", name: text, value: text })],
    ["progress", FromInmate.REPLY, bytesOf({ kind: "progress" })],
    ["shutdown", FromInmate.REPLY, bytesOf({ kind: "shutdown" })],
    [
      "a negotiation out of turn",
      FromInmate.REPLY,
      bytesOf({ kind: "negotiate", version: 6, actions: 1, protocol: 0, macros: [] }),
    ],
    ["skip where nothing can be skipped", FromInmate.REPLY, bytesOf({ kind: "skip" })],
    [
      "a reply text with a line end in it",
      FromInmate.REPLY,
      bytesOf({ kind: "replyCode", text: encoder.encode("550 5.7.1 a\r\n\r\nb\x01") }),
    ],
    ["a frame over all limits", FromInmate.REPLY, Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x63)],
    ["an empty frame", FromInmate.REPLY, Uint8Array.of(0, 0, 0, 0, 0x63)],
    ["an unknown reply", FromInmate.REPLY, Uint8Array.of(0, 0, 0, 1, 0x7e)],
    ["an unknown record", 77, text],
    ["a goodbye for a connection that goes on", FromInmate.DONE, new Uint8Array(0)],
    ["a note without end", FromInmate.LOG, new Uint8Array(20_000)],
  ];
  const { link } = sandboxOf(SCRIPTED, {}, { times: FAST });
  await link.start();
  // Numbers are given in turn, from 2 on.
  let session = 1;
  for (const [name, kind, bytes] of rows) {
    await t.step(name, async () => {
      await ready(link);
      const driver = new Driver(link, 3000);
      await driver.begin("rcpt=never");
      session++;
      const [mail, rcpt] = mailCommands("a@client.example", []);
      await driver.say(mail);
      const answer = driver.say(rcpt);
      await new Promise((resolve) => setTimeout(resolve, 5));
      link.record(cellOf(link), kind, session, bytes);
      // Of two answers the first is one.
      const words = await answer;
      if (name === "an answer twice") {
        assert.deepEqual(words, ["continue"]);
        assert.deepEqual(await driver.say({ kind: "data" }), ["tempfail"]);
      } else assert.deepEqual(words, ["tempfail"]);
      assert.deepEqual(driver.notes.failures.map(({ kind }) => kind), ["protocol"]);
      await driver.lost();
    });
  }
  await link.close();
});

Deno.test("an edit that was not negotiated, and a negotiation over the offer, end the sandbox", async () => {
  const { link } = sandboxOf(SCRIPTED, {}, { times: FAST });
  await link.start();
  const driver = new Driver(link);
  await driver.begin("endOfMessage=never", { actions: 1 });
  const mail = driver.mail();
  await new Promise((resolve) => setTimeout(resolve, 50));
  link.record(cellOf(link), FromInmate.REPLY, 2, bytesOf({ kind: "quarantine", reason: text }));
  assert.equal((await mail).at(-1), "tempfail");
  assert.equal(driver.notes.failures[0].kind, "protocol");
  await driver.lost();

  await ready(link);
  const second = new Driver(link);
  // The forgery comes before the sandbox's own answer.
  const negotiated = second.bytes({ kind: "negotiate", version: 6, actions: 1, protocol: 0x1fffff });
  link.record(
    cellOf(link),
    FromInmate.REPLY,
    3,
    bytesOf({ kind: "negotiate", version: 6, actions: 0x1ff, protocol: 0, macros: [] }),
  );
  // The runtime negotiates in its place, so that the policy can answer.
  assert.match(repliesIn(await negotiated).join(), /^negotiate 6 0 /);
  assert.deepEqual(await second.say(mailCommands("a@client.example", [])[0]), ["tempfail"]);
  assert.equal(second.notes.failures[0].kind, "protocol");
  await second.lost();
  await link.close();
});

Deno.test("a sandbox that does not come up in time for the negotiation is answered for, and is there later", async () => {
  const { link } = sandboxOf(SCRIPTED, { policy: uniformPolicy("reject") }, { times: FAST });
  const started = link.start();
  const driver = new Driver(link, 5);
  assert.match(
    (await driver.say({ kind: "negotiate", version: 6, actions: 0x1ff, protocol: 0x1fffff })).join(),
    /^negotiate 6 0 /,
  );
  const [mail] = mailCommands("a@client.example", []);
  assert.deepEqual(await driver.say(mail), ["reject"]);
  assert.deepEqual(driver.notes.failures.map(({ kind }) => kind), ["timeout"]);
  await driver.lost();
  await started;
  const next = new Driver(link);
  await next.begin();
  assert.equal((await next.mail()).at(-1), "continue");
  await next.lost();
  await link.close();
});

Deno.test("an offer of no flags is that of version 1, for a sandbox as for Sendmail's library", async () => {
  const { link, events } = sandboxOf(SCRIPTED, {}, { times: FAST });
  await link.start();
  const driver = new Driver(link);
  const [negotiated] = await driver.begin("endOfMessage=macros", { version: 2, actions: 0, protocol: 0 });
  assert.match(negotiated, /^negotiate 2 15 /);
  assert.match((await driver.mail()).join("\n"), /X-Macros .*helo\.example/);
  assert.deepEqual(events.filter(({ message }) => message.includes("ended")), []);
  await driver.lost();
  await link.close();
});

Deno.test("who comes while it is not yet clear that a thread hangs gets the next sandbox", async () => {
  const source =
    `export default { message(mail) { if (mail.sender.address.startsWith("spin")) for (;;); } };`;
  const { link } = sandboxOf(source, {}, { times: FAST });
  await link.start();
  const first = new Driver(link, 200);
  await first.begin();
  assert.equal((await first.mail("spin@client.example")).at(-1), "tempfail");
  const second = new Driver(link);
  await second.begin();
  assert.equal((await second.mail()).at(-1), "continue");
  assert.deepEqual(second.notes.failures, []);
  await Promise.all([first.lost(), second.lost()]);
  await link.close();
});

Deno.test("a thread that hangs is ended also if it misses nothing but negotiations", async () => {
  const source = `export default { message() {}, connect() { setTimeout(() => { for (;;); }, 10); } };`;
  const { link, events } = sandboxOf(source, {}, { times: FAST });
  await link.start();
  const first = new Driver(link);
  await first.begin();
  const hung = cellOf(link);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const second = new Driver(link, 50);
  assert.match(
    (await second.say({ kind: "negotiate", version: 6, actions: 0x1ff, protocol: 0x1fffff })).join(),
    /^negotiate 6 0 /,
  );
  await hung.gone;
  assert(events.some(({ message }) => message.includes("ended (timeout)")));
  await Promise.all([first.lost(), second.lost()]);
  await link.close();
});

Deno.test("failures that nobody asked for do not fill the log", async () => {
  const { link } = sandboxOf(SCRIPTED, {}, { times: FAST });
  await link.start();
  const driver = new Driver(link);
  await driver.begin();
  const cell = cellOf(link);
  const note = encoder.encode(JSON.stringify({ kind: "error", hook: "mail", message: "forged" }));
  for (let i = 0; i < 100; i++) link.record(cell, FromInmate.FAILURE, 2, note);
  assert(cell.dead);
  assert(driver.notes.failures.length <= 5, `${driver.notes.failures.length} failures`);
  await driver.lost();
  await link.close();
});

Deno.test("a flood of log lines is cut and counted; a flood of records ends the sandbox", async () => {
  const source = `export default { async message(mail, { log, addHeader }) {
    for (let i = 0; i < 3000; i++) log.info("line " + i, { i });
    await new Promise((resolve) => setTimeout(resolve, 1100));
    log.info("last");
  } };`;
  const { link, events } = sandboxOf(source, {}, { times: FAST });
  await link.start();
  const driver = new Driver(link);
  await driver.begin();
  assert.equal((await driver.mail()).at(-1), "continue");
  const cell = cellOf(link);
  for (let i = 0; i < 6000 && !cell.dead; i++) link.record(cell, FromInmate.LOG, 0, encoder.encode("{}"));
  assert(cell.dead, "the flood ends it");
  assert(events.some(({ message }) => /protocol.*records in a second/.test(message)));
  await driver.lost();
  await link.close();
  const lines = events.filter(({ message }) => /^line \d+$|^last$/.test(message)).length;
  assert(lines >= 50 && lines <= 150, `${lines} lines came through`);
  const dropped = events.reduce((sum, { fields }) => sum + Number(fields.dropped ?? 0), 0);
  // Forged ones are counted as well; of the filter's own none is missing.
  assert(lines + dropped >= 3001, `${lines} lines and ${dropped} dropped`);
});

Deno.test("a sandbox that cannot load its filter says why, and sessions go by policy", async () => {
  for (
    const [source, words] of [
      ["export default {", /SyntaxError/],
      ["export const x = 1;", /default/],
      ["export default 1;", /default export/],
      ["throw new Error('at the top');", /at the top/],
      ["export default () => { throw new Error('in its function'); };", /in its function/],
      ["import 'https://other.example/x.js'; export default {};", /Cannot import "https:\/\/other\.example/],
      ["import 'node:fs'; export default {};", /Cannot import "node:fs"/],
    ] as const
  ) {
    const { link } = sandboxOf(source);
    await assert.rejects(link.start(), words, source);
    const driver = new Driver(link);
    await driver.say({ kind: "negotiate", version: 6, actions: 0x1ff, protocol: 0x1fffff });
    assert.deepEqual(await driver.say(mailCommands("a@client.example", [])[0]), ["tempfail"], source);
    assert.equal(driver.notes.failures[0].kind, "unavailable");
    await driver.lost();
    await link.close();
  }
});

Deno.test("a connection that was begun before the filter was unloaded goes by policy", async () => {
  const { link } = sandboxOf(SCRIPTED);
  await link.start();
  const driver = new Driver(link);
  await driver.begin();
  await link.close();
  assert.deepEqual(await driver.mail(), ["tempfail"]);
  await driver.say(connectFrom("again"));
  await driver.lost();
});
