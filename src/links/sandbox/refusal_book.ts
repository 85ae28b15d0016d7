/**
 * What a filter was refused: counted by right, and logged so that a filter that tries again and again cannot fill the
 * log.
 *
 * @module
 */
import { printable } from "../../text/show.ts";

/** Different accesses that are told apart; more are only counted. */
const MOST = 1000;
/** Refusals that are logged in one second. */
const RATE = 10;

/** Where a line about a refusal goes. */
export type RefusalLog = (
  message: string,
  fields: { readonly right: string; readonly value: string; readonly times: number },
) => void;

/** The refusals of one filter. What it is told comes out of the sandbox and is not trusted. */
export class RefusalBook {
  readonly #log: RefusalLog;
  readonly #now: () => number;
  readonly #counts = new Map<string, number>();
  readonly #times = new Map<string, number>();
  #second = 0;
  #logged = 0;

  /** @param now Clock, ms. */
  constructor(log: RefusalLog, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  /** How often each right was refused. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  /** Notes a refusal; the same one is logged at the first time and then at every tenfold of it. */
  note(right: unknown, value: unknown): void {
    const known = typeof right === "string" && /^[a-z]{1,20}$/.test(right) ? right : "unknown";
    const what = typeof value === "string" ? printable(value, 200) : "";
    if (this.#counts.size < 50 || this.#counts.has(known)) {
      this.#counts.set(known, (this.#counts.get(known) ?? 0) + 1);
    }
    const key = `${known} ${what}`;
    const times = (this.#times.get(key) ?? 0) + 1;
    if (this.#times.size < MOST || times > 1) this.#times.set(key, times);
    if (!/^10*$/.test(String(times))) return;
    const second = Math.floor(this.#now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#logged = 0;
    }
    if (++this.#logged > RATE) return;
    this.#log(`was refused ${known} access to "${what}"`, { right: known, value: what, times });
  }
}
