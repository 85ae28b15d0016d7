/**
 * A millrace server for tests: in memory, with a clock that the test sets, and everything it logged.
 *
 * @module
 */
import { Chain } from "../../src/chain/chain.ts";
import type { Filter } from "../../src/filter/mod.ts";
import { InlineLink } from "../../src/links/inline.ts";
import { DEFAULT_LIMITS, type Limits } from "../../src/server/limits.ts";
import { type Retired, Server, type ServerLog, type Service } from "../../src/server/serve.ts";
import type { MailReport } from "../../src/session/plan.ts";
import { type Failure, type FailurePolicy, type Outcome, uniformPolicy } from "../../src/session/policy.ts";
import { memoryListener } from "../../src/transport/memory.ts";
import type { Connection, Listener } from "../../src/transport/types.ts";

/** A server under test. */
export interface Serving {
  /** Opens a connection in memory. */
  connect(): Connection;
  readonly mails: MailReport[];
  readonly failures: Failure[];
  /** Events as `level message`. */
  readonly events: string[];
  /** Resolves once an event has `text` in it. */
  logged(text: string): Promise<void>;
  /** Moves the server's clock on; it looks at it a few times a second. */
  advance(ms: number): void;
  /** Gives new connections another filter, with the policy and deadline of before. */
  replace(filter: Filter, limits?: Partial<Limits>): Retired;
  /** Listens in one more place. */
  add(listener: Listener): void;
  /** Begins the drain, as SIGTERM does. */
  drain(): void;
  /** Resolves when the server has ended. */
  readonly ended: Promise<void>;
  /** Drains and waits. */
  stop(): Promise<void>;
}

/** How to serve. */
export interface ServingOptions {
  readonly limits?: Partial<Limits>;
  readonly policy?: FailurePolicy | Outcome;
  /** Deadline of a hook, ms of the test's clock. Default: 10,000. */
  readonly timeout?: number;
  /** Listeners besides the one in memory. */
  readonly listeners?: readonly Listener[];
}

/** Starts a server. Its clock stands still until `advance`. */
export function serving(filter: Filter, options: ServingOptions = {}): Serving {
  const { limits, policy = "tempfail", timeout = 10_000, listeners = [] } = options;
  const memory = memoryListener();
  const stop = new AbortController();
  const mails: MailReport[] = [];
  const failures: Failure[] = [];
  const events: string[] = [];
  const watchers = new Set<() => void>();
  let time = 0;
  const log: ServerLog = {
    mail: (report) => void mails.push(report),
    failure: (failure) => void failures.push(failure),
    event: (level, message) => {
      events.push(`${level} ${message}`);
      for (const watcher of watchers) watcher();
    },
  };
  const serviceOf = (filter: Filter, limits?: Partial<Limits>): Service => {
    const link = new InlineLink({
      name: filter.name ?? "test",
      filter,
      policy: typeof policy === "string" ? uniformPolicy(policy) : policy,
      limits: { ...DEFAULT_LIMITS, ...limits },
    });
    return { chain: new Chain([{ link, timeout }]), ...(limits !== undefined && { limits }) };
  };
  const server = new Server({ ...serviceOf(filter, limits), log, signal: stop.signal, now: () => time });
  for (const listener of [memory, ...listeners]) server.add(listener);
  const ended = server.run();
  return {
    connect: () => memory.connect(),
    mails,
    failures,
    events,
    logged: (text) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!events.some((event) => event.includes(text))) return;
          watchers.delete(look);
          resolve();
        };
        watchers.add(look);
        look();
      }),
    replace: (filter, limits) => server.replace(serviceOf(filter, limits)),
    add: (listener) => server.add(listener),
    advance: (ms) => void (time += ms),
    drain: () => stop.abort(),
    ended,
    stop: () => {
      stop.abort();
      return ended;
    },
  };
}
