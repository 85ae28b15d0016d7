/**
 * The command line of the benchmark.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { DEFAULT_JOBS, type Job, jobNamed, JOBS } from "./jobs.ts";
import type { Case, Effort } from "./measure.ts";
import { type PeerName, PEERS } from "./results.ts";

/** What `--help` prints. */
export const HELP =
  `Measures millrace, inline and sandboxed, beside filters in C (libmilter), Python (pymilter) and Go (emersion/go-milter).
The peers are built on the spot, from Debian's packages; one that cannot be had is skipped.

Parts; all three if none is named:
  --load               mails a second, latency, CPU and memory under load
  --cost               start, memory for each connection and sandbox, over many mails, for large mails
  --postfix            what the client of a real Postfix waits (as root)

  --out DIR            write RESULTS.md and results.svg there; without it the page goes to standard output
  --json FILE          write every single figure there
  --jobs LIST          of ${JOBS.map((job) => job.name).join(", ")} (${DEFAULT_JOBS.join(",")})
  --transports LIST    of tcp, unix (unix,tcp)
  --connections LIST   connections at once (1,16,200,1000)
  --dialects LIST      how the load generator speaks: postfix, sendmail (both, sendmail at 16 connections only)
  --peers LIST         of ${PEERS.join(", ")} (all)
  --rounds N           rounds of everything, peers in turn (5)
  --seconds S          measured time of each peer in each round (2); up to ten times as long for slow mails
  --mails N            mails of the long run, for example 1000000 (100000)
  --quick              a smoke test and no measurement: one round of half a second, 1 and 16 connections, 2,000 mails

To look closer:
  --quiet              wait for a quiet machine, and repeat a round up to 5 times while others disturb it
  --pin                at 1 connection, keep load generator and servers on different processors
  --real-tcp           Nagle's algorithm and delayed ACKs as MTAs have them; without it the load generator keeps
                       such stalls out, which is in favour of libmilter
  --instances N        sandboxes side by side, under load (1)
  --deno-flags FLAGS   further flags for millrace's deno, separated by blanks, for example "--cpu-prof"
  --help

Jobs:
${JOBS.map((job) => `  ${job.name.padEnd(16)} ${job.what}`).join("\n")}
`;

/** A wrong option; ends the program with 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What is to be done. */
export interface Options {
  readonly parts: { readonly load: boolean; readonly cost: boolean; readonly postfix: boolean };
  readonly out: string | undefined;
  readonly json: string | undefined;
  readonly cases: readonly Case[];
  readonly peers: readonly PeerName[];
  readonly effort: Effort;
  readonly mails: number;
  readonly quick: boolean;
  readonly instances: number;
  readonly denoFlags: readonly string[];
}

function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((name) => name === value);
  if (found) return found;
  throw new UsageError(`--${option} has "${value}", expected of ${allowed.join(", ")}`);
}

function atLeast(option: string, value: string, least: number): number {
  const number = Number(value);
  if (number >= least) return number;
  throw new UsageError(`--${option} has "${value}", expected a number of at least ${least}`);
}

function whole(option: string, value: string): number {
  const number = atLeast(option, value, 1);
  if (Number.isSafeInteger(number)) return number;
  throw new UsageError(`--${option} has "${value}", expected a whole number`);
}

function listOf(value: string): string[] {
  return value.split(",").map((item) => item.trim()).filter(Boolean);
}

interface Dimensions {
  readonly jobs: readonly Job[];
  readonly transports: readonly Case["transport"][];
  readonly connections: readonly number[];
  readonly dialects: readonly Case["dialect"][];
}

/** Sendmail's frames differ from Postfix's only in their order and writes, which one number of connections shows. */
function casesOf({ jobs, transports, connections, dialects }: Dimensions): Case[] {
  const few = connections.includes(16) ? [16] : connections.slice(0, 1);
  return jobs.flatMap((job) =>
    dialects.flatMap((dialect) =>
      transports.flatMap((transport) =>
        (dialect === "sendmail" && dialects.length > 1 ? few : connections)
          .map((connections) => ({ job, transport, connections, dialect }))
      )
    )
  );
}

/**
 * Reads the command line.
 *
 * @throws {UsageError} that names the option, its value, and what was expected
 */
export function readOptions(args: readonly string[]): Options | "help" {
  const given = parseArgs([...args], {
    string: [
      ...["out", "json", "jobs", "transports", "connections", "dialects", "peers"] as const,
      ...["rounds", "seconds", "mails", "instances", "deno-flags"] as const,
    ],
    boolean: ["load", "cost", "postfix", "quick", "quiet", "pin", "real-tcp", "help"],
    unknown(name) {
      throw new UsageError(`"${name}" is no option of the benchmark; --help lists them`);
    },
  });
  if (given.help) return "help";
  const { load, cost, postfix, quick } = given;
  const all = !load && !cost && !postfix;
  const names = JOBS.map((job) => job.name);
  return {
    parts: { load: load || all, cost: cost || all, postfix: postfix || all },
    out: given.out,
    json: given.json,
    cases: casesOf({
      jobs: listOf(given.jobs ?? DEFAULT_JOBS.join()).map((name) => jobNamed(oneOf("jobs", name, names))),
      transports: listOf(given.transports ?? "unix,tcp").map((name) =>
        oneOf("transports", name, ["tcp", "unix"])
      ),
      connections: listOf(given.connections ?? (quick ? "1,16" : "1,16,200,1000"))
        .map((n) => whole("connections", n)),
      dialects: listOf(given.dialects ?? "postfix,sendmail").map((name) =>
        oneOf("dialects", name, ["postfix", "sendmail"])
      ),
    }),
    peers: listOf(given.peers ?? PEERS.join()).map((name) => oneOf("peers", name, PEERS)),
    effort: {
      rounds: whole("rounds", given.rounds ?? (quick ? "1" : "5")),
      seconds: atLeast("seconds", given.seconds ?? (quick ? "0.5" : "2"), 0.1),
      warmup: quick ? 0.3 : 1.5,
      pin: given.pin,
      retries: given.quiet ? 5 : 0,
      loadOptions: given["real-tcp"] ? ["--real-tcp"] : [],
    },
    mails: whole("mails", given.mails ?? (quick ? "2000" : "100000")),
    quick,
    instances: whole("instances", given.instances ?? "1"),
    denoFlags: (given["deno-flags"] ?? "").split(" ").filter(Boolean),
  };
}
