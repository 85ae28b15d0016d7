/**
 * What an SMTP client of a real Postfix waits for: without a milter, with libmilter, with millrace.
 *
 * @module
 */
import { values } from "../mta/mailbox.ts";
import { type Mta, startMta } from "../mta/mta.ts";
import { type Spread, spread } from "./figures.ts";
import { type Job, jobNamed } from "./jobs.ts";
import type { Peer } from "./peers.ts";
import { attempt, CommandError, type Failed, freeSocket, type Server, type Socket } from "./process.ts";

/** How often. */
export interface PostfixEffort {
  readonly rounds: number;
  /** Mails through each Postfix in each round, one at a time and in turns. */
  readonly passes: number;
}

/** What a client waited, ms: medians of each round, and their spread over the rounds. */
export interface Wait {
  /** `none`, or filter and job, such as `inline message`. */
  readonly name: string;
  readonly transport: Socket["transport"] | undefined;
  /** From the dot that ends the mail to the reply. */
  readonly reply: Spread;
  /** The same that 9 of 10 mails have at most. */
  readonly replyP90: Spread;
  /** From connect(2) to the reply to QUIT. */
  readonly session: Spread;
  /** {@linkcode reply}, less that of a Postfix without a milter in the same round. */
  readonly more: Spread;
}

/** All waits, and the version of Postfix. */
export interface PostfixResults {
  readonly version: string;
  readonly waits: readonly Wait[];
}

/** A Postfix of its own, with the milter that it asks. */
interface Running {
  readonly name: string;
  readonly transport: Socket["transport"] | undefined;
  readonly mta: Mta;
  readonly server: Server | undefined;
}

/** Filter and job of each Postfix that has a milter. */
export interface Asked {
  readonly peer: Peer;
  readonly job: Job;
}

/** libmilter with a filter for one added header field, and millrace with stage hooks and with the message hook. */
export function askedFor(peers: readonly Peer[]): readonly Asked[] {
  return peers.flatMap((peer) =>
    (peer.name === "libmilter" ? ["headers"] : ["headers", "message"]).map((job) => ({
      peer,
      job: jobNamed(job),
    }))
  );
}

const FIELDS = Array.from(
  { length: 18 },
  (_, n) => `X-Field-${n + 1}: value ${n + 1} of a field that was made up`,
);
const LINE = "The quick brown fox jumps over the lazy dog while the mail waits for its filter.\n";
/** 20 header fields and 2 KiB, as the load generator has them. */
const MAIL = `From: Sender <sender@client.example>\nSubject: minutes of the meeting\n${
  FIELDS.join("\n")
}\n\n${LINE.repeat(25)}`;

/** Mails wait in the hold queue: no delivery takes processors from the next measurement. */
const MAIN_CF = "smtpd_data_restrictions = check_client_access static:HOLD";

/** What the MTA's harness and its SMTP client throw says enough, and is no fault of this program. */
async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Error) || error.constructor !== Error) throw error;
    throw new CommandError(error.message, { cause: error });
  }
}

function start(milter?: string): Promise<Mta> {
  return told(() => startMta("postfix", { milter: milter ?? [], mainCf: MAIN_CF }));
}

/** Sends one mail in a session of its own; times in ms. */
function send(mta: Mta): Promise<{ readonly reply: number; readonly session: number }> {
  return told(() => sendOne(mta));
}

async function sendOne(mta: Mta): Promise<{ readonly reply: number; readonly session: number }> {
  const began = performance.now();
  await using smtp = await mta.smtp();
  await smtp.ehlo();
  await smtp.mail("sender@client.example");
  await smtp.rcpt("rcpt@lab.example");
  await smtp.command("DATA");
  const sent = performance.now();
  const { code, raw } = await smtp.content(MAIL);
  const reply = performance.now() - sent;
  if (code !== 250) throw new CommandError(`Postfix refused a mail: ${raw.trim()}`);
  await smtp.quit();
  return { reply, session: performance.now() - began };
}

