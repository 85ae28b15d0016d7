/**
 * Cost that must stay flat: memory over very many mails, and for a very large one.
 *
 * @module
 */
import type { CostEffort, Setup } from "./cost.ts";
import { type Job, jobNamed } from "./jobs.ts";
import { loadArgs, runLoad } from "./measure.ts";
import { millracePeer } from "./millrace.ts";
import type { Peer } from "./peers.ts";
import { attempt, type Failed, freeSocket, usage } from "./process.ts";

/** Parts of the long run; memory is looked at after each. */
export const PARTS = 20;

/** Memory over a long run. */
export interface Growth {
  readonly name: string;
  readonly mails: number;
  /** Resident after each part of the run, KiB. */
  readonly resident: readonly number[];
}

/** Memory for small and large mails. */
export interface Streaming {
  readonly name: string;
  /** The most that was ever resident: after mails of 1 MiB, and after {@linkcode LARGE_MAILS} of 50 MiB on top, KiB. */
  readonly small: number;
  readonly large: number;
}

/** A large mail, octets. */
export const LARGE = 50 * 1024 * 1024;
/** How many of them. */
export const LARGE_MAILS = 4;
const SMALL_MAILS = 40;

/** Does something for each of a list, one after the other; what fails is reported and has no result. */
async function each<T extends { readonly name: string }, R>(
  list: readonly T[],
  failed: Failed,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (const item of list) {
    const result = await attempt(item.name, failed, () => work(item));
    if (result !== undefined) results.push(result);
  }
  return results;
}

/** A long run: filter and job. */
export interface LongRun {
  readonly name: string;
  readonly peer: Peer;
  readonly job: Job;
}

/** millrace, inline and sandboxed, with stage hooks and with the message hook. */
export function longRuns(): readonly LongRun[] {
  return (["none", "sandbox"] as const).flatMap((isolation) => {
    const peer = millracePeer({ isolation });
    return ["headers", "message"].map((job) => ({ name: `${peer.name} ${job}`, peer, job: jobNamed(job) }));
  });
}

/** Sends `effort.mails` mails through each, on 16 connections. */
export function measureGrowth(
  program: string,
  runs: readonly LongRun[],
  effort: CostEffort,
  folder: string,
  failed: Failed,
): Promise<readonly Growth[]> {
  return each(runs, failed, async ({ name, peer, job }) => {
    const socket = freeSocket("unix", folder, peer.name);
    const server = await peer.start(job, socket, folder);
    const part = Math.ceil(effort.mails / PARTS);
    const args = [
      ...loadArgs(job, socket, peer.filters(job)),
      "--connections",
      "16",
      "--messages",
      `${part}`,
    ];
    const resident: number[] = [];
    try {
      while (resident.length < PARTS) {
        await server.watch(() => runLoad(program, args));
        resident.push(usage(server.pid).rss);
      }
    } finally {
      await server.stop();
    }
    return { name, mails: part * PARTS, resident };
  });
}

/** Sends mails of 1 MiB, then of 50 MiB, through the `body` filter, which reads each chunk as it comes. */
export function measureStreaming(
  program: string,
  all: readonly Setup[],
  folder: string,
  failed: Failed,
): Promise<readonly Streaming[]> {
  const job = jobNamed("body");
  const large: Job = { ...job, body: LARGE };
  return each(all.filter(({ sandboxes = 0 }) => sandboxes <= 1), failed, async ({ name, peer }) => {
    const socket = freeSocket("unix", folder, peer.name);
    const server = await peer.start(job, socket, folder);
    const send = async (what: Job, mails: number) => {
      const args = [...loadArgs(what, socket, peer.filters(what)), "--messages", `${mails}`];
      await server.watch(() => runLoad(program, args));
      return usage(server.pid).peak;
    };
    try {
      return { name, small: await send(job, SMALL_MAILS), large: await send(large, LARGE_MAILS) };
    } finally {
      await server.stop();
    }
  });
}
