// What every link promises, run on each carrier.
import assert from "node:assert/strict";
import type { Link } from "../chain/link.ts";
import type { Command } from "../protocol/mod.ts";
import { type Outcome, uniformPolicy } from "../session/policy.ts";
import { connectFrom, Driver, mailCommands } from "../../tests/redteam/driver.ts";
import { HOOKS, SCRIPTED, STREAMING, WHOLE } from "../../tests/redteam/filters.ts";
import { type Carrier, carriers, hookCarriers, LIMITS } from "../../tests/redteam/carriers.ts";

const encoder = new TextEncoder();

/** Runs a test on each carrier, with a link that is closed afterwards. */
function contract(
  name: string,
  source: string,
  test: (link: Link, carrier: Carrier) => Promise<void>,
  policy: Outcome = "tempfail",
  on: readonly Carrier[] = carriers,
): void {
  for (const carrier of on) {
    Deno.test(`${carrier.name}: ${name}`, async () => {
      const link = await carrier.open(source, uniformPolicy(policy));
      try {
        await test(link, carrier);
      } finally {
        await link.close();
      }
    });
  }
}

/** One connection with this script and one mail; the replies from CONNECT on, in words. */
async function played(
  link: Link,
  script: string,
  deadline = 10_000,
): Promise<{ replies: string[]; driver: Driver }> {
  const driver = new Driver(link, deadline);
  await driver.say({ kind: "negotiate", version: 6, actions: 0x1ff, protocol: 0x1fffff });
  const replies: string[] = [];
  const rest: Command[] = [
    connectFrom(script),
    { kind: "helo", name: encoder.encode("helo.example") },
    { kind: "unknown", command: encoder.encode("FROB") },
    ...mailCommands("a@client.example", [encoder.encode("hello\r\n")]),
  ];
  for (const command of rest) {
    const words = await driver.say(command);
    replies.push(...words.map((word) => `${command.kind}: ${word}`));
    const last = words.at(-1);
    if (
      last !== undefined && !/^(?:continue|skip)/.test(last) && !["unknown", "rcpt"].includes(command.kind)
    ) break;
  }
  return { replies, driver };
}

const COMMAND_OF: Readonly<Record<string, string>> = { helo: "helo", connect: "connect" };

contract("each verdict is answered where it is legal", SCRIPTED, async (link) => {
  const rows: [script: string, at: string, reply: string][] = [
    ["connect=reject", "connect", "reject"],
    ["connect=accept", "connect", "accept"],
    ["helo=tempfailText", "helo", "replyCode 451 4.7.1 later"],
    ["mail=discard", "mail", "discard"],
    ["mail=rejectText", "mail", "replyCode 550-5.7.1 first\r\n550 5.7.1 second 100%%"],
    ["rcpt=asyncReject", "rcpt", "replyCode 550 5.7.2 async"],
    ["data=accept", "data", "accept"],
    ["unknown=reject", "unknown", "reject"],
    ["header=tempfail", "header", "tempfail"],
    ["endOfHeaders=async", "endOfHeaders", "continue"],
    ["body=skip", "body", "skip"],
    ["endOfMessage=accept", "endOfMessage", "continue"],
    ["endOfMessage=discard", "endOfMessage", "discard"],
    ["endOfMessage=editsThenReject", "endOfMessage", "reject"],
  ];
  for (const [script, at, reply] of rows) {
    const { replies, driver } = await played(link, script);
    assert.deepEqual(replies.filter((words) => words.startsWith(`${at}: `)), [`${at}: ${reply}`], script);
    assert.deepEqual(driver.notes.failures, [], script);
    await driver.lost();
  }
});

