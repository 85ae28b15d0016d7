/**
 * The running program: its threads, its control socket, its log, and what is said of them.
 *
 * @module
 */
import { conditionText } from "../../conditions/mod.ts";
import type { LinkConfig } from "../../config/schema.ts";
import { SharedPlaces } from "../../server/places.ts";
import { policyText } from "../../session/policy.ts";
import { printable } from "../../text/show.ts";
import { formatDuration } from "../../text/units.ts";
import { formatAddress, parseAddress } from "../../transport/address.ts";
import type { Listener } from "../../transport/types.ts";
import { CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import { type ReadConfig, readConfig } from "../load_config.ts";
import type { OpenLog } from "../log.ts";
import { importsAreOpen, refuseMissingThreadRights } from "../rights.ts";
import { postfixLine, sendmailLine } from "../setup.ts";
import { changeWords } from "./changes.ts";
import { type ControlAnswer, ControlServer } from "./control.ts";
import { InlineCode } from "./inline_code.ts";
import { type Prepared, reasonOf, Service, stopping } from "./service.ts";
import { openSocket } from "./sockets.ts";
import type { PreparedThreads, Threads } from "./threads.ts";

/** What a {@linkcode Runtime} needs. */
export interface RuntimeOptions {
  readonly read: ReadConfig;
  readonly io: Io;
  readonly log: OpenLog;
  /** Abort it to stop: no new connections, open mails finish within `limits.drain`. */
  readonly signal: AbortSignal;
}

/** Everything of a configuration that has to be open before it can be gone over to. Disposing closes it again. */
interface Next extends AsyncDisposable {
  readonly own: Prepared;
  /** What the other threads have open. */
  readonly others: PreparedThreads | undefined;
  /** A control socket to be served, if it is not that of before. */
  readonly control: Listener | undefined;
}

/** Serves a configuration, and others after it. */
export class Runtime {
  readonly #options: RuntimeOptions;
  readonly #code = new InlineCode();
  readonly #service: Service;
  readonly #places: SharedArrayBuffer;
  #read: ReadConfig;
  #started = false;
  #stopped = false;
  /** The threads beside this one, if there are any. */
  #threads: Threads | undefined;
  #control: ControlServer | undefined;
  /** The start, or the last reload; never rejects. */
  #work: Promise<unknown> = Promise.resolve();
  /** A reload that waits for it. */
  #next: Promise<ControlAnswer> | undefined;

  constructor(options: RuntimeOptions) {
    const { read, io, log, signal } = options;
    const { threads } = read.config;
    this.#options = options;
    this.#read = read;
    this.#places = SharedPlaces.memory(threads);
    this.#service = new Service({
      ...{ io, log, code: this.#code, signal, places: new SharedPlaces(this.#places, 0) },
      shared: threads > 1 ? "first" : undefined,
    });
  }

  /**
   * Starts, serves until the signal is aborted, stops.
   *
   * @throws {CommandError} if it cannot start
   */
  async run(): Promise<void> {
    const { signal } = this.#options;
    try {
      const start = this.#start().catch((error) => {
        // What the stop broke is no fault of the configuration.
        if (!signal.aborted) throw error;
      });
      this.#work = start.catch(() => {});
      await start;
      await this.#service.run();
    } finally {
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

  async #start(): Promise<void> {
    const { io, log, signal } = this.#options;
    const { config: { threads } } = this.#read;
    this.#warnOfImports(this.#read);
    if (threads > 1) {
      refuseMissingThreadRights(threads);
      // What one thread alone needs no memory for.
      const { Threads } = await import("./threads.ts");
      this.#threads = new Threads({ count: threads - 1, io, log, signal, places: this.#places });
    }
    const next = await this.#prepare(this.#read);
    for (const { config } of next.own.open.links) log.server.event("info", linkWords(config));
    await this.#adopt(next);
    if (threads > 1) log.server.event("info", `${threads} threads serve the TCP addresses`, { threads });
    this.#started = true;
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
    const { io, log, signal } = this.#options;
    const before = this.#read;
    if (this.#stopped || signal.aborted) throw stopping();
    if (!this.#started) throw new CommandError("the program has not started");
    if (before.file === "-") {
      throw new CommandError("the configuration came from standard input, which cannot be read again");
    }
    const read = await readConfig(before.file, io);
    const [old, now] = [before.config.threads, read.config.threads];
    if (now !== old) {
      throw new CommandError(`Cannot change threads from ${old} to ${now}: restart the program`, 2);
    }
    const next = await this.#prepare(read);
    // All is well: from here on nothing fails.
    if (!same(read.config.log, before.config.log)) log.configure(read.config.log);
    if (!hasSandbox(before)) this.#warnOfImports(read);
    const connections = await this.#adopt(next);
    return { changes: changeWords(before.config, read.config), connections };
  }

  /** Opens all that a configuration needs beside what is open, in all threads, or nothing. */
  async #prepare(read: ReadConfig): Promise<Next> {
    await using undo = new AsyncDisposableStack();
    const own = undo.use(await this.#service.prepare(read));
    const control = await this.#newControl(read);
    undo.defer(() => control?.close());
    const others = await this.#threads?.prepare(
      read,
      [...own.sockets.kept, ...own.sockets.added]
        .filter(({ address }) => address.kind !== "unix")
        .map(({ listener }) => listener.address),
      this.#code.hashes,
    );
    undo.use(others);
    if (this.#stopped || this.#options.signal.aborted) throw stopping();
    const all = undo.move();
    return { own, others, control, [Symbol.asyncDispose]: () => all.disposeAsync() };
  }

  async #newControl({ config: { control } }: ReadConfig): Promise<Listener | undefined> {
    const before = this.#control === undefined ? undefined : this.#read.config.control;
    if (control === undefined || before !== undefined && formatAddress(before) === formatAddress(control)) {
      return;
    }
    return await openSocket(control, { mode: 0o600 }, this.#options.log.server);
  }

  /**
   * Goes over to what has been prepared.
   *
   * @returns the connections that keep what was before
   */
  async #adopt({ own, others, control }: Next): Promise<number> {
    const { log: { server: log } } = this.#options;
    const { read, sockets } = own;
    const connections = this.#service.adopt(own);
    const elsewhere = others?.adopt();
    for (const { listener } of sockets.added) this.#announce(listener);
    for (const { listener } of sockets.removed) {
      log.event("info", `No longer listening on ${listener.address}`, { address: listener.address });
    }
    if (control !== undefined || read.config.control === undefined) {
      // Whoever asked through the old socket still gets the answer.
      void this.#control?.close();
      this.#control = control && new ControlServer(control, { reload: () => this.reload() });
    }
    this.#read = read;
    return connections + (await elsewhere ?? 0);
  }

  async #stop(): Promise<void> {
    this.#stopped = true;
    this.#service.giveUp();
    this.#threads?.stop();
    // One that waited is refused, and so is one that it made wait.
    await (this.#next ?? this.#work);
    await this.#control?.close();
    await Promise.all([this.#service.close(), this.#threads?.ended]);
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
