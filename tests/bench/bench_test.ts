/**
 * The benchmark itself: does the load generator count right, and does it notice wrong answers? Says nothing of speed.
 */
import assert from "node:assert/strict";
import { mtaTest } from "../mta/mta.ts";
import { buildGoMilter, buildLibmilter, buildLoad, buildPymilter, missingCompiler } from "./build.ts";
import { measureCost, setups } from "./cost.ts";
import { longRuns, measureGrowth, measureStreaming, PARTS } from "./endurance.ts";
import { type Job, jobNamed as job, JOBS } from "./jobs.ts";
import { loadArgs, type LoadResult, measure, runLoad } from "./measure.ts";
import { millracePeer } from "./millrace.ts";
import { goMilterPeer, libmilterPeer, type Peer, pymilterPeer } from "./peers.ts";
import { askedFor, measurePostfix } from "./postfix.ts";
import { CommandError, freeSocket, type Socket } from "./process.ts";

const MAILS = 200;
const MAILS_PER_CONNECTION = 25;

async function missing(build: (folder: string) => Promise<unknown>): Promise<string | undefined> {
  try {
    await build(folder);
    return undefined;
  } catch (error) {
    if (!(error instanceof CommandError || error instanceof Deno.errors.NotFound)) throw error;
    return error.message;
  }
}

/** A folder for the built programs, or why there can be none. Built once, as each test needs it. */
const folder = await Deno.makeTempDir({ prefix: "millrace-bench-test-" });
globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
const noCompiler = await missingCompiler();
const noLibmilter = noCompiler ?? await missing(buildLibmilter);
const noPymilter = noCompiler ?? await missing(buildPymilter);
const noGoMilter = noCompiler ?? await missing(buildGoMilter);
for (const [name, why] of Object.entries({ noLibmilter, noPymilter, noGoMilter })) {
  if (why) console.warn(`SKIPPED: tests of the benchmark, ${name}: ${why}`);
}
const load = noCompiler ? "" : await buildLoad(folder);

function run(
  socket: Socket,
  what: Job,
  dialect: string,
  more: readonly string[] = [],
  filters = 1,
): Promise<LoadResult> {
  return runLoad(load, [
    ...loadArgs(what, socket, filters),
    ...[
      "--dialect",
      dialect,
      "--messages",
      `${MAILS}`,
      "--per-connection",
      `${MAILS_PER_CONNECTION}`,
      "--connections",
      "4",
    ],
    ...["--await-close", "--patience", "20", ...more],
  ]);
}

async function withServer<T>(
  peer: Peer,
  what: Job,
  transport: Socket["transport"],
  use: (socket: Socket) => Promise<T>,
) {
  const socket = freeSocket(transport, folder, peer.name);
  const server = await peer.start(what, socket, folder);
  try {
    return await server.watch(() => use(socket));
  } finally {
    await server.stop();
  }
}

/** The jobs of a peer, without those for which it does the same as for one before. */
function distinctJobs(peer: Peer): readonly Job[] {
  const millrace = peer.name === "inline" || peer.name === "threads" || peer.name === "sandbox";
  const work = (what: Job) => millrace ? what.filters.join() : what.peerJob;
  const all = JOBS.filter((what) => peer.has(what, "tcp"));
  return all.filter((what, at) => all.findIndex((other) => work(other) === work(what)) === at);
}

async function answersEveryJob(
  t: Deno.TestContext,
  peer: Peer,
  transports: readonly Socket["transport"][] = ["unix", "tcp"],
) {
  for (const what of distinctJobs(peer)) {
    for (const transport of transports) {
      await t.step(`${what.name}, ${transport}`, () =>
        withServer(peer, what, transport, async (socket) => {
          for (const dialect of ["postfix", "sendmail"]) {
            const result = await run(socket, what, dialect, [], peer.filters(what));
            assert.equal(result.errors, 0);
            assert.equal(result.all_messages, MAILS);
            assert.ok(result.sessions >= MAILS / MAILS_PER_CONNECTION, `${result.sessions} sessions`);
          }
        }));
    }
  }
}

Deno.test("libmilter peer answers every job, as both MTAs ask", { ignore: !!noLibmilter }, async (t) => {
  await answersEveryJob(t, await libmilterPeer(folder));
});

// Sockets are libmilter's and Go's own: one of each kind tells enough.
Deno.test("pymilter peer answers every job, as both MTAs ask", { ignore: !!noPymilter }, async (t) => {
  await answersEveryJob(t, await pymilterPeer(folder), ["unix"]);
});

Deno.test("go-milter peer answers every job, as both MTAs ask", { ignore: !!noGoMilter }, async (t) => {
  await answersEveryJob(t, await goMilterPeer(folder), ["tcp"]);
});

Deno.test(
  "millrace answers every job, as both MTAs ask",
  { ignore: !!noCompiler },
  (t) => answersEveryJob(t, millracePeer({ isolation: "none" })),
);

