/**
 * Serves a chain on any number of listeners: accepts, bounds, drains.
 *
 * @module
 */
import type { Chain } from "../chain/chain.ts";
import type { MailReport, SessionHost } from "../session/plan.ts";
import type { Failure } from "../session/policy.ts";
import type { Connection, Listener } from "../transport/types.ts";
import { type End, MilterConnection } from "./connection.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";

/** Where the server's records go. */
export interface ServerLog {
  /** One record for each mail. */
  mail(report: MailReport): void;
  /** A filter failed. */
  failure(failure: Failure): void;
  /** Something else of note. */
  event(
    level: "debug" | "info" | "warn" | "error",
    message: string,
    fields?: Readonly<Record<string, unknown>>,
  ): void;
}

/** What {@linkcode serve} needs. */
export interface ServeOptions {
  readonly listeners: readonly Listener[];
  /** What answers the mails. Its links stay open: whoever made them closes them. */
  readonly chain: Chain;
  readonly limits?: Partial<Limits>;
  readonly log: ServerLog;
  /** Abort it to stop: no new connections, open mails finish within `limits.drain`. */
  readonly signal: AbortSignal;
  /** Clock in ms, for tests. Default: `performance.now`. */
  readonly now?: () => number;
}

/** How often the clock is looked at, ms: the precision of deadlines. */
const TICK = 100;

/**
 * Serves until the signal is aborted and the open mails have finished, or their time is up.
 *
 * A connection never takes another down: its errors end it and are logged.
 */
export async function serve(options: ServeOptions): Promise<void> {
  const server = new Server(options);
  await server.run();
}

class Server {
  readonly #options: ServeOptions;
  readonly #limits: Limits;
  readonly #open = new Set<MilterConnection>();
  readonly #host: SessionHost;
  readonly #now: () => number;
  #idle: (() => void) | undefined;
  #refused = 0;

  constructor(options: ServeOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#now = options.now ?? (() => performance.now());
    const { log } = options;
    const write =
      (level: "debug" | "info" | "warn" | "error") =>
      (message: string, fields?: Readonly<Record<string, unknown>>): void =>
        log.event(level, message, fields);
    this.#host = {
      now: this.#now,
      log: { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") },
      mail: (report) => log.mail(report),
      failure: (failure) => log.failure(failure),
    };
  }

  async run(): Promise<void> {
    const { signal, listeners } = this.#options;
    const timer = setInterval(() => this.#tick(), TICK);
    const stop = (): void => {
      for (const listener of listeners) listener.close();
      for (const connection of this.#open) connection.drain();
    };
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    try {
      await Promise.all(listeners.map((listener) => this.#accept(listener)));
      await this.#drained();
    } finally {
      clearInterval(timer);
      signal.removeEventListener("abort", stop);
    }
  }

  async #accept(listener: Listener): Promise<void> {
    for await (const connection of listener) this.#serve(connection);
  }

  #serve(connection: Connection): void {
    const { log, chain } = this.#options;
    if (this.#open.size >= this.#limits.connections) {
      connection.close();
      // One line a burst, not one a connection: a flood must not become a flood of log.
      if (this.#refused++ === 0) {
        log.event(
          "warn",
          `Refusing connections: ${this.#limits.connections} are open, the limit (limits.connections)`,
        );
      }
      return;
    }
    const session = chain.open(this.#host, connection.delayedAck);
    const { frame, idle } = this.#limits;
    const milter = new MilterConnection(connection, session, this.#now, frame, idle);
    this.#open.add(milter);
    // Accepted at the very moment of the stop.
    if (this.#options.signal.aborted) milter.drain();
    void milter.run().then((end) => {
      this.#open.delete(milter);
      if (this.#refused > 0 && this.#open.size < this.#limits.connections) {
        log.event("warn", `Accepting connections again; ${this.#refused} were refused`);
        this.#refused = 0;
      }
      this.#logEnd(milter.peer, end);
      if (this.#open.size === 0) this.#idle?.();
    });
  }

  #logEnd(peer: string, end: End): void {
    const { log } = this.#options;
    if (end.kind === "protocol") {
      log.event("error", `Closed the connection from ${peer}: ${end.message}`, { peer });
    } else if (end.kind === "io") {
      log.event("debug", `The connection from ${peer} broke: ${end.message}`, { peer });
    } else if (end.kind === "idle") {
      log.event("info", `Closed the connection from ${peer}: silent for ${this.#limits.idle} ms`, { peer });
    } else log.event("debug", `The connection from ${peer} ended (${end.kind})`, { peer });
  }

  /** Waits for the open mails, at most `limits.drain`; then cuts, and the MTA keeps the mail. */
  async #drained(): Promise<void> {
    if (this.#open.size === 0) return;
    const deadline = this.#now() + this.#limits.drain;
    const empty = new Promise<void>((resolve) => this.#idle = resolve);
    const watch = setInterval(() => {
      if (this.#now() < deadline) return;
      clearInterval(watch);
      this.#options.log.event(
        "warn",
        `Cutting ${this.#open.size} connections: still busy after ${this.#limits.drain} ms`,
      );
      for (const connection of this.#open) connection.cut();
    }, TICK);
    await empty;
    clearInterval(watch);
  }

  #tick(): void {
    const now = this.#now();
    for (const connection of this.#open) connection.tick(now);
  }
}
