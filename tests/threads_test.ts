// `threads`: the program as its user has it, under exactly what `millrace flags` prints, answers in several threads.
import assert from "node:assert/strict";
import { MtaClient } from "../src/testing/mta_client.ts";
import { parseAddress } from "../src/transport/address.ts";
import { dial } from "../src/transport/deno.ts";
import { command, type Program, run, start } from "./helpers/program.ts";
import { values } from "./mta/mailbox.ts";
import { freePort, mtaTest, postfixGroup, startMta } from "./mta/mta.ts";

/** Says which isolate answers, and does to it what the mail asks for. */
const FILTER = `
const id = crypto.randomUUID();
export default async ({ options, log }) => {
  if (options.once) await Deno.mkdir(options.once);
  return {
    async message(mail, { addHeader }) {
      switch (mail.headers.get("X-Do")) {
        case "exit": Deno.exit(3);
        case "hang": for (;;);
        case "hog": for (const all = [];;) all.push(new Uint8Array(2 ** 20).fill(1));
        case "reject": Promise.reject(new Error("nobody waits for this")); break;
        case "wait": log.info("it works"); await new Promise((resolve) => setTimeout(resolve, 500));
      }
      addHeader("X-Thread", id);
      addHeader("X-Mark", options.mark);
    },
  };
};
`;

class Place implements AsyncDisposable {
  readonly folder: string = Deno.makeTempDirSync({ prefix: "millrace_threads_" });
  readonly config = `${this.folder}/m.yaml`;
  readonly inet = `inet:${freePort()}@127.0.0.1`;
  readonly unix = `unix:${this.folder}/m.sock`;

  constructor() {
    // Postfix must pass.
    Deno.chmodSync(this.folder, 0o755);
    Deno.writeTextFileSync(`${this.folder}/f.ts`, FILTER);
  }

  /** @param more Further lines. */
  write(mark: string, { threads = 2, options = "", more = "" } = {}): void {
    Deno.writeTextFileSync(
      this.config,
      `listen: ["${this.inet}", "${this.unix}"]
socket: { mode: 0660, group: ${postfixGroup} }
threads: ${threads}
log: { format: json, level: debug }
${more}
filters: [{ use: ./f.ts, isolation: none, options: { mark: ${mark}${options} } }]
`,
    );
  }

  async flags(): Promise<string[]> {
    const { code, out, err } = await run(["--no-prompt", `--allow-read=${this.folder}`], [
      "flags",
      "-c",
      this.config,
    ]);
    assert.equal(code, 0, err);
    return out.trimEnd().split("\n");
  }

  /** Starts it; what the filter does besides is granted here. */
  async serve(): Promise<Program> {
    const flags = [...await this.flags(), `--allow-write=${this.folder}`];
    const program = start(command(merged(flags), ["serve", "-c", this.config]));
    await program.until(`S=${this.unix}`);
    return program;
  }

  /** The same with a sandbox for the filter, pinned before. */
  async serveSandboxed(): Promise<Program> {
    const text = Deno.readTextFileSync(this.config).replace("isolation: none", "start_timeout: 60s");
    Deno.writeTextFileSync(this.config, text);
    const source = new URL("../src", import.meta.url).pathname;
    const rights = ["--no-prompt", `--allow-read=${this.folder},${source}`, `--allow-write=${this.folder}`];
    const locked = await run(rights, ["lock", "-c", this.config]);
    assert.equal(locked.code, 0, locked.err);
    const program = start(command(await this.flags(), ["serve", "-c", this.config]));
    await program.until(`S=${this.unix}`);
    return program;
  }

  /** The marks that new connections get, one of each thread; and those threads. */
  async marks(): Promise<{ readonly threads: ReadonlySet<string>; readonly marks: readonly string[] }> {
    const clients = await this.oneOfEach();
    const marks: string[] = [];
    for (const client of clients.values()) {
      marks.push((await send(client)).mark);
      await client.quit();
    }
    return { threads: new Set(clients.keys()), marks };
  }

  async connect(address: string = this.inet): Promise<MtaClient> {
    return await MtaClient.connect(await dial(parseAddress(address)));
  }

