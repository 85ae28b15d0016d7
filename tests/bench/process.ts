/**
 * Child processes of the benchmark, and what the kernel says about them (Linux, /proc).
 *
 * @module
 */

/** What one process has used. */
export interface Usage {
  /** User and system time of all its threads, in seconds. */
  readonly cpu: number;
  /** Resident memory now, in KiB (VmRSS). */
  readonly rss: number;
  /** The most that was ever resident, in KiB (VmHWM). */
  readonly peak: number;
}

/** USER_HZ, which is 100 on every Linux that Deno runs on. */
const TICKS = 100;

/** Reads a file below /proc, which Deno itself reads only with --allow-all. */
export function proc(path: string): string {
  const { success, stdout, stderr } = new Deno.Command("cat", { args: [`/proc/${path}`] }).outputSync();
  if (success) return new TextDecoder().decode(stdout);
  throw new CommandError(`Cannot read /proc/${path}: ${new TextDecoder().decode(stderr).trim()}`);
}

/** Reads what a running process has used so far. */
export function usage(pid: number): Usage {
  const status = proc(`${pid}/status`);
  // The name in parentheses may hold blanks; utime and stime are fields 14 and 15 (proc(5)).
  const stat = proc(`${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return {
    cpu: (Number(fields[11]) + Number(fields[12])) / TICKS,
    rss: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? NaN),
    peak: Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? NaN),
  };
}

/** CPU time that the whole machine has spent on anything, stolen time included, in seconds summed over its processors. */
export function machineBusy(): number {
  const [user, nice, system, _idle, _iowait, irq, softirq, steal] = proc("stat")
    .split("\n")[0].split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS;
}

/** A failed command: what it was, and what it said. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** Told of a part of the benchmark that fails, by name, and why. */
export type Failed = (name: string, why: string) => void;

/** Does something that the rest can do without: a {@linkcode CommandError} is reported, and the result is undefined. */
export async function attempt<T>(
  name: string,
  failed: Failed,
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    failed(name, error.message);
    return undefined;
  }
}

/** Where a program runs. */
export interface Surroundings {
  readonly cwd?: string;
  /** Variables beside those that this process has. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Runs a program to its end.
 *
 * @returns its standard output
 * @throws {CommandError} if it fails; the message has its standard error
 * @throws {Deno.errors.NotFound} if there is no such program
 */
export async function output(
  program: string,
  args: readonly string[],
  { cwd, env }: Surroundings = {},
): Promise<string> {
  const child = new Deno.Command(program, {
    args: [...args],
    cwd,
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  const { success, code, stdout, stderr } = await child.output();
  if (success) return new TextDecoder().decode(stdout);
  const said = new TextDecoder().decode(stderr).trim();
  throw new CommandError(`"${program} ${args.join(" ")}" ended with ${code}:\n${said}`);
}

/** A server under test. */
export interface Server {
  readonly pid: number;
  /** Ends it and waits; with SIGKILL after 5 seconds. */
  stop(): Promise<void>;
  /**
   * Does something with it; a failure is told together with what the server has said on its standard error.
   *
   * @throws {CommandError} if `work` does
   */
  watch<T>(work: () => Promise<T>): Promise<T>;
  /** From the start of the process until it had answered the negotiation of its first connection, ms. */
  readonly startedAfter: number;
  /** The end of what it has written to its standard error, 4,000 characters at most. */
  said(): string;
}

/** Where a server listens. */
export interface Socket {
  readonly transport: "tcp" | "unix";
  /** As millrace, libmilter and the load generator write it: `inet:PORT@127.0.0.1` or `unix:/path`. */
  readonly spec: string;
}

/** A server that is killed leaves its socket file, so no name is used twice. */
let sockets = 0;

/** A Unix socket in `folder`, or a TCP port that was free a moment ago. */
export function freeSocket(transport: Socket["transport"], folder: string, name: string): Socket {
  if (transport === "unix") return { transport, spec: `unix:${folder}/${name}-${++sockets}.sock` };
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return { transport, spec: `inet:${port}@127.0.0.1` };
}

/** What an MTA says first: version 6, all actions, all of the protocol. */
const OFFER = Uint8Array.from([0, 0, 0, 13, 0x4f, 0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff]);

/** Connects as an MTA does. False: nobody listens, or nobody answered the negotiation. */
async function answers(spec: string, patience: number): Promise<boolean> {
  const inet = /^inet:(\d+)@(.*)$/.exec(spec);
  try {
    using connection = inet
      ? await Deno.connect({ port: Number(inet[1]), hostname: inet[2] })
      : await Deno.connect({ transport: "unix", path: spec.slice("unix:".length) });
    const timer = setTimeout(() => connection.close(), patience);
    try {
      await connection.write(OFFER);
      return await connection.read(new Uint8Array(512)) !== null;
    } finally {
      clearTimeout(timer);
    }
  } catch {
    return false;
  }
}

/** How to start and end a server. */
export interface StartOptions extends Surroundings {
  /** Signal that ends it, SIGTERM by default. */
  readonly end?: Deno.Signal;
  /** Processors that it may run on, as taskset(1) has them; undefined: all. */
  readonly processors?: string;
}

/** A command as it is, or bound to processors by taskset(1). */
export function bound(processors: string | undefined, command: readonly string[]): readonly string[] {
  return processors === undefined ? command : ["taskset", "-c", processors, ...command];
}

/** How long a server may take to start, ms. */
const START_PATIENCE = 20_000;

/**
 * Starts a server and waits until it answers a negotiation.
 *
 * @throws {CommandError} if it ends, or does not answer within 20 seconds; the message has its standard error
 */
export async function startServer(
  program: string,
  args: readonly string[],
  socket: Socket,
  { cwd, env, end = "SIGTERM", processors }: StartOptions = {},
): Promise<Server> {
  const [first, ...rest] = bound(processors, [program, ...args]);
  const began = performance.now();
  const child = new Deno.Command(first, {
    args: rest,
    cwd,
    env,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let said = "";
  let ended = false;
  const reading = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      said = (said + text).slice(-4000);
    }
  })();
  const status = child.status.then((result) => {
    ended = true;
    return result;
  });
  async function stop(): Promise<void> {
    if (!ended) child.kill(end);
    const timer = setTimeout(() => ended || child.kill("SIGKILL"), 5000);
    await status;
    clearTimeout(timer);
    await reading;
  }
  async function watch<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      const state = ended ? "had ended by itself" : "still ran";
      throw new CommandError(
        `${error.message}\nThe server "${program}" ${state}, and had said:\n${said.trim()}`,
      );
    }
  }
  for (let left = START_PATIENCE; left > 0 && !ended; left = START_PATIENCE - (performance.now() - began)) {
    if (await answers(socket.spec, left)) {
      return { pid: child.pid, stop, watch, startedAfter: performance.now() - began, said: () => said };
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const how = ended ? `ended with ${(await status).code} before it listened` : "did not answer";
  await stop();
  throw new CommandError(`"${program} ${args.join(" ")}" ${how} on ${socket.spec}:\n${said.trim()}`);
}