// The sockets are those of the test before.
Deno.test(
  "millrace with sandboxes answers every job, as both MTAs ask",
  { ignore: !!noCompiler },
  (t) => answersEveryJob(t, millracePeer({ isolation: "sandbox" }), ["unix"]),
);

Deno.test(
  "millrace in two threads answers every job, as both MTAs ask",
  { ignore: !!noCompiler },
  (t) => answersEveryJob(t, millracePeer({ isolation: "none", threads: 2 }), ["tcp"]),
);

Deno.test("many busy connections get on evenly", { ignore: !!noCompiler }, async () => {
  const what = job("headers");
  const result = await withServer(
    millracePeer({ isolation: "none" }),
    what,
    "unix",
    (socket) =>
      runLoad(load, [
        ...loadArgs(what, socket, 1),
        ...["--connections", "300", "--per-connection", "0", "--messages", "6000", "--patience", "60"],
      ]),
  );
  const { least_messages: least, most_messages: most } = result;
  // Each gets 20. Deno by itself serves 128 and lets the others wait (deno_fair_reads.ts): then some get 5 of them.
  assert.ok(
    least >= 10 && most <= 40,
    `of 6,000 mails on 300 connections, one got ${least}, another ${most}`,
  );
});

Deno.test(
  "a sandbox takes large bodies of more connections than its buffers are",
  { ignore: !!noCompiler },
  async () => {
    const what = job("body");
    // A frame each would be over the 64 MiB that a sandbox has for buffers.
    const result = await withServer(
      millracePeer({ isolation: "sandbox" }),
      what,
      "unix",
      (socket) =>
        runLoad(load, [
          ...loadArgs(what, socket, 1),
          ...["--connections", "1100", "--body", "131072", "--messages", "1100", "--patience", "60"],
        ]),
    );
    assert.deepEqual([result.errors, result.all_messages], [0, 1100]);
  },
);

/** Nothing may fail here. */
function failed(name: string, why: string): never {
  throw new Error(`${name}: ${why}`);
}

const costEffort = { rounds: 1, seconds: 0.1, settle: 10, connections: 50, mails: 5 * PARTS };

Deno.test("cost at rest: what was measured is there", { ignore: !!noLibmilter }, async () => {
  const all = setups([await libmilterPeer(folder)]);
  assert.deepEqual(all.map(({ name }) => name), [
    "inline",
    "sandbox × 1",
    "sandbox × 2",
    "sandbox × 4",
    "libmilter",
  ]);
  const measured = all.filter(({ sandboxes }) => !sandboxes);
  const rows = await measureCost(load, measured, costEffort, folder, failed);
  assert.deepEqual(rows.map(({ name }) => name), ["inline", "libmilter"]);
  for (const { started, idle, loaded, connection, session } of rows) {
    assert.ok(started.least > 0);
    assert.ok(idle.least > 1000 && loaded.least > 1000, "KiB");
    assert.ok(Number.isFinite(connection.median) && Number.isFinite(session.median));
  }
});

Deno.test("cost over many mails and for large ones: what was measured is there", {
  ignore: !!noCompiler,
}, async () => {
  const long = longRuns();
  const names = ["inline headers", "inline message", "sandbox headers", "sandbox message"];
  assert.deepEqual(long.map(({ name }) => name), names);
  const [{ name, mails, resident }] = await measureGrowth(load, long.slice(0, 1), costEffort, folder, failed);
  assert.deepEqual([name, mails, resident.length], [names[0], costEffort.mails, PARTS]);
  assert.ok(resident.every((kib) => kib > 10_000));
  const [inline] = setups([]);
  const [{ small, large }] = await measureStreaming(load, [inline], folder, failed);
  assert.ok(small > 10_000 && large >= small, "KiB");
});

Deno.test(
  "a row: samples of all peers in all rounds, and what failed",
  { ignore: !!noLibmilter },
  async () => {
    const effort = { rounds: 2, seconds: 0.1, warmup: 0, pin: false, retries: 0, loadOptions: [] };
    const broken: Peer = {
      ...millracePeer({ isolation: "none", logLevel: "no level" }),
      name: "broken",
    };
    const peers = [millracePeer({ isolation: "none" }), broken, await libmilterPeer(folder)];
    const what = { job: job("headers"), transport: "unix", connections: 4, dialect: "postfix" } as const;
    const row = await measure(load, peers, what, effort, folder);
    assert.deepEqual(Object.keys(row.samples), ["inline", "libmilter"]);
    assert.match(row.failures.broken, /ended with 2/);
    for (const samples of Object.values(row.samples)) {
      assert.equal(samples.length, 2);
      for (const { load: { latency_us, setup_us, all_messages }, cpuPerMail, peak } of samples) {
        assert.ok(all_messages > 0 && cpuPerMail > 0 && peak > 1000);
        assert.ok(latency_us.p50 > 0 && latency_us.p50 <= latency_us.p90 && latency_us.p90 <= latency_us.p99);
        assert.ok(setup_us.p50 > 0);
      }
    }
  },
);

