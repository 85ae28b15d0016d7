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
import { OwnPlaces, type Places } from "./places.ts";

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

/** What new connections get. */
export interface Service {
  /** What answers the mails. Its links stay open: whoever made them closes them. */
  readonly chain: Chain;
  readonly limits?: Partial<Limits>;
}

/** What a {@linkcode Server} needs. */
export interface ServerOptions extends Service {
  readonly log: ServerLog;
  /** Abort it to stop: no new connections, open mails finish within `limits.drain`. */
  readonly signal: AbortSignal;
  /** Where connections are counted. Default: those of this server alone. */
  readonly places?: Places;
  /** Clock in ms, for tests. Default: `performance.now`. */
  readonly now?: () => number;
}

/** What {@linkcode serve} needs. */
export interface ServeOptions extends ServerOptions {
  readonly listeners: readonly Listener[];
}

/** What a server had before it was given something else. */
export interface Retired {
  /** MTA connections that still use it. */
  readonly connections: number;
  /** Settles when the last of them has ended: then nobody uses the chain any more. */
  readonly gone: Promise<void>;
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
  for (const listener of options.listeners) server.add(listener);
  await server.run();
}

/** A service in use, with the connections that have it. */
interface Generation {
  readonly chain: Chain;
  readonly limits: Limits;
  connections: number;
  /** Set once another has taken its place. */
  gone?: PromiseWithResolvers<void>;
}

/** A server whose listeners, chain and limits may change while it runs. */
export class Server {
  readonly #log: ServerLog;
  readonly #signal: AbortSignal;
  readonly #now: () => number;
  readonly #places: Places;
  readonly #host: SessionHost;
  readonly #accepting = new Map<Listener, Promise<void>>();
  readonly #open = new Set<MilterConnection>();
  #current: Generation;
  /** With those that open connections still have. */
  readonly #generations = new Set<Generation>();
  #idle: (() => void) | undefined;
  #refused = 0;

  constructor(options: ServerOptions) {
    const { log, signal, places = new OwnPlaces(), now = () => performance.now() } = options;
    this.#log = log;
    this.#signal = signal;
    this.#now = now;
    this.#places = places;
    this.#current = generationOf(options);
    this.#generations.add(this.#current);
    const write =
      (level: "debug" | "info" | "warn" | "error") =>
      (message: string, fields?: Readonly<Record<string, unknown>>): void =>
        log.event(level, message, fields);
    this.#host = {
      now,
      log: { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") },
      mail: (report) => log.mail(report),
      failure: (failure) => log.failure(failure),
    };
  }

  /** Accepts connections of a listener until it is closed. The server closes it when it stops. */
  add(listener: Listener): void {
    if (this.#signal.aborted) listener.close();
    this.#accepting.set(listener, this.#accept(listener).finally(() => this.#accepting.delete(listener)));
  }

  /**
   * Gives connections that are accepted from now on another chain and other limits. Those that are open keep what they
   * have to their end, with all their mails; only the number of connections is counted over all.
   */
  replace(service: Service): Retired {
    const old = this.#current;
    this.#current = generationOf(service);
    this.#generations.add(this.#current);
    old.gone = Promise.withResolvers();
    if (old.connections === 0) this.#retire(old);
    return { connections: old.connections, gone: old.gone.promise };
  }

  /** Serves what was added until the signal is aborted, or every listener is closed, and the open mails have finished. */
  async run(): Promise<void> {
    const timer = setInterval(() => this.#tick(), TICK);
    const stop = (): void => {
      for (const listener of this.#accepting.keys()) listener.close();
      for (const connection of this.#open) connection.drain();
    };
    this.#signal.addEventListener("abort", stop, { once: true });
    if (this.#signal.aborted) stop();
    try {
      while (this.#accepting.size > 0) await Promise.all(this.#accepting.values());
      await this.#drained();
    } finally {
      clearInterval(timer);
      this.#signal.removeEventListener("abort", stop);
    }
  }

  async #accept(listener: Listener): Promise<void> {
    for await (const connection of listener) this.#serve(connection);
  }

  #serve(connection: Connection): void {
    const generation = this.#current;
    const { chain, limits } = generation;
    if (!this.#places.take(limits.connections)) {
      connection.close();
      // One line a burst, not one a connection: a flood must not become a flood of log.
      if (this.#refused++ === 0) {
        this.#log.event(
          "warn",
          `Refusing connections: ${this.#places.taken} are open, the limit is ${limits.connections} (limits.connections)`,
        );
      }
      return;
    }
    const session = chain.open(this.#host, connection.delayedAck);
    const milter = new MilterConnection(connection, session, this.#now, limits.frame, limits.idle);
    this.#open.add(milter);
    generation.connections++;
    // Accepted at the very moment of the stop.
    if (this.#signal.aborted) milter.drain();
    void milter.run().then((end) => {
      this.#open.delete(milter);
      this.#places.free();
      if (this.#refused > 0 && this.#places.taken < this.#current.limits.connections) {
        this.#log.event("warn", `Accepting connections again; ${this.#refused} were refused`);
        this.#refused = 0;
      }
      this.#logEnd(milter.peer, end, limits);
      if (--generation.connections === 0 && generation.gone !== undefined) this.#retire(generation);
      if (this.#open.size === 0) this.#idle?.();
    });
  }

  #retire(generation: Generation): void {
    this.#generations.delete(generation);
    generation.gone?.resolve();
  }

  #logEnd(peer: string, end: End, { idle }: Limits): void {
    const log = this.#log;
    if (end.kind === "protocol") {
      log.event("error", `Closed the connection from ${peer}: ${end.message}`, { peer });
    } else if (end.kind === "io") {
      log.event("debug", `The connection from ${peer} broke: ${end.message}`, { peer });
    } else if (end.kind === "idle") {
      log.event("info", `Closed the connection from ${peer}: silent for ${idle} ms`, { peer });
    } else log.event("debug", `The connection from ${peer} ended (${end.kind})`, { peer });
  }

  /** Waits for the open mails, at most `limits.drain`; then cuts, and the MTA keeps the mail. */
  async #drained(): Promise<void> {
    if (this.#open.size === 0) return;
    const { drain } = this.#current.limits;
    const deadline = this.#now() + drain;
    const empty = new Promise<void>((resolve) => this.#idle = resolve);
    const watch = setInterval(() => {
      if (this.#now() < deadline) return;
      clearInterval(watch);
      this.#log.event("warn", `Cutting ${this.#open.size} connections: still busy after ${drain} ms`);
      for (const connection of this.#open) connection.cut();
    }, TICK);
    await empty;
    clearInterval(watch);
  }

  #tick(): void {
    const now = this.#now();
    for (const connection of this.#open) connection.tick(now);
    for (const { chain } of this.#generations) chain.tick(now);
  }
}

function generationOf({ chain, limits }: Service): Generation {
  return { chain, limits: { ...DEFAULT_LIMITS, ...limits }, connections: 0 };
}