contract("edits leave in order, before the verdict, and not after a failure", SCRIPTED, async (link) => {
  const { replies, driver } = await played(link, "endOfMessage=edits");
  const edits = replies.filter((words) => words.startsWith("endOfMessage: ")).map((words) =>
    words.slice(14).split(" ")[0]
  );
  assert.equal(edits.at(-1), "continue");
  assert.deepEqual(
    new Set(edits),
    new Set([
      "insertHeader",
      "changeHeader",
      "addRecipient",
      "removeRecipient",
      "changeSender",
      "replaceBody",
      "quarantine",
      "continue",
    ]),
  );
  assert.equal(driver.notes.mails.length, 1);
  assert.equal(driver.notes.mails[0].verdict, "continue");
  assert(driver.notes.mails[0].edits >= 7);
  await driver.lost();
  const failed = await played(link, "endOfMessage=editsThenThrow");
  assert.deepEqual(failed.replies.at(-1), "endOfMessage: tempfail");
  assert(!failed.replies.some((words) => words.includes("X-No")));
  await failed.driver.lost();
});

const BAD = [
  "throw",
  "throwNull",
  "rejected",
  "string",
  "null",
  "number",
  "object",
  "badText",
  "injected",
] as const;

for (const outcome of ["tempfail", "accept", "reject"] as const) {
  contract(
    `a failure at any hook is answered with ${outcome}, and told once`,
    SCRIPTED,
    async (link, { seesHooks }) => {
      for (const hook of HOOKS) {
        for (const action of BAD) {
          const { replies, driver } = await played(link, `${hook}=${action}`);
          const command = COMMAND_OF[hook] ?? hook;
          const got = replies.filter((words) => words.startsWith(`${command}: `));
          const wanted = outcome === "accept" && (hook === "unknown" || hook === "endOfMessage")
            ? "continue"
            : outcome;
          assert.deepEqual(got, [`${command}: ${wanted}`], `${hook}=${action}`);
          const kind = ["throw", "throwNull", "rejected"].includes(action) ? "error" : "bad-verdict";
          const told = driver.notes.failures.map(({ kind, hook, outcome, filter }) =>
            `${filter} ${kind} ${hook} ${outcome}`
          );
          assert.deepEqual(
            told,
            seesHooks ? [`${link.name} ${kind} ${hook} ${outcome}`] : [],
            `${hook}=${action}`,
          );
          await driver.lost();
        }
      }
    },
    outcome,
  );

  contract(
    `a hook that never answers is answered with ${outcome} at its deadline`,
    SCRIPTED,
    async (link) => {
      await Promise.all(HOOKS.map(async (hook) => {
        const { replies, driver } = await played(link, `${hook}=never`, 150);
        const command = COMMAND_OF[hook] ?? hook;
        const wanted = outcome === "accept" && (hook === "unknown" || hook === "endOfMessage")
          ? "continue"
          : outcome;
        assert.deepEqual(replies.filter((words) => words.startsWith(`${command}: `)), [
          `${command}: ${wanted}`,
        ], hook);
        assert.deepEqual(driver.notes.failures.map(({ kind, outcome }) => [kind, outcome]), [[
          "timeout",
          outcome,
        ]], hook);
        // The connection goes on with the next mail.
        if (!["connect", "helo"].includes(hook)) {
          const next = await driver.mail("endOfMessage=accept@client.example");
          if (hook === "endOfMessage") assert.equal(next.at(-1), "continue", hook);
        }
        await driver.lost();
      }));
    },
    outcome,
  );
}

/** Throws, at once or later, what is named as the sender: things that cannot even be asked what they are. */
const STRANGE = `
const boom = () => { throw new Error("boom"); };
const traps = new Proxy({}, { get: () => boom });
const THINGS = {
  proxy: () => new Proxy({}, traps),
  proxyOfError: () => new Proxy(new Error("hidden"), traps),
  bare: () => Object.create(null),
  wordless: () => Object.defineProperty(new Error("x"), "message", { get: boom }),
  symbol: () => Symbol("s"),
  long: () => new Error("x".repeat(1e6)),
};
export default {
  name: "strange",
  mail() {},
  endOfMessage({ sender }) {
    const [thing, when] = sender.address.split("@")[0].split("=");
    if (when === "now") throw THINGS[thing]();
    if (when === "later") return Promise.reject(THINGS[thing]());
  },
  abort() { throw THINGS.proxy(); },
  close() { throw THINGS.bare(); },
};`;