mtaTest("a real Postfix: waits without a milter, with libmilter and with millrace", async () => {
  const asked = askedFor([millracePeer({ isolation: "none" }), await libmilterPeer(folder)]);
  const names = asked.map(({ peer, job }) => `${peer.name} ${job.name}`);
  assert.deepEqual(names, ["inline headers", "inline message", "libmilter headers"]);
  const effort = { rounds: 1, passes: 2 };
  const { version, waits } = await measurePostfix(asked.slice(1), effort, folder, failed);
  assert.match(version, /^3\./);
  assert.deepEqual(waits.map(({ name, transport }) => `${name} ${transport ?? ""}`.trim()), [
    "none",
    ...["inline message unix", "inline message tcp", "libmilter headers unix", "libmilter headers tcp"],
  ]);
  for (const { reply, session } of waits) assert.ok(reply.least > 0 && session.least > reply.least);
});

Deno.test("load generator waits for one reply to each command", { ignore: !!noLibmilter }, async () => {
  const peer = await libmilterPeer(folder);
  const result = await withServer(
    peer,
    job("noop"),
    "unix",
    (socket) => run(socket, job("noop"), "sendmail"),
  );
  // O, C, H once a connection; M, R, T, 20 L, N, B, E each mail
  assert.equal(result.replies, result.sessions * 3 + MAILS * 26);
  // besides these D M, D R, D E
  assert.equal(result.frames, MAILS * 29);
});

Deno.test(
  "load generator fails when the filter's edits are not the job's",
  { ignore: !!noLibmilter },
  async () => {
    const peer = await libmilterPeer(folder);
    await withServer(peer, job("headers"), "unix", async (socket) => {
      await assert.rejects(run(socket, job("noop"), "postfix"), /1 edits, expected none/);
      await assert.rejects(run(socket, job("body"), "postfix"), /expected one added field "X-Bench: octets=/);
    });
    await withServer(peer, job("headers"), "unix", async (socket) => {
      await assert.rejects(run(socket, job("headers"), "postfix", [], 3), /1 edits, expected 3/);
    });
    await withServer(peer, job("noop"), "unix", async (socket) => {
      await assert.rejects(run(socket, job("headers"), "postfix"), /at least ADDHDRS/);
    });
  },
);

/** A filter that answers everything by rote: each read with `reply`, after the negotiation and so many ms. */
async function withRote(
  reply: readonly number[],
  use: (socket: Socket) => Promise<void>,
  pause = 0,
): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const negotiated = [0, 0, 0, 13, 0x4f, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
  const serving = (async () => {
    for await (const connection of listener) {
      const buffer = new Uint8Array(65536);
      try {
        for (let first = true; await connection.read(buffer) !== null; first = false) {
          if (pause && !first) await new Promise((resolve) => setTimeout(resolve, pause));
          await connection.write(Uint8Array.from(first ? negotiated : reply));
        }
      } catch (error) {
        // The load generator hangs up on what it counts as an error.
        if (!(error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BrokenPipe)) {
          throw error;
        }
      } finally {
        connection.close();
      }
    }
  })();
  await use({ transport: "tcp", spec: `inet:${(listener.addr as Deno.NetAddr).port}@127.0.0.1` });
  listener.close();
  await serving;
}

Deno.test(
  "load generator fails on surplus, wrong, broken and missing replies",
  { ignore: !!noCompiler },
  async (t) => {
    const rows: readonly (readonly [name: string, reply: readonly number[], expected: RegExp])[] = [
      [
        "two replies to one command",
        [0, 0, 0, 1, 0x63, 0, 0, 0, 1, 0x63],
        /5 bytes more than the one reply that was due/,
      ],
      [
        "a reject",
        [0, 0, 0, 1, 0x72],
        /reply to C: 'r' \(0x72\) with 0 bytes, which this job never answers here/,
      ],
      ["an edit at connect", [0, 0, 0, 5, 0x68, 0x61, 0, 0x62, 0], /reply to C: 'h'/],
      ["a continue with a payload", [0, 0, 0, 2, 0x63, 0], /reply to C: 'c' \(0x63\) with 1 bytes/],
      ["a reply of length 0", [0, 0, 0, 0, 0x63], /a reply of length 0/],
      ["half a reply", [0, 0, 0], /no answer for 1 seconds/],
    ];
    for (const [name, reply, expected] of rows) {
      await t.step(name, () =>
        withRote(reply, async (socket) => {
          await assert.rejects(run(socket, job("noop"), "postfix", ["--patience", "1"]), expected);
        }));
    }
  },
);

Deno.test("load generator: mails that outlast the measured time count for the percentiles", {
  ignore: !!noCompiler,
}, () =>
  withRote([0, 0, 0, 1, 0x63], async (socket) => {
    const args = ["--seconds", "0.05"];
    const result = await runLoad(load, [...loadArgs(job("noop"), socket, 1), ...args]);
    // 28 replies, each after 30 ms, are more than the ten times as long that the load generator waits at most
    assert.equal(result.messages, 0);
    assert.equal(result.all_messages, 1);
    assert.ok(result.latency_us.p50 > 0);
  }, 30));
