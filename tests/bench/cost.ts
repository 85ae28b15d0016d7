/**
 * What millrace and its peers cost besides speed: time to start, memory at rest, under load and for each connection.
 *
 * @module
 */
import { type Spread, spread } from "./figures.ts";
import { jobNamed } from "./jobs.ts";
import { loadArgs, runLoad } from "./measure.ts";
import { millracePeer } from "./millrace.ts";
import type { Peer } from "./peers.ts";
import { attempt, CommandError, type Failed, freeSocket, usage } from "./process.ts";

/** How long, how often, how many. */
export interface CostEffort {
  readonly rounds: number;
  /** Of load on 16 connections. */
  readonly seconds: number;
  /** Rest before memory is looked at, ms. */
  readonly settle: number;
  /** Connections that are held open. */
  readonly connections: number;
  /** Mails of the long run. */
  readonly mails: number;
}

/** What is looked at. */
export interface Setup {
  readonly name: string;
  readonly peer: Peer;
  /** Sandboxes, for millrace. */
  readonly sandboxes?: number;
}

/** A set-up's figures. Time in milliseconds, memory in KiB. */
export interface Cost {
  readonly name: string;
  readonly sandboxes?: number;
  /** From the start of the process until it had answered the negotiation of its first connection. */
  readonly started: Spread;
  /** Resident just after the start, and after load on 16 connections. */
  readonly idle: Spread;
  readonly loaded: Spread;
  /** For each connection that is open on top of that, with no mail begun. */
  readonly connection: Spread;
  /** For each with a mail under way, its envelope and header sent. */
  readonly session: Spread;
}

/** millrace inline, and with 1, 2 and 4 sandboxes; then the peers. */
export function setups(peers: readonly Peer[]): readonly Setup[] {
  const inline = { name: "inline", peer: millracePeer({ isolation: "none" }), sandboxes: 0 };
  const sandboxed = [1, 2, 4].map((instances) => ({
    name: `sandbox × ${instances}`,
    peer: millracePeer({ isolation: "sandbox", instances }),
    sandboxes: instances,
  }));
  return [inline, ...sandboxed, ...peers.map((peer) => ({ name: peer.name, peer }))];
}

const job = jobNamed("headers");

const rest = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Opens connections, takes them as far as `where`, and does something while they stay there.
 *
 * @throws {CommandError} if one of them fails
 */
async function withHeld<T>(
  program: string,
  args: readonly string[],
  where: "hello" | "header",
  work: () => Promise<T>,
): Promise<T> {
  const child = new Deno.Command(program, {
    args: [...args, "--hold", where],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  try {
    const { done } = await reader.read();
    if (!done) return await work();
    const said = (await new Response(child.stderr).text()).trim();
    throw new CommandError(`Connections could not be held at "${where}":\n${said}`);
  } finally {
    await reader.cancel();
    await child.stdin.close();
    if (!child.stderr.locked) await child.stderr.cancel();
    await child.status;
  }
}

/** One process from its start to its end. The keys are those of {@linkcode Cost}. */
type Life = Record<"started" | "idle" | "loaded" | "connection" | "session", number>;

async function life(program: string, { peer }: Setup, effort: CostEffort, folder: string): Promise<Life> {
  const socket = freeSocket("unix", folder, peer.name);
  const server = await peer.start(job, socket, folder);
  const resident = async () => {
    await rest(effort.settle);
    return usage(server.pid).rss;
  };
  const args = loadArgs(job, socket, peer.filters(job));
  const each = async (where: "hello" | "header") => {
    const before = await resident();
    const count = ["--connections", `${effort.connections}`];
    const after = await server.watch(() => withHeld(program, [...args, ...count], where, resident));
    return (after - before) / effort.connections;
  };
  try {
    const idle = await resident();
    const seconds = `${effort.seconds}`;
    await server.watch(() => runLoad(program, [...args, "--connections", "16", "--seconds", seconds]));
    return {
      started: server.startedAfter,
      idle,
      loaded: await resident(),
      connection: await each("hello"),
      session: await each("header"),
    };
  } finally {
    await server.stop();
  }
}

/**
 * Starts each set-up `effort.rounds` times, in turns.
 *
 * @param failed is told of a set-up that fails, which is left out
 */
export async function measureCost(
  program: string,
  all: readonly Setup[],
  effort: CostEffort,
  folder: string,
  failed: Failed,
): Promise<readonly Cost[]> {
  const lives = new Map<Setup, Life[]>(all.map((setup) => [setup, []]));
  for (let round = 0; round < effort.rounds; round++) {
    for (const [setup, seen] of lives) {
      const one = await attempt(setup.name, failed, () => life(program, setup, effort, folder));
      if (one) seen.push(one);
      else lives.delete(setup);
    }
  }
  return [...lives].map(([{ name, sandboxes }, seen]) => {
    const of = (key: keyof Life) => spread(seen.map((life) => life[key]));
    return {
      name,
      ...(sandboxes === undefined ? {} : { sandboxes }),
      started: of("started"),
      idle: of("idle"),
      loaded: of("loaded"),
      connection: of("connection"),
      session: of("session"),
    };
  });
}