contract("whatever a hook throws is the policy's, in bounded words", STRANGE, async (link, { seesHooks }) => {
  for (const thing of ["proxy", "proxyOfError", "bare", "wordless", "symbol", "long"]) {
    for (const when of ["now", "later"]) {
      const driver = new Driver(link);
      await driver.begin();
      assert.equal((await driver.mail(`${thing}=${when}@client.example`)).at(-1), "tempfail", thing);
      // The session lives on, and abort and close may throw the same.
      assert.equal((await driver.mail("nothing@client.example")).at(-1), "continue", thing);
      for (const command of mailCommands("a@client.example", []).slice(0, 1)) await driver.say(command);
      await driver.say({ kind: "abort" });
      await driver.lost();
      const { failures } = driver.notes;
      // What fails inside a milter elsewhere is in its own log.
      if (!seesHooks) continue;
      assert.deepEqual(failures.map(({ kind, hook }) => `${kind} ${hook}`), [
        "error endOfMessage",
        "error abort",
        "error close",
      ], `${thing} ${when}`);
      for (const { message } of failures) assert.match(message, /^.{1,1000}$/);
    }
  }
});

const SILENT = `
const at = (hook) => (...args) => {
  const { sender } = args.at(-1);
  const [failing, how] = sender.address.split("@")[0].split("=");
  if (failing !== hook) return;
  if (how === "throw") throw new Error("broken");
  return how === "later" ? Promise.resolve({ kind: "reject" }) : { kind: "reject" };
};
const noReply = ["mail", "rcpt", "data", "header", "endOfHeaders", "body"];
export default { noReply, ...Object.fromEntries(noReply.map((hook) => [hook, at(hook)])), endOfMessage() {} };`;

contract(
  "where a hook in noReply fails, the mail's next answer is the policy's",
  SILENT,
  async (link, { seesHooks }) => {
    const driver = new Driver(link);
    await driver.begin();
    const told: string[] = [];
    for (const hook of ["mail", "rcpt", "data", "header", "endOfHeaders", "body"]) {
      for (const how of ["throw", "now", "later"]) {
        const replies = await driver.mail(`${hook}=${how}@client.example`, [encoder.encode("x\r\n")]);
        assert.deepEqual(replies, ["tempfail"], `${hook} ${how}`);
        assert.deepEqual(await driver.mail("fine@client.example"), ["continue"], `after ${hook} ${how}`);
        told.push(`${how === "throw" ? "error" : "bad-verdict"} ${hook}`);
      }
    }
    await driver.lost();
    const failures = driver.notes.failures.map(({ kind, hook }) => `${kind} ${hook}`);
    assert.deepEqual(failures, seesHooks ? told : []);
  },
);

contract("limits of a mail fail by policy", SCRIPTED, async (link, { seesHooks }) => {
  const driver = new Driver(link);
  await driver.begin();
  const [mail, rcpt, data] = mailCommands("a@client.example", []);
  await driver.say(mail);
  for (let i = 0; i < LIMITS.recipients; i++) assert.deepEqual(await driver.say(rcpt), ["continue"]);
  assert.deepEqual(await driver.say(rcpt), ["tempfail"]);
  await driver.say(data);
  const long = {
    kind: "header",
    name: encoder.encode("X-Long"),
    value: new Uint8Array(LIMITS.headers).fill(65),
  } as const;
  assert.deepEqual(await driver.say(long), ["tempfail"]);
  assert.deepEqual(driver.notes.failures.map(({ kind }) => kind), seesHooks ? ["limit", "limit"] : []);
  await driver.lost();
});

