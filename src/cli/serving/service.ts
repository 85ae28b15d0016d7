/**
 * What a configuration has to be open for to answer mail: filters, chain and sockets; and the way from one configuration
 * to the next. There is one in each thread.
 *
 * @module
 */
import type { Chain } from "../../chain/chain.ts";
import { ConfigError } from "../../config/error.ts";
import { SandboxLink } from "../../links/sandbox/sandbox_link.ts";
import type { Places } from "../../server/places.ts";
import { Server } from "../../server/serve.ts";
import type { ListenOptions } from "../../transport/deno.ts";
import { chainOf } from "../chain_of.ts";
import { CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import type { ReadConfig } from "../load_config.ts";
import type { OpenLog } from "../log.ts";
import { type OpenFilters, openFilters } from "../open_filters.ts";
import type { InlineCode } from "./inline_code.ts";
import { changeSockets, closeSockets, type OpenSocket, type SocketChange } from "./sockets.ts";

/** What a {@linkcode Service} needs. */
export interface ServiceOptions {
  readonly io: Io;
  readonly log: OpenLog;
  readonly code: InlineCode;
  /** Abort it to stop: no new connections, open mails finish within `limits.drain`. */
  readonly signal: AbortSignal;
  /** How its TCP addresses are shared with other threads. */
  readonly shared?: ListenOptions["shared"];
  /** Where its connections are counted, if not alone. */
  readonly places?: Places;
}

/** Everything of a configuration that is open, and not yet in use. Disposing closes it again. */
export interface Prepared extends AsyncDisposable {
  readonly read: ReadConfig;
  readonly sockets: SocketChange;
  readonly open: OpenFilters;
  readonly chain: Chain;
}

/** Replaced configurations whose filters still run for open connections; each costs what its sandboxes cost. */
const MOST_RETIRED = 16;

/** How often the counts of the links are logged, ms; also at the end, and when a reload takes them out of service. */
const COUNTS_INTERVAL = 3_600_000;

/** Answers mail as a configuration says, and as others after it. */
export class Service {
  readonly #options: ServiceOptions;
  readonly #over = new AbortController();
  readonly #signal: AbortSignal;
  /** Filters that were replaced, each until it is unloaded. */
  readonly #retired = new Set<Promise<void>>();
  #current: Prepared | undefined;
  #server: Server | undefined;
  #sockets: readonly OpenSocket[] = [];

  constructor(options: ServiceOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#over.signal]);
  }

  /**
   * Opens all that a configuration needs beside what is open, or nothing.
   *
   * @throws {CommandError} that says what is in the way
   */
  async prepare(read: ReadConfig): Promise<Prepared> {
    const { io, log, code, shared } = this.#options;
    if (this.#retired.size >= MOST_RETIRED) {
      throw new CommandError(
        `${MOST_RETIRED} earlier configurations still have open connections, and their filters run for them; try ` +
          "again when some have ended, or restart the program",
      );
    }
    await using undo = new AsyncDisposableStack();
    try {
      await code.check(read, io);
      const logs = { log: (name: string) => log.filter(name), event: log.server.event };
      const open = undo.use(await openFilters(read, logs, { signal: this.#signal }));
      const chain = await chainOf(open.links, read);
      const before = { open: this.#sockets, config: this.#current?.read.config ?? read.config };
      const sockets = await changeSockets(read.config, log.server, before, shared);
      undo.defer(() => closeSockets(sockets.added));
      this.#signal.throwIfAborted();
      const all = undo.move();
      return { read, open, chain, sockets, [Symbol.asyncDispose]: () => all.disposeAsync() };
    } catch (error) {
      // What the stop broke is no fault of the configuration.
      throw this.#signal.aborted ? stopping(error) : error;
    }
  }

  /**
   * Goes over to what has been prepared: nothing in it waits or fails. Connections that are open keep what they have.
   *
   * @returns how many those are
   */
  adopt(next: Prepared): number {
    const { log: { server: log }, signal, places } = this.#options;
    const { chain, sockets: { kept, added, removed }, read: { config: { limits } } } = next;
    let connections = 0;
    if (this.#server === undefined || this.#current === undefined) {
      this.#server = new Server({ chain, limits, log, signal, places });
    } else {
      const retired = this.#server.replace({ chain, limits });
      connections = retired.connections;
      this.#retire(this.#current, retired.gone);
    }
    for (const { listener } of added) this.#server.add(listener);
    closeSockets(removed);
    this.#sockets = [...kept, ...added];
    this.#current = next;
    return connections;
  }

  /** Serves what has been adopted until the signal is aborted and the open mails have finished. */
  async run(): Promise<void> {
    const hourly = setInterval(() => this.#current && this.#logCounts(this.#current), COUNTS_INTERVAL);
    try {
      await this.#server?.run();
    } finally {
      clearInterval(hourly);
    }
  }

  /** Gives up a {@linkcode prepare} that is under way. */
  giveUp(): void {
    this.#over.abort();
  }

  /** Closes and unloads everything. */
  async close(): Promise<void> {
    this.giveUp();
    closeSockets(this.#sockets);
    if (this.#current !== undefined) await this.#unload(this.#current);
    await Promise.all(this.#retired);
  }

  /** Unloads filters once the last connection that uses them has ended. */
  #retire(old: Prepared, gone: Promise<void>): void {
    const unloaded = gone.then(() => this.#unload(old)).then(() => {
      this.#retired.delete(unloaded);
      const names = old.open.filters.map(({ config }) => config.name).join(", ");
      this.#options.log.server.event("debug", `The filters of an earlier configuration are gone: ${names}`);
    });
    this.#retired.add(unloaded);
  }

  async #unload(old: Prepared): Promise<void> {
    old.chain.close();
    this.#logCounts(old);
    for (const { link, config: { name } } of old.open.filters) {
      if (!(link instanceof SandboxLink) || link.refusals.size === 0) continue;
      this.#options.log.server.event("info", `Filter ${name} was refused accesses`, {
        filter: name,
        ...Object.fromEntries(link.refusals),
      });
    }
    await old.open[Symbol.asyncDispose]();
  }

  /** What each link has done since its chain began. */
  #logCounts({ chain }: Prepared): void {
    const { log: { server: log } } = this.#options;
    for (const { link, verdicts, ms, ...counts } of chain.counters.all()) {
      // Nobody misses what did not happen.
      const happened = Object.entries(counts).filter(([, count]) => count !== 0);
      log.event("info", "link counts", {
        link,
        ...Object.fromEntries(happened),
        ...verdicts,
        ms: Math.round(ms),
      });
    }
  }
}

/** Why something was given up when the program was told to stop. */
export function stopping(cause?: unknown): CommandError {
  return new CommandError("the program is stopping", 1, { cause });
}

/** Why a configuration was not gone over to, in words for an administrator. */
export function reasonOf(error: unknown): string {
  if (error instanceof CommandError || error instanceof ConfigError) return error.message;
  const stack = error instanceof Error ? error.stack ?? error.message : String(error);
  return `this should not have happened, please report it: ${stack}`;
}
