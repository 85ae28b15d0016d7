/** Hostile filters behind a real Postfix, beside a good one: mails under failure get exactly the configured outcome. */
import { Chain } from "../../src/chain/chain.ts";
import { deepEqual, equal, match } from "node:assert/strict";
import type { SandboxLink } from "../../src/links/sandbox/sandbox_link.ts";
import { serve } from "../../src/server/serve.ts";
import {
  type Failure,
  type FailureKind,
  type FailurePolicy,
  type Outcome,
  uniformPolicy,
} from "../../src/session/policy.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { listen } from "../../src/transport/deno.ts";
import { values } from "../mta/mailbox.ts";
import { type Mta, mtaTest, postfixGroup, startMta } from "../mta/mta.ts";
import { socketFolder } from "../mta/serve_filter.ts";
import type { Reply } from "../mta/smtp.ts";
import { inHook } from "./attack.ts";
import { ready, sandboxOf } from "./sandboxes.ts";

/** Does to its thread what the subject says. */
const EVIL = inHook(`
  addHeader("X-Evil", "was here");
  switch (mail.headers.get("subject").trim()) {
    case "spin": for (;;);
    case "never": await new Promise(() => {}); break;
    case "buffers": { const a = []; for (let i = 0; i < 40; i++) a.push(new Uint8Array(2e7).fill(1)); for (;;); }
    case "crash": setTimeout(() => { throw new Error("crash"); }); await new Promise(() => {}); break;
    case "throw": throw new Error("thrown");
    case "garbage": return 42;
  }
  return accept();`);

// No full heap: 2 of 100 ended by the deadline, so its kind is not certain; the arena has it.
const ENDS: readonly (readonly [subject: string, kind: FailureKind])[] = [
  ["spin", "timeout"],
  ["never", "timeout"],
  ["buffers", "memory"],
  ["crash", "crash"],
  ["throw", "error"],
  ["garbage", "bad-verdict"],
];

const POLICIES: readonly (readonly [name: string, FailurePolicy])[] = [
  ["tempfail for all", uniformPolicy("tempfail")],
  ["accept for all", uniformPolicy("accept")],
  ["by kind", { ...uniformPolicy("reject"), timeout: "accept", crash: "tempfail" }],
];

const SAID: Readonly<Record<Outcome, RegExp>> = {
  accept: /^250 /,
  reject: /^550 5\.7\.1 /,
  tempfail: /^451 4\.7\.1 /,
};

async function running(
  link: SandboxLink,
  socket: string,
): Promise<{ failures: Failure[] } & AsyncDisposable> {
  await link.start();
  const failures: Failure[] = [];
  const abort = new AbortController();
  const served = serve({
    listeners: [await listen(parseAddress(socket), { mode: 0o660, group: postfixGroup })],
    chain: new Chain([{ link, timeout: 1000 }]),
    log: { mail() {}, failure: (failure) => void failures.push(failure), event() {} },
    limits: { drain: 2000 },
    signal: abort.signal,
  });
  return {
    failures,
    async [Symbol.asyncDispose]() {
      abort.abort();
      await served;
      await link.close();
    },
  };
}

async function submit(mta: Mta, subject: string): Promise<Reply> {
  await using smtp = await mta.smtp();
  await smtp.ehlo();
  const mail = await smtp.mail("me@client.example");
  equal(mail.code, 250, mail.raw);
  equal((await smtp.rcpt("one@lab.example")).code, 250);
  const reply = await smtp.data(`From: me@client.example\nSubject: ${subject}\n\nbody\n`);
  await smtp.quit();
  return reply;
}

mtaTest(
  "hostile filters behind Postfix: each failure has its outcome, and the good filter sees every mail",
  async (t) => {
    await using folder = await socketFolder();
    const sockets = [`unix:${folder.path}/good.sock`, `unix:${folder.path}/evil.sock`];
    await using mta = await startMta("postfix", { milter: sockets });
    const good =
      sandboxOf(inHook(`addHeader("X-Good", mail.headers.get("subject").trim()); return accept();`)).link;
    await using served = await running(good, sockets[0]);
    for (const [name, policy] of POLICIES) {
      await t.step(name, async () => {
        const { link } = sandboxOf(EVIL, { name: "evil", policy, heapMiB: 32, bufferLimit: 32 << 20 }, {
          times: { firstPause: 1, longestPause: 1, grace: 100 },
        });
        await using evil = await running(link, sockets[1]);
        for (const [subject, kind] of ENDS) {
          evil.failures.length = 0;
          const reply = await submit(mta, subject);
          const outcome = policy[kind];
          match(reply.raw, SAID[outcome], `${subject}: ${reply.raw}`);
          deepEqual(evil.failures.map(({ kind, outcome }) => [kind, outcome]), [[kind, outcome]], subject);
          // The next mail finds a filter that works; until it is up again the policy answers.
          await ready(link);
          equal((await submit(mta, "fine")).code, 250, `after ${subject}`);
          const delivered = await mta.delivered(outcome === "accept" ? 2 : 1);
          const marks = delivered.map((
            mail,
          ) => [values(mail, "x-good").join(), values(mail, "x-evil").join()]).sort();
          const failed = outcome === "accept" ? [[subject, ""]] : [];
          deepEqual(marks, [["fine", "was here"], ...failed].sort(), subject);
          await mta.clear();
        }
      });
    }
    deepEqual(served.failures, []);
  },
);
