/**
 * Reloads under load: the program as its user has it, under exactly the flags that it asks for, goes over to a new
 * configuration a hundred times while real Postfix sends mail through it without a pause.
 */
import { deepEqual, equal, ok } from "node:assert/strict";
import { parseAddress } from "../../src/transport/address.ts";
import { dial } from "../../src/transport/deno.ts";
import { askControl } from "../../src/cli/serving/control.ts";
import { command, procFile, type Program, run, start } from "../helpers/program.ts";
import { type Delivered, values } from "./mailbox.ts";
import { freePort, type Mta, mtaTest, startMta } from "./mta.ts";

const RELOADS = 100;
/** Until then heaps and pools of threads find their size; half of what follows is then held against the other half. */
const WARM = 20;
const SOURCE = new URL("../../src", import.meta.url).pathname;

const FILTER = `
export default ({ options }) => ({
  message(_mail, { addHeader }) {
    addHeader("X-Generation", String(options.generation));
  },
});
`;

/** A folder with a pinned filter, and a configuration that gives it a number. */
class Place implements AsyncDisposable {
  readonly folder: string = Deno.makeTempDirSync({ prefix: "millrace_reload_" });
  readonly config = `${this.folder}/m.yaml`;
  readonly control = `unix:${this.folder}/control.sock`;
  readonly milter = `inet:${freePort()}@127.0.0.1`;

  async write(generation: number): Promise<void> {
    await Deno.writeTextFile(
      this.config,
      `listen: ${this.milter}
control: ${this.control}
log: { format: json, level: debug }
filters:
- use: ./f.ts
  options: { generation: ${generation} }
`,
    );
  }

