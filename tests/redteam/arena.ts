/**
 * A process of its own in which hostile filters run beside a good one that is under load. Prints a JSON line for each
 * hostile filter; asks on stdout for its own threads and memory, which it may not look up itself, and reads them from
 * stdin.
 */
import { Chain } from "../../src/chain/chain.ts";
import type { SandboxLink } from "../../src/links/sandbox/sandbox_link.ts";
import { serve } from "../../src/server/serve.ts";
import { type Failure, type FailurePolicy, uniformPolicy, verdictOf } from "../../src/session/policy.ts";
import { MtaClient } from "../../src/testing/mta_client.ts";
import { type MemoryListener, memoryListener } from "../../src/transport/memory.ts";
import { type Attack, inHook } from "./attack.ts";
import { DEATHS, FILLS, SPINS } from "./attacks_force.ts";
import { RIGHTS } from "./attacks_rights.ts";
import type { Measure, Outcome } from "./arena_types.ts";
import { ready, sandboxOf } from "./sandboxes.ts";

/** Each kind of failure that matters here has another outcome, so that they can be told apart by the mail. */
const POLICY: FailurePolicy = { ...uniformPolicy("tempfail"), timeout: "accept", memory: "reject" };
/** Of the hostile filter's hooks, ms. The good one has what is usual, so that a busy machine fails no test. */
const DEADLINE = 300;
const GOOD_DEADLINE = 10_000;
const [cheapRounds, dearRounds, only] = [Number(Deno.args[0]), Number(Deno.args[1]), Deno.args[2] ?? ""];
const now = (): number => performance.now();

interface Serving {
  readonly listener: MemoryListener;
  readonly failures: Failure[];
  stop(): Promise<void>;
}

function serving(link: SandboxLink, timeout: number): Serving {
  const listener = memoryListener();
  const failures: Failure[] = [];
  const abort = new AbortController();
  const running = serve({
    listeners: [listener],
    chain: new Chain([{ link, timeout }]),
    log: { mail() {}, failure: (failure) => void failures.push(failure), event() {} },
    limits: { drain: 2000 },
    signal: abort.signal,
  });
  return {
    listener,
    failures,
    async stop() {
      abort.abort();
      await running;
      await link.close();
    },
  };
}

/** Mails through the good filter, without a pause, until told to stop. */
class Load {
  mails = 0;
  slowest = 0;
  readonly wrong: string[] = [];
  #stopped = false;
  readonly #work: Promise<void>[];

  constructor(listener: MemoryListener, connections: number) {
    this.#work = Array.from({ length: connections }, (_, i) => this.#run(listener, i));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#work);
  }

  async #run(listener: MemoryListener, i: number): Promise<void> {
    try {
      while (!this.#stopped) {
        const client = await MtaClient.connect(listener.connect());
        for (let n = 0; n < 20 && !this.#stopped; n++) {
          const sender = `good-${i}-${this.mails++}@client.example`;
          const began = now();
          const { verdict, message } = await client.sendMail({ sender });
          this.slowest = Math.max(this.slowest, now() - began);
          if (verdict !== "continue" || /^X-Good: (.*?)\r?$/m.exec(message ?? "")?.[1] !== sender) {
            if (this.wrong.length < 20) this.wrong.push(`${sender}: ${verdict} ${message?.slice(0, 200)}`);
          }
          // Leaves the second core to the hostile one, as a busy server would.
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
        await client.quit();
      }
    } catch (error) {
      this.wrong.push(String(error));
    }
  }
}

async function measure(): Promise<Measure> {
  console.log(JSON.stringify({ ask: "measure" }));
  const buffer = new Uint8Array(4096);
  const count = await Deno.stdin.read(buffer);
  return JSON.parse(new TextDecoder().decode(buffer.subarray(0, count ?? 0)));
}

async function play(attack: Attack, load: Load): Promise<Outcome> {
  const goodBefore = load.mails;
  const { link, events } = sandboxOf(attack.source, {
    name: "evil",
    policy: POLICY,
    heapMiB: 32,
    bufferLimit: 32 << 20,
    startTimeout: 1500,
  }, { times: { firstPause: 1, longestPause: 1, grace: 100 } });
  await link.start().catch(() => {});
  const { listener, failures, stop } = serving(link, attack.deadline ?? DEADLINE);
  const rounds = attack.dear ? dearRounds : cheapRounds;
  const wrong: string[] = [];
  const kinds: Record<string, number> = {};
  const got = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    failures.length = 0;
    try {
      if (!attack.ends.includes("unavailable")) await ready(link, 5000);
      const client = await MtaClient.connect(listener.connect());
      const { verdict, message } = await client.sendMail({ sender: "victim@client.example" });
      const kind = failures.at(0)?.kind ?? "none";
      kinds[kind] = (kinds[kind] ?? 0) + 1;
      if (!attack.ends.includes(kind)) wrong.push(`ended in ${kind}: ${failures.at(0)?.message}`);
      // At the end of a message the MTA is told continue for accept.
      const due = kind === "none" ? "continue" : verdictOf(POLICY[kind]).kind.replace("accept", "continue");
      const early = kind !== "none" && verdict === "accept" && POLICY[kind] === "accept";
      if (verdict !== due && !early) wrong.push(`${kind} was answered ${verdict}, due was ${due}`);
      for (const line of message?.matchAll(/^X-Got: (.*)$/gm) ?? []) got.add(line[1]);
      if (kind !== "none" && message?.includes("X-")) {
        wrong.push(`an edit of a failed mail got through: ${message}`);
      }
      await client.quit().catch(() => client.close());
    } catch (error) {
      wrong.push(String(error));
    }
  }
  await stop();
  return {
    name: attack.name,
    tries: attack.tries,
    rounds,
    kinds,
    got: [...got],
    wrong: [...new Set(wrong)],
    lines: events.length,
    goodMails: load.mails - goodBefore,
  };
}

const good =
  sandboxOf(inHook(`addHeader("X-Good", mail.sender.address); return accept();`), { name: "good" }).link;
await good.start();
const home = serving(good, GOOD_DEADLINE);
let load = new Load(home.listener, 4);
// Everything that is loaded once is loaded.
await new Promise((resolve) => setTimeout(resolve, 500));
await play({ name: "warm-up", tries: "", source: inHook("for (;;);"), ends: ["timeout"], dear: true }, load);
await load.stop();
const before = await measure();
load = new Load(home.listener, 4);
for (const attack of [...RIGHTS, ...SPINS, ...FILLS, ...DEATHS]) {
  if (!attack.name.includes(only)) continue;
  const outcome = await play(attack, load);
  console.log(JSON.stringify({ outcome, measure: await measure() }));
}
await load.stop();
// Threads of Deno's pool for blocking work end after ten idle seconds.
let after = await measure();
// An ended thread's memory takes a moment as well.
const settled = ({ threads, rss }: Measure): boolean =>
  threads <= before.threads && rss <= before.rss + 64 * 1024;
for (let i = 0; i < 30 && !settled(after); i++) {
  await new Promise((resolve) => setTimeout(resolve, 500));
  after = await measure();
}
await new Promise((resolve) => setTimeout(resolve, 500));
const idle = await measure();
console.log(JSON.stringify({
  end: {
    before,
    after,
    idleCpu: idle.cpu - after.cpu,
    own: Deno.memoryUsage().heapTotal,
    mails: load.mails,
    wrong: load.wrong,
    slowest: load.slowest,
    failures: home.failures,
  },
}));
await home.stop();