/** The first mails, not measured: processes start. And is the field there? */
async function warmUp({ name, mta, server }: Running): Promise<void> {
  for (let mails = 0; mails < 5; mails++) await send(mta);
  const held = await told(() => mta.quarantined());
  const fields = held.map((mail) => values(mail, "X-Bench").length);
  const wanted = server ? 1 : 0;
  if (fields.length === 5 && fields.every((count) => count === wanted)) return;
  throw new CommandError(
    `Postfix with ${name}: expected ${wanted} X-Bench fields in 5 mails, found ${fields}`,
  );
}

async function startAsked(
  { peer, job }: Asked,
  transport: Socket["transport"],
  folder: string,
): Promise<Running> {
  const sockets = await Deno.makeTempDir({ dir: folder, prefix: "mta-" });
  await Deno.chmod(sockets, 0o755);
  const socket = freeSocket(transport, sockets, peer.name);
  const server = await peer.start(job, socket, folder);
  let mta: Mta | undefined;
  try {
    // Postfix connects with an account of its own
    if (transport === "unix") await Deno.chmod(socket.spec.slice("unix:".length), 0o666);
    mta = await start(socket.spec);
    const running = { name: `${peer.name} ${job.name}`, transport, mta, server };
    await warmUp(running);
    return running;
  } catch (error) {
    await mta?.stop();
    await server.stop();
    throw error;
  }
}

async function startBare(): Promise<Running> {
  const mta = await start();
  const running = { name: "none", transport: undefined, mta, server: undefined };
  await warmUp(running);
  return running;
}

/**
 * Measures all in turns, mail by mail.
 *
 * @param failed is told of a set-up that fails, which is left out
 * @throws {CommandError} if Postfix does not start or fails without a milter, or refuses a measured mail
 */
export async function measurePostfix(
  asked: readonly Asked[],
  effort: PostfixEffort,
  folder: string,
  failed: Failed,
): Promise<PostfixResults> {
  const bare = await startBare();
  const running = [bare];
  try {
    for (const one of asked) {
      for (const transport of ["unix", "tcp"] as const) {
        const name = `${one.peer.name} ${one.job.name}, ${transport}`;
        const started = await attempt(name, failed, () => startAsked(one, transport, folder));
        if (started) running.push(started);
      }
    }
    const rounds: (readonly Median[])[] = [];
    while (rounds.length < effort.rounds) rounds.push(await oneRound(running, effort.passes));
    const waits = running.map(({ name, transport }, at) => {
      const of = (pick: (median: Median, bare: Median) => number) =>
        spread(rounds.map((round) => pick(round[at], round[0])));
      return {
        name,
        transport,
        reply: of(({ reply }) => reply),
        replyP90: of(({ replyP90 }) => replyP90),
        session: of(({ session }) => session),
        more: of(({ reply }, bare) => reply - bare.reply),
      };
    });
    return { version: bare.mta.version, waits };
  } finally {
    for (const { mta, server } of running) {
      await mta.stop();
      await server?.stop();
    }
  }
}

interface Median {
  readonly reply: number;
  readonly replyP90: number;
  readonly session: number;
}

/** One round: each Postfix gets one mail, then each the next, the order reversed from pass to pass. */
async function oneRound(running: readonly Running[], passes: number): Promise<readonly Median[]> {
  const seen = running.map(() => ({ reply: [] as number[], session: [] as number[] }));
  for (let pass = 0; pass < passes; pass++) {
    const order = running.map((_, at) => at);
    for (const at of pass % 2 ? order.reverse() : order) {
      const { reply, session } = await send(running[at].mta);
      seen[at].reply.push(reply);
      seen[at].session.push(session);
    }
  }
  return seen.map(({ reply, session }) => ({
    reply: spread(reply).median,
    replyP90: reply.toSorted((a, b) => a - b)[Math.floor(0.9 * reply.length)],
    session: spread(session).median,
  }));
}
