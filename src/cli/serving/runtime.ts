/**
 * The running program: filters, sockets and log of a configuration, and the way from one configuration to the next.
 *
 * @module
 */
import type { Chain } from "../../chain/chain.ts";
import { conditionText } from "../../conditions/mod.ts";
import { ConfigError } from "../../config/error.ts";
import type { LinkConfig } from "../../config/schema.ts";
import { formatDuration } from "../../text/units.ts";
import { SandboxLink } from "../../links/sandbox/sandbox_link.ts";
import { Server } from "../../server/serve.ts";
import { policyText } from "../../session/policy.ts";
import { printable } from "../../text/show.ts";
import { formatAddress, parseAddress } from "../../transport/address.ts";
import type { Listener } from "../../transport/types.ts";
import { chainOf } from "../chain_of.ts";
import { CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import { type ReadConfig, readConfig } from "../load_config.ts";
import type { OpenLog } from "../log.ts";
import { type OpenFilters, openFilters } from "../open_filters.ts";
import { importsAreOpen } from "../rights.ts";
import { postfixLine, sendmailLine } from "../setup.ts";
import { changeWords } from "./changes.ts";
import { type ControlAnswer, ControlServer } from "./control.ts";
import { InlineCode } from "./inline_code.ts";
import { changeSockets, closeSockets, type OpenSocket, openSocket, type SocketChange } from "./sockets.ts";

/** What a {@linkcode Runtime} needs. */
export interface RuntimeOptions {
  readonly read: ReadConfig;
  readonly io: Io;
  readonly log: OpenLog;
  /** Abort it to stop: no new connections, open mails finish within `limits.drain`. */
  readonly signal: AbortSignal;
}

/** Replaced configurations whose filters still run for open connections; each costs what its sandboxes cost. */
const MOST_RETIRED = 16;

/** How often the counts of the links are logged, ms; also at the end, and when a reload takes them out of service. */
const COUNTS_INTERVAL = 3_600_000;

/** Everything of a configuration that has to be open before it can serve. */
interface Prepared {
  readonly read: ReadConfig;
  readonly open: OpenFilters;
  readonly chain: Chain;
  readonly sockets: SocketChange;
  /** A control socket to be served, if it is not that of before. */
  readonly control: Listener | undefined;
}

/** Serves a configuration, and others after it. */
export class Runtime {
  readonly #options: RuntimeOptions;
  readonly #code = new InlineCode();
  readonly #over = new AbortController();
  readonly #signal: AbortSignal;
  /** Filters that were replaced, each until it is unloaded. */
  readonly #retired = new Set<Promise<void>>();
  #read: ReadConfig;
  #open: OpenFilters | undefined;
  #chain: Chain | undefined;
  #server: Server | undefined;
  #sockets: readonly OpenSocket[] = [];
  #control: ControlServer | undefined;
  /** The start, or the last reload; never rejects. */
  #work: Promise<unknown> = Promise.resolve();
  /** A reload that waits for it. */
  #next: Promise<ControlAnswer> | undefined;

  constructor(options: RuntimeOptions) {
    this.#options = options;
    this.#read = options.read;
    this.#signal = AbortSignal.any([options.signal, this.#over.signal]);
  }

  /**
   * Starts, serves until the signal is aborted, stops.
   *
   * @throws {CommandError} if it cannot start
   */
  async run(): Promise<void> {
    const hourly = setInterval(() => this.#chain && this.#logCounts(this.#chain), COUNTS_INTERVAL);
    try {
      const start = this.#start();
      this.#work = start.catch(() => {});
      const server = await start;
      await server?.run();
    } finally {
      clearInterval(hourly);
      await this.#stop();
    }
  }

  /**
   * Reads the configuration anew and goes over to it. What is wrong with it changes nothing. One at a time: whoever asks
   * while one runs shares the next, which reads the file after that. Never rejects.
   */
  reload(): Promise<ControlAnswer> {
    return this.#next ??= this.#work.then(() => {
      this.#next = undefined;
      const work = this.#reload();
      this.#work = work;
      return work;
    });
  }

  /** Undefined if it was stopped before it had started. */
  async #start(): Promise<Server | undefined> {
    const { log: { server: log }, signal } = this.#options;
    this.#warnOfImports(this.#read);
    const next = await this.#prepare(this.#read).catch((error) => {
      if (!signal.aborted) throw error;
    });
    if (next === undefined) return;
    for (const { config } of next.open.links) log.event("info", linkWords(config));
    this.#server = new Server({ chain: next.chain, limits: next.read.config.limits, log, signal });
    this.#adopt(this.#server, next);
    return this.#server;
  }

  async #reload(): Promise<ControlAnswer> {
    const { log: { server: log } } = this.#options;
    const since = performance.now();
    try {
      const { changes, connections } = await this.#replace();
      const ms = Math.round(performance.now() - since);
      const what = `Reloaded ${printable(this.#read.file)} in ${ms} ms`;
      log.event("info", what, { ms, changes, connections });
      const rest = connections === 0
        ? ""
        : `; ${connections} open ${
          connections === 1 ? "connection keeps" : "connections keep"
        } what was before`;
      return { done: true, text: `${what}: ${changes.join(", ")}${rest}` };
    } catch (error) {
      const reason = reasonOf(error);
      const lines = reason.split("\n");
      const what = "Reload refused, everything goes on as before";
      log.event("error", what, { reason: lines.length > 1 ? lines : reason });
      return { done: false, text: `${what}:${lines.length > 1 ? "\n" : " "}${reason}` };
    }
  }

  async #replace(): Promise<{ readonly changes: readonly string[]; readonly connections: number }> {
    const { io, log } = this.#options;
    const before = this.#read;
    const [server, open] = [this.#server, this.#open];
    if (this.#signal.aborted) throw stopping();
    if (server === undefined || open === undefined) throw new CommandError("the program has not started");
    if (before.file === "-") {
      throw new CommandError("the configuration came from standard input, which cannot be read again");
    }
    if (this.#retired.size >= MOST_RETIRED) {
      throw new CommandError(
        `${MOST_RETIRED} earlier configurations still have open connections, and their filters run for them; try ` +
          "again when some have ended, or restart the program",
      );
    }
    const read = await readConfig(before.file, io);
    const next = await this.#prepare(read);
    // All is well: from here on nothing waits and nothing fails.
    if (!same(read.config.log, before.config.log)) log.configure(read.config.log);
    if (!hasSandbox(before)) this.#warnOfImports(read);
    const { connections, gone } = server.replace({ chain: next.chain, limits: read.config.limits });
    this.#retire(open, this.#chain, gone);
    this.#adopt(server, next);
    return { changes: changeWords(before.config, read.config), connections };
  }

  /** Opens all that a configuration needs beside what is open, or nothing. */
  async #prepare(read: ReadConfig): Promise<Prepared> {
    const { io, log } = this.#options;
    const { config } = read;
    await using undo = new AsyncDisposableStack();
    try {
      await this.#code.check(read, io);
      const logs = { log: (name: string) => log.filter(name), event: log.server.event };
      const open = undo.use(await openFilters(read, logs, { signal: this.#signal }));
      const chain = await chainOf(open.links, read);
      const sockets = await changeSockets(config, log.server, this.#sockets, this.#read.config);
      undo.defer(() => closeSockets(sockets.added));
      const control = await this.#newControl(read);
      undo.defer(() => control?.close());
      this.#signal.throwIfAborted();
      undo.move();
      return { read, open, chain, sockets, control };
    } catch (error) {
      // What the stop broke is no fault of the configuration.
      throw this.#signal.aborted ? stopping(error) : error;
    }
  }

  async #newControl({ config: { control } }: ReadConfig): Promise<Listener | undefined> {
    const before = this.#control === undefined ? undefined : this.#read.config.control;
    if (control === undefined || before !== undefined && formatAddress(before) === formatAddress(control)) {
      return;
    }
    return await openSocket(control, { mode: 0o600 }, this.#options.log.server);
  }

  /** Goes over to what has been prepared. */
  #adopt(server: Server, { read, open, chain, sockets, control }: Prepared): void {
    const { log: { server: log } } = this.#options;
    for (const { listener } of sockets.added) {
      server.add(listener);
      this.#announce(listener);
    }
    closeSockets(sockets.removed);
    for (const { listener } of sockets.removed) {
      log.event("info", `No longer listening on ${listener.address}`, { address: listener.address });
    }
    if (control !== undefined || read.config.control === undefined) {
      // Whoever asked through the old socket still gets the answer.
      void this.#control?.close();
      this.#control = control && new ControlServer(control, { reload: () => this.reload() });
    }
    this.#sockets = [...sockets.kept, ...sockets.added];
    this.#open = open;
    this.#chain = chain;
    this.#read = read;
  }

  /** Unloads filters once the last connection that uses them has ended. */
  #retire(open: OpenFilters, chain: Chain | undefined, gone: Promise<void>): void {
    const unloaded = gone.then(() => this.#unload(open, chain)).then(() => {
      this.#retired.delete(unloaded);
      const names = open.filters.map(({ config }) => config.name).join(", ");
      this.#options.log.server.event("debug", `The filters of an earlier configuration are gone: ${names}`);
    });
    this.#retired.add(unloaded);
  }

  async #unload(open: OpenFilters, chain: Chain | undefined): Promise<void> {
    chain?.close();
    if (chain !== undefined) this.#logCounts(chain);
    for (const { link, config: { name } } of open.filters) {
      if (!(link instanceof SandboxLink) || link.refusals.size === 0) continue;
      this.#options.log.server.event("info", `Filter ${name} was refused accesses`, {
        filter: name,
        ...Object.fromEntries(link.refusals),
      });
    }
    await open[Symbol.asyncDispose]();
  }

  async #stop(): Promise<void> {
    this.#over.abort();
    // One that waited is refused, and so is one that it made wait.
    await (this.#next ?? this.#work);
    await this.#control?.close();
    closeSockets(this.#sockets);
    if (this.#open !== undefined) await this.#unload(this.#open, this.#chain);
    await Promise.all(this.#retired);
  }

  /** What each link has done since its chain began. */
  #logCounts(chain: Chain): void {
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

  /** Says where it listens, and what exactly to write into the mail server's configuration. */
  #announce(listener: Listener): void {
    const { log: { server: log } } = this.#options;
    const address = parseAddress(listener.address);
    const fields = { address: formatAddress(address) };
    log.event("info", `Listening on ${fields.address}`, fields);
    log.event("info", `Postfix, main.cf: ${postfixLine(address)}`, fields);
    log.event("info", `Sendmail, sendmail.mc: ${sendmailLine(address)}`, fields);
  }

  #warnOfImports(read: ReadConfig): void {
    if (!hasSandbox(read) || !importsAreOpen()) return;
    this.#options.log.server.event(
      "warn",
      "Deno would let this program import code from the network; start it with --allow-import --deny-import, both " +
        "(millrace flags prints all that is needed)",
    );
  }
}