contract(
  "abort and close are called once each, however a mail and a connection end",
  SCRIPTED,
  async (link) => {
    const [mail, rcpt] = mailCommands("a@client.example", []);
    // ABORT, then gone.
    const first = new Driver(link);
    await first.begin();
    await first.say(mail);
    await first.say({ kind: "abort" });
    await first.lost();
    // Gone in mid-mail.
    const second = new Driver(link);
    await second.begin();
    await second.say(mail);
    await second.say(rcpt);
    await second.lost();
    assert.deepEqual(second.notes.mails.map(({ verdict, stage }) => [verdict, stage]), [["none", "abort"]]);
    // A new mail in place of the open one, then QUIT, then gone.
    const third = new Driver(link);
    await third.begin();
    await third.say(mail);
    await third.mail();
    await third.say({ kind: "quit" });
    assert(third.session.finished);
    await third.lost();
    // A new connection on the same socket.
    const last = new Driver(link);
    await last.begin();
    await last.say({ kind: "quitNewConnection" });
    await last.say(connectFrom("endOfMessage=counts"));
    const counts = (await last.mail()).find((words) => words.includes("X-Counts"))!;
    assert.deepEqual(JSON.parse(counts.slice(counts.indexOf("{"))), {
      connect: 5,
      mail: 5,
      abort: 3,
      close: 4,
      endOfMessage: 2,
    });
    await last.lost();
  },
);

contract(
  "hooks of abort and close that throw or hang change nothing for others",
  SCRIPTED,
  async (link) => {
    const [mail] = mailCommands("a@client.example", []);
    for (
      const script of ["abort=throw;close=throw", "abort=rejected;close=rejected", "abort=never;close=never"]
    ) {
      const driver = new Driver(link, 150);
      await driver.begin(script);
      await driver.say(mail);
      assert.deepEqual((await driver.mail()).at(-1), "continue", script);
      await driver.lost();
      assert.equal(driver.notes.failures[0]?.hook, "abort", script);
    }
  },
  "tempfail",
  hookCarriers,
);

contract("fifty connections at once, several mails each, never mix", WHOLE, async (link) => {
  await Promise.all(Array.from({ length: 50 }, async (_, i) => {
    const driver = new Driver(link);
    await driver.begin();
    for (let n = 0; n < 5; n++) {
      const body = new Uint8Array(1 + i * 7 + n).fill(i);
      const replies = await driver.mail(`s${i}-${n}@client.example`, [body]);
      assert.match(
        replies.join("\n"),
        new RegExp(`X-Saw s${i}-${n}@client\\.example 1 test ${body.length} ${body.length * i}$`, "m"),
      );
    }
    await driver.lost();
    assert.equal(driver.notes.mails.length, 5);
  }));
});

for (const [name, source] of [["kept whole", WHOLE], ["streamed", STREAMING]] as const) {
  contract(`10 MiB of body, ${name}`, source, async (link) => {
    const chunk = Uint8Array.from({ length: 65_535 }, (_, i) => i);
    const chunks = new Array(160).fill(chunk);
    const driver = new Driver(link);
    await driver.begin();
    for (let n = 0; n < 2; n++) {
      const replies = await driver.mail("a@client.example", chunks);
      assert.match(
        replies.join("\n"),
        new RegExp(` ${160 * 65_535 * (source === STREAMING ? n + 1 : 1)} `),
        replies.slice(-3).join("\n"),
      );
    }
    await driver.lost();
  });
}

contract("versions 2 to 6 of the protocol, with and without an answer to DATA", SCRIPTED, async (link) => {
  for (const version of [2, 3, 4, 5, 6]) {
    for (const answerData of [false, true]) {
      const driver = new Driver(link, 10_000, answerData);
      const offer = version === 2 ? { version, actions: 0x3f, protocol: 0x7f } : { version };
      const [negotiated] = await driver.begin("endOfMessage=macros", offer);
      assert.match(negotiated, new RegExp(`^negotiate ${version} `));
      for (const command of mailCommands("a@client.example", [encoder.encode("x")])) {
        if (command.kind === "data" && version < 4) continue;
        const words = await driver.say(command);
        assert.equal(words.at(-1) ?? "continue", "continue", `${version} ${command.kind}`);
      }
      await driver.lost();
      assert.deepEqual(driver.notes.failures, []);
    }
  }
});
