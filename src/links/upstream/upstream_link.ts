/**
 * An existing milter as a link: OpenDKIM, rspamd, another millrace, any program on libmilter.
 *
 * Each MTA connection gets one connection to it. A milter that cannot be reached is held back, with growing pauses.
 *
 * @module
 */
import type { Link, LinkSession } from "../../chain/link.ts";
import type { Agreement, Options } from "../../protocol/mod.ts";
import type { SessionHost } from "../../session/plan.ts";
import { type FailurePolicy, policyText } from "../../session/policy.ts";
import { type Address, formatAddress } from "../../transport/address.ts";
import { messageOf } from "../../transport/errors.ts";
import type { Connection } from "../../transport/types.ts";
import type { Carrier, CarrierEnd, CarrierUser, LinkLog, Supply } from "../relay/carrier.ts";
import { RelaySession } from "../relay/session.ts";
import { UpstreamConnection, type UpstreamOwner } from "./upstream_connection.ts";

/** Where a milter is and how to reach it. */
export interface UpstreamOptions {
  readonly name: string;
  readonly address: Address;
  readonly policy: FailurePolicy;
  /**
   * Opens a socket. It rejects when `signal` is aborted, or if the milter is not there within `timeout` ms; `dial` of
   * `transport/deno.ts` does both.
   */
  readonly dial: (
    address: Address,
    options: { readonly timeout: number; readonly signal: AbortSignal },
  ) => Promise<Connection>;
  readonly log: LinkLog;
  /** Clock, ms. */
  readonly now: () => number;
  readonly times?: Partial<UpstreamTimes>;
}

/** How long things may take, ms. */
export interface UpstreamTimes {
  /** For the socket to open. It should be less than the deadline of a command, so that the log can tell the two. */
  readonly connect: number;
  /** The first pause of a milter that cannot be reached; each next one is twice as long. */
  readonly firstPause: number;
  readonly longestPause: number;
}

/** What holds where nothing else is said. */
export const UPSTREAM_TIMES: UpstreamTimes = Object.freeze({
  connect: 5000,
  firstPause: 1000,
  longestPause: 60_000,
});

/** A milter that runs elsewhere. */
export class UpstreamLink implements Link, Supply {
  readonly name: string;
  readonly policy: FailurePolicy;
  readonly #options: UpstreamOptions;
  readonly #times: UpstreamTimes;
  readonly #where: string;
  readonly #open = new Set<UpstreamConnection>();
  readonly #closing = new AbortController();
  /** What was warned of; said once. */
  readonly #warned = new Set<string>();
  /** Attempts made so far. */
  #attempts = 0;
  /** Attempts that failed in a row. */
  #failures = 0;
  /** Attempts up to this one count no more: they began before it was known that the milter is not there. */
  #stale = 0;
  /** The attempt that finds out whether it is there again; 0 for none. */
  #probe = 0;
  #downSince = 0;
  #heldUntil = 0;
  #last = "";
  /** The last negotiation that it answered. */
  #agreed: { readonly offer: Options; readonly agreement: Agreement } | undefined;

  constructor(options: UpstreamOptions) {
    this.name = options.name;
    this.policy = options.policy;
    this.#options = options;
    this.#times = { ...UPSTREAM_TIMES, ...options.times };
    this.#where = formatAddress(options.address);
  }

  /** Connections to the milter. */
  get connections(): number {
    return this.#open.size;
  }

  open(host: SessionHost, answerData: boolean): LinkSession {
    return new RelaySession(this, host, answerData);
  }

  agreed(offer: Options, agreement: Agreement): void {
    this.#agreed = { offer, agreement };
  }

  foretell({ version, actions, protocol }: Options): Agreement | undefined {
    const { offer, agreement } = this.#agreed ?? {};
    const same = offer?.version === version && offer.actions === actions && offer.protocol === protocol;
    return same ? agreement : undefined;
  }

  close(): Promise<void> {
    this.#closing.abort(new Error("the filter was unloaded"));
    for (const connection of this.#open) {
      connection.end({ kind: "unavailable", message: "the filter was unloaded" });
    }
    return Promise.resolve();
  }

  acquire(user: CarrierUser): Promise<Carrier> | CarrierEnd {
    if (this.#closing.signal.aborted) return { kind: "unavailable", message: "the filter was unloaded" };
    if (this.#failures > 0 && (this.#probe !== 0 || this.#options.now() < this.#heldUntil)) {
      return { kind: "unavailable", message: `held back after failures: ${this.#last}` };
    }
    return this.#connect(user);
  }

  async #connect(user: CarrierUser): Promise<Carrier> {
    const attempt = ++this.#attempts;
    if (this.#failures > 0) this.#probe = attempt;
    const { address, dial } = this.#options;
    const { signal } = this.#closing;
    let socket: Connection;
    try {
      socket = await dial(address, { timeout: this.#times.connect, signal });
    } catch (error) {
      const message = messageOf(error);
      this.#failed(attempt, { kind: "unavailable", message });
      throw error;
    }
    const owner: UpstreamOwner = {
      where: this.#where,
      warn: (message) => this.#warn(message),
      reached: () => this.#reached(),
      failed: (end) => this.#failed(attempt, end),
      closed: (connection) => void this.#open.delete(connection),
    };
    const connection = new UpstreamConnection(owner, socket, user);
    this.#open.add(connection);
    // Closed while it was dialled.
    if (signal.aborted) {
      connection.abandon({ kind: "unavailable", message: "the filter was unloaded" });
      throw signal.reason;
    }
    return connection;
  }

  #reached(): void {
    if (this.#failures > 0) {
      const ms = Math.round(this.#options.now() - this.#downSince);
      this.#log("info", "answers again", { ms });
    }
    this.#failures = this.#probe = 0;
  }

  #failed(attempt: number, end: CarrierEnd | undefined): void {
    if (attempt === this.#probe) this.#probe = 0;
    if (end === undefined || attempt <= this.#stale || this.#closing.signal.aborted) return;
    // All that were under way find the same; together they are one failure.
    this.#stale = this.#attempts;
    this.#failures++;
    this.#last = end.message;
    const { firstPause, longestPause } = this.#times;
    const pause = this.#failures === 1 ? 0 : Math.min(longestPause, firstPause * 2 ** (this.#failures - 2));
    const now = this.#options.now();
    this.#heldUntil = now + pause;
    if (this.#failures > 1) {
      this.#log("debug", `is held back for ${pause} ms`, { pause });
      return;
    }
    this.#downSince = now;
    this.#log(
      "error",
      `cannot be reached (${end.kind}): ${end.message}. Until it answers, mail goes by its policy: ` +
        policyText(this.policy),
      { kind: end.kind },
    );
  }

  #warn(message: string): void {
    if (this.#warned.has(message) || this.#warned.size >= MOST_WARNINGS) return;
    this.#warned.add(message);
    this.#log("warn", message);
  }

  #log(
    level: "debug" | "info" | "warn" | "error",
    message: string,
    fields: Readonly<Record<string, unknown>> = {},
  ): void {
    this.#options.log.event(level, `Upstream milter "${this.name}" at ${this.#where} ${message}`, {
      filter: this.name,
      ...fields,
    });
  }
}

/** Different warnings of one milter; a milter that finds more ways to be odd has been told of enough. */
const MOST_WARNINGS = 20;