function hasSandbox({ config }: ReadConfig): boolean {
  return config.filters.some((link) => link.kind === "filter" && link.isolation === "sandbox");
}

/** `Filter rules: 10s for a hook; if it fails, mail gets: tempfail` */
function linkWords(config: LinkConfig): string {
  const { kind, name, timeout, onFailure, mode, canary, when } = config;
  const what = kind === "filter" ? "Filter" : `Milter at ${formatAddress(config.upstream)},`;
  const limits = [
    ...(when === undefined ? [] : [`only if ${conditionText(when)}`]),
    ...(canary < 1 ? [`${canary * 100} % of the mails`] : []),
    ...(mode === "shadow" ? ["shadow, without effect"] : []),
  ].map((text) => `${text}; `).join("");
  const per = kind === "filter" ? "a hook" : "a reply";
  return `${what} ${name}: ${limits}${formatDuration(timeout)} for ${per}; if it fails, mail gets: ` +
    policyText(onFailure);
}

function same(one: unknown, another: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(another);
}

function stopping(cause?: unknown): CommandError {
  return new CommandError("the program is stopping", 1, { cause });
}

function reasonOf(error: unknown): string {
  if (error instanceof CommandError || error instanceof ConfigError) return error.message;
  const stack = error instanceof Error ? error.stack ?? error.message : String(error);
  return `this should not have happened, please report it: ${stack}`;
}
