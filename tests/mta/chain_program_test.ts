/**
 * A chain as an administrator runs it: the program itself, under exactly what `flags` prints, behind real Postfix; with a
 * milter in C in its middle that dies, hangs, comes back, is slow or is no milter at all, and with a mail that is larger
 * than the memory it may take.
 */
import assert from "node:assert/strict";
import { buildOrders, missingLibmilter, type Orders, startOrders } from "../helpers/libmilter.ts";
import { command, procFile, type Program, run, start } from "../helpers/program.ts";
import { type Delivered, values } from "./mailbox.ts";
import { freePort, type Mta, mtaTest, startMta } from "./mta.ts";

const SOURCE = new URL("../../", import.meta.url).pathname;

/** A folder with a configuration. */
interface Place extends AsyncDisposable {
  readonly folder: string;
  readonly config: string;
  /** `serve` under what `flags` prints; resolves once it listens. */
  serve(): Promise<Program>;
}

async function place(config: string, files: Readonly<Record<string, string>> = {}): Promise<Place> {
  const folder = await Deno.makeTempDir({ prefix: "millrace_chain_" });
  await Deno.mkdir(`${folder}/spool`);
  for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(`${folder}/${name}`, text);
  const path = `${folder}/m.yaml`;
  await Deno.writeTextFile(path, config);
  if (Object.keys(files).length > 0) {
    const locked = await run(["--no-prompt", "-A"], ["lock", "-c", path]);
    assert.equal(locked.code, 0, locked.err);
  }
  return {
    folder,
    config: path,
    async serve() {
      const flags = await run(["--no-prompt", `--allow-read=${folder},${SOURCE}`], ["flags", "-c", path]);
      assert.equal(flags.code, 0, flags.err);
      const program = start(command(flags.out.trim().split(/\s+/), ["serve", "-c", path]));
      await program.until("Listening on");
      return program;
    },
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

/** One mail on a connection of its own: the reply to its last step, and what was delivered of it. */
async function send(
  mta: Mta,
  sender: string,
  message = "From: a@client.example\nSubject: test\n\nbody\n",
): Promise<{ reply: string; mail: Delivered | undefined }> {
  await using smtp = await mta.smtp({ timeout: 120_000 });
  await smtp.ehlo();
  let reply = await smtp.mail(sender);
  if (reply.code === 250) reply = await smtp.rcpt("one@lab.example");
  if (reply.code === 250) reply = await smtp.data(message);
  await smtp.quit();
  const [mail] = await mta.delivered(reply.code === 250 ? 1 : 0, 60_000);
  await mta.clear();
  return { reply: reply.raw.trim(), mail };
}

/** The log record of the last mail, once it is that of this sender: the log is written when there is time. */
async function recordOf(program: Program, sender: string): Promise<Record<string, unknown>> {
  for (;;) {
    const last = program.records().findLast(({ message }) => message === "mail");
    if (last?.sender === sender) return last;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const mark = (name: string, rest = "") =>
  `  - { use: "bundled:rules", name: ${name}, options: { rules: [{ add_header: { name: X-${name}, value: "1" } }] }${rest} }\n`;

const OUTCOMES = ["accept", "tempfail", "reject"] as const;

mtaTest(
  "a milter in the middle of a chain fails in every way: its policy answers, the others are unharmed",
  async (t) => {
    assert.equal(await missingLibmilter(), undefined);
    const [port, upstream] = [freePort(), freePort()];
    const filters = OUTCOMES.map((outcome) =>
      `  - { upstream: "inet:${upstream}@127.0.0.1", name: old-${outcome}, timeout: 1500ms, connect_timeout: 500ms, ` +
      `on_failure: ${outcome}, when: { sender_domain: ${outcome}.example } }\n`
    );
    const config = `listen: inet:${port}@127.0.0.1\nlog: { format: json }\nfilters:\n${mark("First")}${
      filters.join("")
    }${mark("Last")}`;
    await using here = await place(config);
    await using mta = await startMta("postfix", { milter: `inet:${port}@127.0.0.1` });
    const tools = await Deno.makeTempDir({ prefix: "millrace_orders_" });
    const orders = await buildOrders(tools);
    await using program = await here.serve();
    const milter = () => startOrders(orders, `inet:${upstream}@127.0.0.1`);

    /** What each policy makes of a mail while the milter is as it is. */
    async function policies(kinds: RegExp): Promise<void> {
      for (const outcome of OUTCOMES) {
        const { reply, mail } = await send(mta, `a@${outcome}.example`);
        const record = await recordOf(program, `a@${outcome}.example`);
        const links = record.links as { link: string; part: string; failure?: { kind: string } }[];
        const failed = links.find(({ link }) => link === `old-${outcome}`);
        assert.match(String(failed?.failure?.kind), kinds, JSON.stringify(record));
        if (outcome === "accept") {
          assert.deepEqual([values(mail!, "X-First"), values(mail!, "X-Last"), values(mail!, "X-Calls")], [
            ["1"],
            ["1"],
            [],
          ]);
        } else {
          assert.match(reply, outcome === "reject" ? /^550 5\.7\.1 / : /^451 4\.7\.1 /);
          assert.match(
            String(record.why),
            new RegExp(
              `^link "old-${outcome}" failed in \\w+ \\((?:${kinds.source})\\), and its policy is ${outcome}$`,
            ),
          );
        }
        // Once one has refused the mail, those behind it are not even asked whether it concerns them.
        for (const other of OUTCOMES.filter((other) => other !== outcome)) {
          const { part } = links.find(({ link }) => link === `old-${other}`)!;
          assert.match(part, outcome === "accept" ? /^unconcerned$/ : /^(?:unconcerned|waiting)$/);
        }
      }
    }

    /** The milter is well, and so is the chain around it. */
    async function allIsWell(): Promise<void> {
      for (const outcome of OUTCOMES) {
        const { reply, mail } = await send(mta, `a@${outcome}.example`);
        assert.match(reply, /^250 /, program.log());
        assert.deepEqual([values(mail!, "X-First"), values(mail!, "X-Last")], [["1"], ["1"]]);
        assert.equal(values(mail!, "X-Calls").length, 1);
      }
      const { mail } = await send(mta, "a@elsewhere.example");
      assert.deepEqual([values(mail!, "X-First"), values(mail!, "X-Last"), values(mail!, "X-Calls")], [
        ["1"],
        ["1"],
        [],
      ]);
    }

    /** Until the milter, which each of the links holds back by itself, is asked again by all. */
    async function recovers(): Promise<void> {
      for (const outcome of OUTCOMES) {
        let asked = false;
        for (let tries = 0; tries < 150 && !asked; tries++) {
          const { mail } = await send(mta, `a@${outcome}.example`);
          asked = mail !== undefined && values(mail, "X-Calls").length === 1;
          if (!asked) await new Promise((resolve) => setTimeout(resolve, 200));
        }
        assert.ok(asked, `the milter is not asked again:\n${program.log()}`);
      }
    }

    let running: Orders = await milter();
    try {
      await t.step("running", allIsWell);
      await t.step("stopped where it is", async () => {
        running.signal("SIGSTOP");
        // Not even the negotiation is answered.
        await policies(/timeout|unavailable/);
        running.signal("SIGCONT");
        await recovers();
        await allIsWell();
      });
      await t.step("stopped in the middle of a mail", async () => {
        await using smtp = await mta.smtp();
        await smtp.ehlo();
        await smtp.mail("a@tempfail.example");
        await smtp.rcpt("one@lab.example");
        running.signal("SIGSTOP");
        const reply = await smtp.data("Subject: test\n\nbody\n");
        assert.match(reply.raw, /^451 /);
        running.signal("SIGCONT");
        // The same SMTP connection goes on with another milter connection. A refused DATA leaves the mail open.
        assert.equal((await smtp.command("RSET")).code, 250);
        assert.equal((await smtp.mail("a@tempfail.example")).code, 250);
        assert.match(
          String((await recordOf(program, "a@tempfail.example")).why),
          /failed in \w+ \(timeout\)/,
        );
        assert.equal((await smtp.rcpt("one@lab.example")).code, 250);
        assert.equal((await smtp.data("Subject: test\n\nbody\n")).code, 250);
        await smtp.quit();
        const [mail] = await mta.delivered(1);
        assert.equal(values(mail, "X-Calls").length, 1);
        await mta.clear();
      });
      await t.step("killed in the middle of a mail, and started again", async () => {
        await using smtp = await mta.smtp();
        await smtp.ehlo();
        await smtp.mail("a@reject.example");
        await smtp.rcpt("one@lab.example");
        await running[Symbol.asyncDispose]();
        assert.match((await smtp.data("Subject: test\n\nbody\n")).raw, /^550 /);
        await smtp.quit();
        const { why } = await recordOf(program, "a@reject.example");
        assert.match(String(why), / failed (?:in \w+ )?\((?:crash|unavailable)\)/);
        await policies(/unavailable/);
        running = await milter();
        await recovers();
        await allIsWell();
      });
      await t.step("slow, with signs of life", async () => {
        const { reply, mail } = await send(mta, "slow@tempfail.example");
        assert.match(reply, /^250 /);
        assert.equal(values(mail!, "X-Calls").length, 1);
      });
      await t.step("no milter, but a server that talks nonsense", async () => {
        await running[Symbol.asyncDispose]();
        const stranger = Deno.listen({ hostname: "127.0.0.1", port: upstream });
        const done = (async () => {
          for await (const connection of stranger) {
            await connection.write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n")).catch(
              () => {},
            );
            connection.close();
          }
        })();
        await policies(/protocol|unavailable/);
        assert.match(program.log(), /HTTP/);
        stranger.close();
        await done;
        running = await milter();
        await recovers();
        await allIsWell();
      });
    } finally {
      await running[Symbol.asyncDispose]();
      await Deno.remove(tools, { recursive: true });
    }
    assert.equal(await program.stop(), 0);
  },
);

/** Reads the body as it comes, keeps nothing of it, and marks the mail with its length and a sum of its bytes. */
const READS = `export default {
  body(chunk, { transaction }) {
    let sum = transaction.sum ?? 0;
    for (let i = 0; i < chunk.length; i++) sum = (sum * 31 + chunk[i]) >>> 0;
    transaction.sum = sum;
    transaction.length = (transaction.length ?? 0) + chunk.length;
  },
  endOfMessage({ transaction, addHeader }) {
    addHeader("X-Read", transaction.length + " " + transaction.sum);
  },
};
`;

mtaTest(
  "a mail of 50 MiB through three links takes no more memory than the configuration allows",
  async () => {
    const port = freePort();
    const link = (n: number) => `  - { use: ./reads.ts, name: reads${n}, timeout: 60s, memory: 32MiB }\n`;
    const config =
      `listen: inet:${port}@127.0.0.1\nlog: { format: json }\nspool: { memory: 1MiB, folder: ./spool }\n` +
      `filters:\n${[1, 2, 3].map(link).join("")}`;
    await using here = await place(config, { "reads.ts": READS });
    await using mta = await startMta("postfix", { milter: `inet:${port}@127.0.0.1` });
    await using program = await here.serve();
    const memory = async (name: "VmHWM" | "VmRSS"): Promise<number> => {
      const status = await procFile(program.pid, "status");
      return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)![1]) / 1024;
    };
    const mailOf = (mib: number) => `Subject: large\n\n${`${"x".repeat(1022)}\n`.repeat(1024 * mib)}`;
    // The rings, the buffers and the heaps of three sandboxes at work, without anything large.
    for (let n = 0; n < 5; n++) assert.match((await send(mta, "a@client.example", mailOf(1))).reply, /^250 /);
    // The peak counts from here (proc(5), clear_refs).
    const reset = await new Deno.Command("sh", { args: ["-c", `echo 5 > /proc/${program.pid}/clear_refs`] })
      .output();
    assert.ok(reset.success);
    const before = await memory("VmRSS");
    const { reply, mail } = await send(mta, "a@client.example", mailOf(50));
    const peak = await memory("VmHWM");
    assert.match(reply, /^250 /, program.log());
    const sums = values(mail!, "X-Read");
    assert.equal(sums.length, 3);
    assert.equal(new Set(sums).size, 1, "all have read the same");
    assert.equal(sums[0].split(" ")[0], String(50 * 1024 * 1024));
    assert.deepEqual([...Deno.readDirSync(`${here.folder}/spool`)], [], "nothing is left of it");
    console.log(
      `50 MiB through three sandboxed links: ${before.toFixed(0)} MiB before, ${
        peak.toFixed(0)
      } MiB at the peak`,
    );
    // Kept in memory it would be 50 MiB more for the body alone; 1 MiB of it may be, the rest is garbage not yet collected.
    assert.ok(peak - before < 40, `${before} MiB before, ${peak} MiB at the peak`);
    assert.equal(await program.stop(), 0);
  },
);