  /** Pins the filter, then serves under what `flags` prints. */
  async serve(): Promise<Program> {
    await Deno.writeTextFile(`${this.folder}/f.ts`, FILTER);
    await this.write(0);
    const rights = ["--no-prompt", `--allow-read=${this.folder},${SOURCE}`];
    const locked = await run([...rights, `--allow-write=${this.folder}`], ["lock", "-c", this.config]);
    equal(locked.code, 0, locked.err);
    const { out } = await run(rights, ["flags", "-c", this.config]);
    const program = start(command(out.trimEnd().split("\n"), ["serve", "-c", this.config]));
    await program.until("Postfix, main.cf:");
    return program;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** The ways to ask for a reload; each resolves when it is done. */
function reloaders({ config, control }: Place, program: Program) {
  return {
    async socket(): Promise<void> {
      const connection = await dial(parseAddress(control));
      const answer = await askControl(connection, "reload");
      connection.close();
      ok(answer?.done, answer?.text);
    },
    async command(): Promise<void> {
      // What `deno task millrace` gives.
      const rights = ["--no-prompt", "--allow-net", "--allow-read", "--allow-write"];
      const { code, out, err } = await run(rights, ["reload", "-c", config]);
      deepEqual([code, err], [0, ""]);
      ok(out.startsWith(`Reloaded ${config} in `), out);
    },
    async signal(): Promise<void> {
      const from = program.log().length;
      program.hangUp();
      while (!program.log().slice(from).includes('"message":"Reloaded ')) {
        ok(!program.log().slice(from).includes('"message":"Reload refused'), program.log().slice(from));
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
  };
}

/** One SMTP session, and which generations its milter connection may have got. */
interface Session {
  readonly name: string;
  /** The last reload that was done before it, and the last that was asked for by the time it had begun. */
  readonly least: number;
  readonly most: number;
  mails: number;
}

/** Clients that send until they are told to stop, and what they know. */
class Clients {
  /** The last reload that was asked for, and the last that was done. */
  asked = 0;
  done = 0;
  over = false;
  readonly sessions: Session[] = [];
  /** Generations that a session has begun with for certain, and sent a mail. */
  readonly #used = new Set<number>();
  #wake = (): void => {};

  /** Sends sessions of 5 mails, one after the other. */
  async short(mta: Mta, name: string): Promise<void> {
    for (let n = 0; !this.over; n++) await this.#session(mta, `${name}${n}`, ({ mails }) => mails < 5);
  }

  /** Sends sessions that go on over two reloads. */
  async long(mta: Mta, name: string): Promise<void> {
    for (let n = 0; !this.over; n++) {
      await this.#session(mta, `${name}${n}`, ({ most }) => this.done < most + 2 && !this.over);
    }
  }

  /** Resolves when a session that began after this reload has sent a mail; rejects when the clients have failed. */
  async used(generation: number, failed: Promise<unknown>): Promise<void> {
    while (!this.#used.has(generation)) {
      await Promise.race([new Promise<void>((resolve) => this.#wake = resolve), failed]);
    }
  }

  async #session(mta: Mta, name: string, goesOn: (session: Session) => boolean): Promise<void> {
    const least = this.done;
    await using smtp = await mta.smtp();
    equal((await smtp.ehlo()).code, 250);
    // Postfix has connected to the milter before it greeted.
    const session: Session = { name, least, most: this.asked, mails: 0 };
    this.sessions.push(session);
    do {
      const id = `${name}-${session.mails}`;
      const replies = [
        await smtp.mail("sender@client.example"),
        await smtp.rcpt(`${id}@lab.example`),
        await smtp.data(`From: sender@client.example\nSubject: ${id}\n\nhello\n`),
      ];
      deepEqual(replies.map(({ code }) => code), [250, 250, 250], replies.map(({ raw }) => raw).join(""));
      session.mails++;
      if (session.least === session.most) this.#used.add(session.least);
      this.#wake();
    } while (goesOn(session));
    equal((await smtp.quit()).code, 221);
  }
}

/** What a process has at a moment, by the system. */
async function measure({ pid }: Program): Promise<{ readonly rssMiB: number; readonly threads: number }> {
  const status = await procFile(pid, "status");
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)![1]);
  return { rssMiB: field("VmRSS") / 1024, threads: field("Threads") };
}

/** Every mail has one mark, all of a session have the same, and it is one that the session may have. */
function checkMarks(mails: readonly Delivered[], sessions: readonly Session[]): Set<number> {
  const marks = new Map<string, Set<string>>();
  for (const mail of mails) {
    const found = values(mail, "X-Generation");
    equal(found.length, 1, `${mail.recipient} has ${found.length} marks: ${found}`);
    const name = mail.recipient.slice(0, mail.recipient.lastIndexOf("-"));
    marks.set(name, (marks.get(name) ?? new Set()).add(found[0]));
  }
  const generations = new Set<number>();
  for (const { name, least, most } of sessions) {
    const found = [...marks.get(name) ?? []];
    equal(found.length, 1, `the mails of session ${name} went through ${found}`);
    const generation = Number(found[0]);
    ok(least <= generation && generation <= most, `${name}: ${generation} is not within ${least} to ${most}`);
    generations.add(generation);
  }
  return generations;
}

mtaTest(
  `${RELOADS} reloads while Postfix sends: no mail fails, each gets one configuration's result`,
  async (t) => {
    await using place = new Place();
    await using program = await place.serve();
    await using mta = await startMta("postfix", { milter: place.milter });
    const clients = new Clients();
    const reload = reloaders(place, program);
    const measures: Awaited<ReturnType<typeof measure>>[] = [];
    const sending = Promise.all([
      clients.short(mta, "a"),
      clients.short(mta, "b"),
      clients.long(mta, "c"),
      clients.long(mta, "d"),
    ]);
    // Whoever fails first ends the others; the failure itself comes out where it is waited for.
    const failed = new Promise<never>((_, reject) => sending.catch(reject));
    failed.catch(() => clients.over = true);
    try {
      for (let generation = 1; generation <= RELOADS; generation++) {
        await clients.used(generation - 1, failed);
        await place.write(generation);
        clients.asked = generation;
        const way = generation % 25 === 0 ? "command" : generation % 10 === 0 ? "signal" : "socket";
        await Promise.race([reload[way](), failed]);
        clients.done = generation;
        measures.push(await measure(program));
      }
      await clients.used(RELOADS, failed);
    } finally {
      clients.over = true;
      await sending.catch(() => {});
    }
    await sending;
    const sent = clients.sessions.reduce((sum, { mails }) => sum + mails, 0);

    await t.step(
      "every mail has one mark, that of its session, and every configuration was used",
      async () => {
        const generations = checkMarks(await mta.delivered(sent, 120_000), clients.sessions);
        equal(generations.size, RELOADS + 1);
        const over = clients.sessions.filter(({ name }) => /^[cd]/.test(name));
        ok(over.length >= RELOADS / 4, `${over.length} sessions went on over reloads`);
      },
    );

    await t.step("the log has every mail and every reload, and nothing to complain about", async () => {
      equal(await program.stop(), 0);
      const lines = program.records();
      const count = (start: string) =>
        lines.filter(({ message }) => String(message).startsWith(start)).length;
      equal(count("mail"), sent);
      equal(count("Reloaded "), RELOADS);
      equal(count("The filters of an earlier configuration are gone"), RELOADS);
      deepEqual(lines.filter(({ level }) => level === "warn" || level === "error"), []);
    });

    await t.step("memory and threads are level", () => {
      const half = (RELOADS - WARM) / 2;
      const [early, late] = [measures.slice(WARM, WARM + half), measures.slice(-half)];
      const least = (some: typeof measures, what: "rssMiB" | "threads") =>
        Math.round(Math.min(...some.map((one) => one[what])));
      const memory = [least(early, "rssMiB"), least(late, "rssMiB")];
      const threads = [least(early, "threads"), least(late, "threads")];
      const text = `memory ${memory.join(" -> ")} MiB, threads ${threads.join(" -> ")}`;
      // The least of each half, because memory goes up and down by some 60 MiB: what an unloaded sandbox leaves, about
      // 1 MiB, is collected when V8 thinks it worth while. Sandboxes that were never freed would add up over the 40 reloads
      // from one half to the other, to 1 GiB and 80 threads; what else were kept of each, to 50 MiB if it has over 1 MiB.
      ok(memory[1] <= memory[0] + 50, text);
      ok(threads[1] <= threads[0] + 10, text);
    });
  },
);
