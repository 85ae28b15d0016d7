/**
 * What a chain is made from.
 *
 * @module
 */
import type { MailLimits } from "../session/plan.ts";
import type { ChainCounters } from "./counters.ts";
import type { Link } from "./link.ts";
import type { Selector } from "./selector.ts";
import type { SpoolOptions } from "./spool.ts";

/** A link's place in a chain. */
export interface ChainEntry {
  readonly link: Link;
  /** Time for one call, ms. */
  readonly timeout: number;
  /** Which mails concern it. Default: all. */
  readonly when?: Selector;
  /** `shadow`: it is asked what it would do, and has no effect. Default: `enforce`. */
  readonly mode?: "enforce" | "shadow";
  /** The share of mails that it gets, over 0 up to 1. Default: 1. */
  readonly canary?: number;
}

/** A link that is tried out. */
export interface ShadowEntry {
  readonly entry: ChainEntry;
  /** How many of the links in force are before it. */
  readonly place: number;
}

/** What bounds a chain, and what a mail over these bounds gets. */
export interface ChainLimits {
  readonly spool: SpoolOptions;
  readonly over: "tempfail" | "reject";
  readonly limits: Pick<MailLimits, "headers" | "recipients">;
}

/** A chain as its sessions see it. */
export interface ChainOptions extends ChainLimits {
  /** Links in force, in order. */
  readonly entries: readonly ChainEntry[];
  readonly shadows: readonly ShadowEntry[];
  readonly counters: ChainCounters;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
}

/** What holds where nothing else is said. */
export const CHAIN_LIMITS: ChainLimits = Object.freeze({
  spool: { memory: 64 * 1024 ** 2 },
  over: "tempfail",
  limits: { headers: 1024 ** 2, recipients: 10_000 },
});