  /** Opens connections until two threads have one; gives one of each. */
  async oneOfEach(): Promise<Map<string, MtaClient>> {
    const clients = new Map<string, MtaClient>();
    for (let tries = 0; tries < 200 && clients.size < 2; tries++) {
      const client = await this.connect();
      const { thread } = await send(client);
      if (thread !== "" && !clients.has(thread)) {
        clients.set(thread, client);
        continue;
      }
      await client.quit();
      // A sandbox that has just ended is not there for a moment, and the policy answers.
      if (thread === "") await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.equal(clients.size, 2, "one thread alone gets all of 200 connections");
    return clients;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** Deno takes each flag once. */
function merged(flags: readonly string[]): string[] {
  const all = new Map<string, string[]>();
  for (const flag of flags) {
    const [name, list] = flag.split("=", 2);
    all.set(name, [
      ...all.get(name) ?? [],
      ...list === undefined || name === "--v8-flags" ? [] : list.split(","),
    ]);
  }
  const v8 = flags.filter((flag) => flag.startsWith("--v8-flags"));
  all.delete("--v8-flags");
  return [...v8, ...[...all].map(([name, list]) => list.length ? `${name}=${list.join(",")}` : name)];
}

interface Answer {
  readonly thread: string;
  readonly mark: string;
}

/** Sends a mail; gives what the filter added. */
async function send(client: MtaClient, what = "nothing"): Promise<Answer> {
  const { message } = await client.sendMail({ message: `X-Do: ${what}\n\nx\n` });
  const field = (name: string) => new RegExp(`^${name}: (.*)\r$`, "m").exec(message ?? "")?.[1] ?? "";
  return { thread: field("X-Thread"), mark: field("X-Mark") };
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 30_000; !await holds();) {
    assert.ok(Date.now() < end, `not within 30 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

Deno.test("TCP connections are spread over the threads, Unix ones stay with the first; the log is whole", async () => {
  await using here = new Place();
  here.write("one");
  await using program = await here.serve();
  const clients = await here.oneOfEach();
  const unix = await here.connect(here.unix);
  const { thread: first } = await send(unix);
  assert.ok(clients.has(first), "the first thread gets no TCP connection");
  const [second] = [...clients.keys()].filter((id) => id !== first);
  // An error that nobody caught ends neither thread.
  for (const client of clients.values()) await send(client, "reject");
  for (const [thread, client] of clients) assert.deepEqual(await send(client), { thread, mark: "one" });
  const uncaught = () =>
    program.records().filter(({ message }) => /was not caught/.test(String(message))).map(({ thread }) =>
      thread
    );
  await until("both errors are logged", () => uncaught().length === 2);
  assert.deepEqual(uncaught().toSorted(), [1, undefined]);
  for (const client of [...clients.values(), unix]) await client.quit();
  const sent = program.records().filter(({ message }) => message === "mail").length;
  assert.equal(await program.stop(), 0);
  const counts = program.records().filter(({ message }) => message === "link counts");
  assert.deepEqual(counts.map(({ thread }) => thread).toSorted(), [1, undefined]);
  assert.equal(counts.reduce((sum, { mails }) => sum + Number(mails), 0), sent);
  assert.notEqual(second, first);
});

Deno.test("a reload goes through in all threads; open connections keep what they have", async () => {
  await using here = new Place();
  here.write("one");
  await using program = await here.serve();
  const old = await here.oneOfEach();
  here.write("two");
  program.hangUp();
  await program.until("Reloaded");
  const [{ connections }] = program.records().filter(({ message }) => /^Reloaded/.test(String(message)));
  assert.equal(connections, 2, "both are counted");
  const now = await here.oneOfEach();
  assert.deepEqual([...now.keys()].toSorted(), [...old.keys()].toSorted());
  for (const client of now.values()) assert.equal((await send(client)).mark, "two");
  for (const client of old.values()) assert.equal((await send(client)).mark, "one");
  for (const client of [...now.values(), ...old.values()]) await client.quit();
});

Deno.test("a reload that one thread cannot follow changes nothing in any", async () => {
  await using here = new Place();
  here.write("one");
  await using program = await here.serve();
  const refused = async (...change: Parameters<Place["write"]>) => {
    const from = program.log().length;
    here.write(...change);
    program.hangUp();
    await until("it is refused", () => program.log().slice(from).includes("Reload refused"));
    return program.log().slice(from);
  };
  // The first that starts makes the folder, and the other does not start.
  const said = await refused("two", { options: `, once: "${here.folder}/once"` });
  assert.match(said, /Cannot load filter \\"f\\".*its function failed.*File exists/);
  assert.match(
    await refused("two", { threads: 3 }),
    /Cannot change threads from 2 to 3: restart the program/,
  );
  assert.deepEqual((await here.marks()).marks, ["one", "one"]);
  here.write("three");
  program.hangUp();
  await program.until("Reloaded");
  assert.deepEqual((await here.marks()).marks, ["three", "three"]);
});

Deno.test("limits.connections holds for all threads together", async () => {
  await using here = new Place();
  here.write("one", { more: "limits: { connections: 6 }" });
  await using program = await here.serve();
  const each = await here.oneOfEach();
  const all = await Promise.allSettled(Array.from({ length: 30 }, () => here.connect()));
  const open = all.flatMap((result) => result.status === "fulfilled" ? [result.value] : []);
  assert.equal(open.length, 4, "besides the two that each have a thread");
  await program.until("Refusing connections: 6 are open, the limit is 6 (limits.connections)");
  open.push(...each.values());
  for (const client of open) await client.quit();
  await until("there is room again", async () => {
    const client = await here.connect().catch(() => undefined);
    await client?.quit();
    return client !== undefined;
  });
});

Deno.test("a thread that a filter ends comes back with what is current, and the others serve all the while", async () => {
  await using here = new Place();
  here.write("one", { more: "limits: { connections: 6 }" });
  await using program = await here.serve();
  const clients = await here.oneOfEach();
  const unix = await here.connect(here.unix);
  const { thread: first } = await send(unix);
  const [[second, victim]] = [...clients].filter(([thread]) => thread !== first);
  // Code that the other thread does not run is not started.
  await Deno.writeTextFile(`${here.folder}/f.ts`, `${FILTER}// changed`);
  await assert.rejects(send(victim, "exit"));
  await program.until("Thread 1 ended, and its connections with it");
  await program.until("Thread 1 could not start again: Cannot load filter");
  await Deno.writeTextFile(`${here.folder}/f.ts`, FILTER);
  here.write("two", { more: "limits: { connections: 6 }" });
  program.hangUp();
  await program.until("Reloaded");
  assert.deepEqual(await send(unix), { thread: first, mark: "one" });
  await program.until("Thread 1 serves again");
  // The connections that went with it take no places.
  await clients.get(first)!.quit();
  await unix.quit();
  await until("its places are free", async () => {
    const open = await Promise.allSettled(Array.from({ length: 6 }, () => here.connect()));
    for (const result of open) if (result.status === "fulfilled") await result.value.quit();
    return open.every(({ status }) => status === "fulfilled");
  });
  const { threads, marks } = await here.marks();
  assert.ok(threads.has(first) && !threads.has(second));
  assert.deepEqual(marks, ["two", "two"]);
  assert.equal(await program.stop(), 0);
});

Deno.test("a thread that a filter holds beyond its time is ended, and comes back", async () => {
  await using here = new Place();
  here.write("one", { more: "defaults: { timeout: 1s }" });
  await using program = await here.serve();
  const unix = await here.connect(here.unix);
  const { thread: first } = await send(unix);
  const [[second, victim]] = [...await here.oneOfEach()].filter(([thread]) => thread !== first);
  const hanging = assert.rejects(send(victim, "hang"));
  // It takes until then, and changes nothing in any thread.
  here.write("two", { more: "defaults: { timeout: 1s }" });
  program.hangUp();
  await program.until("Thread 1 has not moved for 1");
  await program.until("Reload refused");
  assert.match(program.log(), /Thread 1 ended: /);
  await hanging;
  await program.until("Thread 1 serves again");
  const { threads, marks } = await here.marks();
  assert.ok(threads.has(first) && !threads.has(second));
  assert.deepEqual(marks, ["one", "one"]);
  assert.deepEqual(await send(unix), { thread: first, mark: "one" });
  await unix.quit();
});

Deno.test("at the stop open mails finish in every thread, and a thread that hangs is ended", async () => {
  await using here = new Place();
  here.write("one", { more: "limits: { drain: 2s }" });
  await using program = await here.serve();
  const clients = await here.oneOfEach();
  const working = [...clients].map(async ([thread, client]) => {
    assert.deepEqual(await send(client, "wait"), { thread, mark: "one" });
  });
  await until("both work", () => program.log().split("it works").length === 3);
  assert.equal(await program.stop(), 0);
  await Promise.all(working);
  await using again = await here.serve();
  const unix = await here.connect(here.unix);
  const { thread: first } = await send(unix);
  const [[, victim]] = [...await here.oneOfEach()].filter(([thread]) => thread !== first);
  const hanging = assert.rejects(send(victim, "hang"));
  await until("the other thread still answers", async () => (await send(unix)).thread === first);
  const stopped = again.stop();
  await again.until("Ending thread 1, which has not stopped by itself");
  assert.equal(await stopped, 0);
  await hanging;
});

Deno.test("an address that somebody else has is not shared, and a missing flag is named", async () => {
  await using here = new Place();
  here.write("one");
  await using _program = await here.serve();
  const flags = await here.flags();
  const second = await run(flags, ["serve", "-c", here.config]);
  assert.equal(second.code, 1);
  assert.match(
    second.err,
    /^error: Cannot listen on inet:.*another program, or another line of the same configuration, already listens/m,
  );
  assert.ok(flags.includes("--unstable-net"));
  const without = await run(flags.filter((flag) => flag !== "--unstable-net"), ["serve", "-c", here.config]);
  assert.equal(without.code, 2);
  assert.match(
    without.err,
    /^error: Cannot serve with 2 threads: Deno does not let this process share an address; start it with --unstable-net/m,
  );
});

Deno.test("a sandbox that fills memory is ended, and none of another thread with it", async () => {
  await using here = new Place();
  here.write("one", { more: "defaults: { memory: 32MiB, timeout: 20s }" });
  await using program = await here.serveSandboxed();
  for (let round = 0; round < 3; round++) {
    const [[innocent, other], [, victim]] = [...await here.oneOfEach()];
    const ending = victim.sendMail({ message: "X-Do: hog\n\nx\n" });
    let over = false;
    ending.then(() => over = true, () => over = true);
    do assert.equal((await send(other)).thread, innocent); while (!over);
    assert.equal((await ending).verdict, "tempfail");
    // What the process had grown by takes a moment to go; nobody may be ended for it.
    for (const end = Date.now() + 1500; Date.now() < end;) {
      assert.equal((await send(other)).thread, innocent);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await other.quit();
    victim.close();
  }
  const kinds = program.records().filter(({ message }) => message === "filter failed").map(({ kind }) =>
    kind
  );
  assert.deepEqual(kinds, ["memory", "memory", "memory"]);
  assert.equal(await program.stop(), 0);
});

Deno.test("a start that one thread cannot follow is none: exit code 2, and why", async () => {
  await using here = new Place();
  here.write("one", { options: `, once: "${here.folder}/once"` });
  const flags = merged([...await here.flags(), `--allow-write=${here.folder}`]);
  const { code, err } = await run(flags, ["serve", "-c", here.config]);
  assert.equal(code, 2, err);
  assert.match(err, /^error: Cannot load filter "f" .*its function failed.*File exists/m);
});

mtaTest("real Postfix: every thread answers with a sandbox of its own", async () => {
  await using here = new Place();
  here.write("one");
  await using program = await here.serveSandboxed();
  await using mta = await startMta("postfix", { milter: here.inet });
  // Each session is a connection of its own to the milter; 40 at one of two threads alone are no chance.
  for (let n = 0; n < 40; n++) {
    await using smtp = await mta.smtp();
    await smtp.ehlo();
    assert.equal((await smtp.mail("s@client.example")).code, 250);
    assert.equal((await smtp.rcpt("one@lab.example")).code, 250);
    assert.equal((await smtp.data("From: a@b.example\nSubject: x\n\nhi\n")).code, 250);
    await smtp.quit();
  }
  const mails = await mta.delivered(40);
  assert.equal(new Set(mails.flatMap((mail) => values(mail, "X-Thread"))).size, 2);
  assert.equal(await program.stop(), 0);
});
