/**
 * The benchmark itself: does the load generator count right, and does it notice wrong answers? Says nothing of speed.
 */
import assert from "node:assert/strict";
import { buildLibmilter, buildLoad, missingCompiler } from "./build.ts";
import { measureCost } from "./cost.ts";
import { type Job, JOBS } from "./jobs.ts";
import { type LoadResult, runLoad } from "./measure.ts";
import { libmilterPeer, millracePeer, type Peer } from "./peers.ts";
import { CommandError, freeSocket, type Socket } from "./process.ts";

const MAILS = 200;
const MAILS_PER_CONNECTION = 25;

function job(name: string): Job {
  return JOBS.find((job) => job.name === name)!;
}

async function libmilterMissing(folder: string): Promise<string | undefined> {
  try {
    await buildLibmilter(folder);
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
const noLibmilter = noCompiler ?? await libmilterMissing(folder);
if (noCompiler) console.warn(`SKIPPED: tests of the benchmark: ${noCompiler}`);
else if (noLibmilter) console.warn(`SKIPPED: the benchmark's libmilter peer: ${noLibmilter}`);
const load = noCompiler ? "" : await buildLoad(folder);

function run(socket: Socket, what: Job, dialect: string, more: readonly string[] = []): Promise<LoadResult> {
  return runLoad(load, [
    ...["--socket", socket.spec, "--job", what.check, "--body", `${what.body}`, "--dialect", dialect],
    ...["--messages", `${MAILS}`, "--per-connection", `${MAILS_PER_CONNECTION}`, "--connections", "4"],
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

async function answersEveryJob(t: Deno.TestContext, peer: Peer) {
  for (const what of JOBS) {
    for (const transport of ["unix", "tcp"] as const) {
      await t.step(`${what.name}, ${transport}`, () =>
        withServer(peer, what, transport, async (socket) => {
          for (const dialect of ["postfix", "sendmail"]) {
            const result = await run(socket, what, dialect);
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

for (const isolation of ["none", "sandbox"] as const) {
  Deno.test(
    `millrace answers every job, as both MTAs ask, isolation: ${isolation}`,
    { ignore: !!noCompiler },
    (t) => answersEveryJob(t, millracePeer({ isolation })),
  );
}

Deno.test("the cost of a sandbox: what was measured is there", { ignore: !!noCompiler }, async () => {
  const effort = { rounds: 1, seconds: 0.2, warmup: 0.1, pin: false, retries: 0, loadOptions: [] };
  const rows = await measureCost(load, effort, folder);
  assert.deepEqual(rows.map(({ name }) => name), ["inline", "sandbox × 1", "sandbox × 2", "sandbox × 4"]);
  for (const { started, ready, idle, loaded } of rows) {
    assert.ok(started.least > ready.least && ready.least >= 0);
    assert.ok(idle.least > 10_000 && loaded.least > 10_000, "KiB");
  }
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
    await withServer(peer, job("noop"), "unix", async (socket) => {
      await assert.rejects(run(socket, job("headers"), "postfix"), /at least ADDHDRS/);
    });
  },
);

/** A filter that answers everything by rote: each read with `reply`, after the negotiation. */
async function withRote(reply: readonly number[], use: (socket: Socket) => Promise<void>): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const negotiated = [0, 0, 0, 13, 0x4f, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
  const serving = (async () => {
    for await (const connection of listener) {
      const buffer = new Uint8Array(65536);
      try {
        for (let first = true; await connection.read(buffer) !== null; first = false) {
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
