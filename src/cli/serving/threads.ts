/**
 * The threads beside the program's own, each with a {@linkcode Service} of its own over the same TCP addresses.
 *
 * @module
 */
import { Worker as Thread } from "node:worker_threads";
import type { Config } from "../../config/schema.ts";
import { DEFAULT_LIMITS } from "../../server/limits.ts";
import { GuardBoard } from "../../links/sandbox/guard_board.ts";
import { memoryGuard } from "../../links/sandbox/memory_guard.ts";
import { SharedPlaces } from "../../server/places.ts";
import { wait } from "../../transport/accept_loop.ts";
import { CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import type { ReadConfig } from "../load_config.ts";
import type { OpenLog } from "../log.ts";
import { reasonOf, stopping } from "./service.ts";
import { BEAT, type Order, type Report, type ThreadConfig, type ThreadSetup } from "./thread_messages.ts";

/** What {@linkcode Threads} need. */
export interface ThreadsOptions {
  /** How many. */
  readonly count: number;
  readonly io: Io;
  readonly log: OpenLog;
  /** Abort it to stop: no new connections, open mails finish within `limits.drain`. */
  readonly signal: AbortSignal;
  /** Memory for the connections that they and the program's own thread have open. */
  readonly places: SharedArrayBuffer;
}

/** A configuration that all of them have open beside what they have. Disposing closes it again. */
export interface PreparedThreads extends AsyncDisposable {
  /** Has them go over to it; gives the number of connections that keep what was before. Never rejects. */
  adopt(): Promise<number>;
}

/** Pauses before a thread that has ended is started again, ms; the first is doubled up to the longest. */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 30_000;

/**
 * Beyond the longest time that a hook without a sandbox may take: a thread that has not moved for so long is held by such
 * a filter, and is ended, ms. It covers a start on a busy machine.
 */
const STANDSTILL = 10_000;

/** Beyond the time in which open mails finish: after it a thread that does not end is ended, ms. */
const GRACE = 5000;

/** One thread. */
class Member {
  /** Number of the thread, from 1. */
  readonly number: number;
  readonly ended: Promise<void>;
  /** Why it ended, once it has. */
  end: string | undefined;
  /** The configuration that it serves. */
  serves: ThreadConfig | undefined;
  /** Its beats when they were last looked at, and for how long they have been the same, ms. */
  beats = 0;
  still = 0;
  readonly #worker: Thread;
  #answer: PromiseWithResolvers<Report> | undefined;

  constructor(setup: ThreadSetup, log: OpenLog) {
    this.number = setup.thread;
    this.#worker = new Thread(new URL("./thread.ts", import.meta.url), { workerData: setup });
    let error: string | undefined;
    this.#worker.on("error", (reason: unknown) => error = reasonOf(reason));
    this.#worker.on("message", (report: Report) => {
      if (report.said !== "log") return this.#answer?.resolve(report);
      log.lines(report.lines);
      this.tell({ do: "log on" });
    });
    this.ended = new Promise((resolve) =>
      this.#worker.on("exit", (code: number) => {
        this.end = error ?? `it exited with ${code}`;
        this.#answer?.reject(new CommandError(`Thread ${this.number} ended: ${this.end}`));
        resolve();
      })
    );
  }

  tell(order: Order): void {
    if (this.end === undefined) this.#worker.postMessage(order);
  }

  /** Waits for the answer. @throws {CommandError} if it has none, or reports a failure */
  async ask(order: Order): Promise<Report> {
    if (this.end !== undefined) throw new CommandError(`Thread ${this.number} ended: ${this.end}`);
    this.#answer = Promise.withResolvers();
    this.tell(order);
    const report = await this.#answer.promise;
    if (report.said === "failed") throw new CommandError(report.message, report.code);
    return report;
  }

  /** Goes over to what it has prepared; gives the number of connections that keep what was before. */
  async adopt(read: ThreadConfig): Promise<number> {
    const report = await this.ask({ do: "adopt" });
    this.serves = read;
    return report.said === "adopted" ? report.connections : 0;
  }

  halt(): void {
    void this.#worker.terminate();
  }
}

/** All of them. One that ends is started again. */
export class Threads {
  readonly #options: ThreadsOptions;
  /** All that run. */
  readonly #alive = new Set<Member>();
  /** Those of them that serve, or will once all are ready; not those that are being started again. */
  readonly #members = new Set<Member>();
  readonly #starting = new Set<Promise<void>>();
  readonly #over = new AbortController();
  readonly #beats: Int32Array<SharedArrayBuffer>;
  readonly #guards: SharedArrayBuffer;
  /** What they serve. */
  #current: ThreadConfig | undefined;
  /** Time for open mails to finish after the stop, and for a hook without a sandbox, ms. */
  #drain = 0;
  #longest = 0;
  /** Settles once {@linkcode stop} was called and the last one has ended. */
  readonly ended: Promise<void>;

