/**
 * The links of a process in their order, as one thing that a server serves.
 *
 * @module
 */
import type { SessionHost } from "../session/plan.ts";
import { ChainSession } from "./chain_session.ts";
import { ChainCounters, soleReport } from "./counters.ts";
import { Member } from "./member.ts";
import {
  CHAIN_LIMITS,
  type ChainEntry,
  type ChainLimits,
  type ChainOptions,
  type ShadowEntry,
} from "./plan.ts";
import type { Session } from "./session.ts";
import { ShadowRuns } from "./shadow_runs.ts";
import { SoloSession } from "./solo_session.ts";

/** Links in order. Whoever made the links closes them, after the chain. */
export class Chain {
  readonly entries: readonly ChainEntry[];
  readonly #options: ChainOptions;
  #shadows: ShadowRuns | undefined;

  /**
   * @param random For shares of mails; for tests. Default: `Math.random`.
   * @throws {RangeError} without an entry.
   */
  constructor(
    entries: readonly ChainEntry[],
    limits: Partial<ChainLimits> = {},
    random: () => number = Math.random,
  ) {
    if (entries.length === 0) throw new RangeError("Cannot make a chain of no links: at least one is needed");
    this.entries = entries;
    const shadows: ShadowEntry[] = [];
    const inForce: ChainEntry[] = [];
    const counters = new ChainCounters();
    for (const entry of entries) {
      counters.add(entry.link.name, entry.mode ?? "enforce");
      if (entry.mode === "shadow") shadows.push({ entry, place: inForce.length });
      else inForce.push(entry);
    }
    this.#options = { ...CHAIN_LIMITS, ...limits, entries: inForce, shadows, counters, random };
  }

  /** The names of the links, in order. */
  get name(): string {
    return this.entries.map(({ link }) => link.name).join(", ");
  }

  /** What the links have done so far. */
  get counters(): ChainCounters {
    return this.#options.counters;
  }

  /**
   * Opens a session for one MTA connection.
   *
   * @param answerData Negotiate for a carrier with delayed acknowledgements; see `wantsOf`.
   */
  open(host: SessionHost, answerData: boolean): Session {
    const now = () => host.now();
    const { entries, shadows, counters } = this.#options;
    const [first] = entries;
    // One link that gets all mail: every frame goes straight through.
    if (
      entries.length === 1 && shadows.length === 0 && first.when === undefined && (first.canary ?? 1) === 1
    ) {
      return new SoloSession(
        first.link.open(counting(hostFor(host, first), counters), answerData),
        first.timeout,
        now,
      );
    }
    this.#shadows ??= new ShadowRuns(host, counters);
    const members = entries.map((entry) => new Member(entry, hostFor(host, entry)));
    return new ChainSession(this.#options, members, host, answerData, this.#shadows);
  }

  /** Is anything at work that no connection waits for? */
  get busy(): boolean {
    return this.#shadows?.busy === true;
  }

  /** Looks at the clock, ms: deadlines of what no connection waits for. */
  tick(now: number): void {
    this.#shadows?.tick(now);
  }

  /** Ends what no connection waits for. */
  close(): void {
    this.#shadows?.close();
  }
}

/** A host whose log lines bear a link's name. */
function hostFor(host: SessionHost, { link }: ChainEntry): SessionHost {
  const { log } = host;
  const filter = link.name;
  const named =
    (write: typeof log.info) => (message: string, fields?: Readonly<Record<string, unknown>>): void =>
      write(message, { ...fields, filter });
  return {
    now: () => host.now(),
    mail: (report) => host.mail(report),
    failure: (failure, cause) => host.failure(failure, cause),
    log: { debug: named(log.debug), info: named(log.info), warn: named(log.warn), error: named(log.error) },
  };
}

/** A host that counts the mails of the one link of a chain. */
function counting(host: SessionHost, counters: ChainCounters): SessionHost {
  return {
    ...host,
    mail(report) {
      counters.count([soleReport(report)]);
      host.mail(report);
    },
  };
}
