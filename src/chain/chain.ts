/**
 * The links of a process in their order, as one thing that a server serves.
 *
 * @module
 */
import type { SessionHost } from "../session/plan.ts";
import type { Link } from "./link.ts";
import type { Session } from "./session.ts";
import { SoloSession } from "./solo_session.ts";

/** A link's place in a chain. */
export interface ChainEntry {
  readonly link: Link;
  /** Time for one call, ms. */
  readonly timeout: number;
}

/** Links in order. Whoever made the links closes them. */
export class Chain {
  readonly entries: readonly ChainEntry[];

  /** @throws {RangeError} without an entry. */
  constructor(entries: readonly ChainEntry[]) {
    if (entries.length === 0) throw new RangeError("Cannot make a chain of no links: at least one is needed");
    this.entries = entries;
  }

  /** The names of the links, in order. */
  get name(): string {
    return this.entries.map(({ link }) => link.name).join(", ");
  }

  /**
   * Opens a session for one MTA connection.
   *
   * @param answerData Negotiate for a carrier with delayed acknowledgements; see `wantsOf`.
   */
  open(host: SessionHost, answerData: boolean): Session {
    const [{ link, timeout }] = this.entries;
    return new SoloSession(link.open(hostFor(host, link.name), answerData), timeout, host.now);
  }
}

/** A host whose log lines bear a link's name. */
function hostFor(host: SessionHost, filter: string): SessionHost {
  const { log } = host;
  const named =
    (write: typeof log.info) => (message: string, fields?: Readonly<Record<string, unknown>>): void =>
      write(message, { ...fields, filter });
  return {
    ...host,
    log: { debug: named(log.debug), info: named(log.info), warn: named(log.warn), error: named(log.error) },
  };
}