  constructor(options: ThreadsOptions) {
    this.#options = options;
    this.#beats = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT * (options.count + 1)));
    this.#guards = GuardBoard.memory(options.count + 1);
    memoryGuard.share(new GuardBoard(this.#guards, 0));
    const watch = setInterval(() => this.#watch(), BEAT);
    for (let number = 1; number <= options.count; number++) this.#members.add(this.#start(number));
    options.signal.addEventListener("abort", () => this.stop(), { once: true });
    this.ended = new Promise<void>((resolve) =>
      this.#over.signal.addEventListener("abort", () => resolve(), { once: true })
    ).then(() => this.#end()).finally(() => clearInterval(watch));
    if (options.signal.aborted) this.stop();
  }

  /**
   * Has all of them open a configuration.
   *
   * @param listen The TCP addresses that the program's own thread has bound for it.
   * @param code Hashes of the code without a sandbox that it runs, by path.
   * @throws {CommandError} if one cannot; then none has it open
   */
  async prepare(
    { config, text, file, base }: ReadConfig,
    listen: readonly string[],
    code: ReadonlyMap<string, string>,
  ): Promise<PreparedThreads> {
    if (this.#over.signal.aborted) throw stopping();
    const read: ThreadConfig = { text, file, listen, base: base.href, code: new Map(code) };
    const { drain } = { ...DEFAULT_LIMITS, ...config.limits };
    const members = [...this.#members];
    const results = await Promise.allSettled(members.map((member) => member.ask({ do: "prepare", read })));
    const ready = members.filter((_, at) => results[at].status === "fulfilled");
    const drop = () => {
      for (const member of ready) member.tell({ do: "drop" });
      return Promise.resolve();
    };
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) {
      await drop();
      throw failed.reason;
    }
    return {
      adopt: async () => {
        this.#current = read;
        this.#drain = drain;
        this.#longest = longestInline(config.filters);
        const counts = ready.map((member) => member.adopt(read).catch(() => 0));
        // Those that came back meanwhile have what was current then.
        const back = [...this.#members].filter((member) => !ready.includes(member));
        await Promise.all(back.map((member) => this.#bring(member).catch(() => member.halt())));
        return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
      },
      [Symbol.asyncDispose]: drop,
    };
  }

  /** No new connections; open mails finish within `limits.drain`. */
  stop(): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    for (const member of this.#alive) member.tell({ do: "stop" });
  }

  async #end(): Promise<void> {
    const timer = setTimeout(() => {
      for (const member of this.#alive) {
        this.#log("warn", `Ending thread ${member.number}, which has not stopped by itself`, member.number);
        member.halt();
      }
    }, this.#drain + GRACE);
    await Promise.all(this.#starting);
    await Promise.all([...this.#alive].map(({ ended }) => ended));
    clearTimeout(timer);
  }

  /** A loop in a filter without a sandbox holds its thread for good, and nobody can break it but from outside. */
  #watch(): void {
    for (const member of this.#alive) {
      const { number, beats } = member;
      member.beats = Atomics.load(this.#beats, number);
      // Looks are counted, not time: while the whole process is stopped, nobody moves and nobody looks.
      member.still = member.beats === beats ? member.still + BEAT : 0;
      if (member.still < this.#longest + STANDSTILL) continue;
      this.#log("error", `Thread ${number} has not moved for ${member.still} ms: ending it`, number);
      member.still = 0;
      member.halt();
    }
  }

  #log(level: "info" | "warn" | "error", message: string, thread: number): void {
    this.#options.log.server.event(level, message, { thread });
  }

  #start(thread: number): Member {
    const { places, log, io: { stderr: { isTerminal, color } } } = this.#options;
    const [beats, guards] = [this.#beats.buffer, this.#guards];
    const member = new Member({ thread, places, beats, guards, isTerminal, color }, log);
    this.#alive.add(member);
    void member.ended.then(() => {
      this.#alive.delete(member);
      this.#members.delete(member);
      new SharedPlaces(places, thread).clear();
      new GuardBoard(guards, thread).clear();
      if (this.#over.signal.aborted) return;
      // One that never served is a start that failed; whoever asked has been told.
      if (member.serves === undefined) return;
      this.#log("error", `Thread ${thread} ended, and its connections with it: ${member.end}`, thread);
      const starting = this.#startAgain(thread).finally(() => this.#starting.delete(starting));
      this.#starting.add(starting);
    });
    return member;
  }

  /** Tries until it serves. */
  async #startAgain(thread: number): Promise<void> {
    for (let pause = FIRST_PAUSE; !this.#over.signal.aborted; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      await wait(pause, this.#over.signal);
      if (this.#over.signal.aborted) return;
      const member = this.#start(thread);
      try {
        await this.#bring(member);
        this.#members.add(member);
        this.#log("info", `Thread ${thread} serves again`, thread);
        return;
      } catch (error) {
        if (this.#over.signal.aborted) return;
        this.#log("error", `Thread ${thread} could not start again: ${reasonOf(error)}`, thread);
        member.halt();
      }
    }
  }

  /** Up to the current configuration, which may change meanwhile. */
  async #bring(member: Member): Promise<void> {
    while (member.serves !== this.#current) {
      const read = this.#current!;
      await member.ask({ do: "prepare", read });
      await member.adopt(read);
    }
  }
}

/** The longest time for a hook that runs in a thread itself, ms. */
function longestInline(filters: Config["filters"]): number {
  const inline = filters.filter((filter) => filter.kind === "filter" && filter.isolation === "none");
  return Math.max(0, ...inline.map(({ timeout }) => timeout));
}
