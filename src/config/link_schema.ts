/**
 * The entries of `filters:`: filters, and milters that run elsewhere.
 *
 * @module
 */
import { z } from "zod";
import { type Condition, when } from "../conditions/mod.ts";
import { FAILURE_KINDS, type FailureKind, type FailurePolicy } from "../session/policy.ts";
import { show } from "../text/show.ts";
import type { Address } from "../transport/address.ts";
import { refuseListenOnly } from "../transport/dialable.ts";
import { type Permissions, PermissionsSchema } from "./permissions.ts";
import { type FilterUse, readUse } from "./use.ts";
import { address, count, duration, size, text } from "./values.ts";

/** What a filter's failure means for the mail. */
export const ON_FAILURE = ["tempfail", "accept", "reject"] as const;
/** Where a filter runs: in a sandbox of its own, or in the program itself. */
export const ISOLATION = ["sandbox", "none"] as const;
/** Does a link decide, or is it only asked what it would do? */
export const MODES = ["enforce", "shadow"] as const;

const use = text(
  /^/,
  (input) => `${show(input)} is not a filter: write a path such as ./filter.ts, bundled:NAME, https: or jsr:`,
  readUse,
);

/** Time for one hook, or one reply. */
export const timeout = () => duration("1ms", "1h");
/** Memory of a sandbox. */
export const memory = () => size("16MiB", "4GiB");
/** Time for a filter to start. */
export const startTimeout = () => duration("100ms", "10m");

const outcome = () => z.enum(ON_FAILURE).optional();
const KIND_WORDS: Readonly<Record<FailureKind, string>> = {
  "error": "A hook threw.",
  "timeout": "A hook, or an upstream milter, did not answer in time.",
  "bad-verdict": "A hook returned what is no verdict.",
  "limit": "The mail is larger than limits allow.",
  "crash": "The sandbox, or the connection to the upstream milter, ended by itself.",
  "memory": "The sandbox took more memory than it may.",
  "protocol": "The sandbox or the upstream milter answered what the protocol does not allow.",
  "unavailable":
    "The filter is not running: it could not start, or is held back after repeated failures; or the upstream milter " +
    "cannot be reached.",
};
const byKind = z.strictObject({
  ...Object.fromEntries(FAILURE_KINDS.map((kind) => [kind, outcome().describe(KIND_WORDS[kind])])) as Record<
    FailureKind,
    ReturnType<typeof outcome>
  >,
  default: outcome().describe("All other failures."),
});
/** An outcome for all kinds of failure, or by kind. The map first: complaints about a map come from the branch for maps. */
export const onFailure = () => z.union([byKind, z.enum(ON_FAILURE)]);

const LINK_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const linkName = z.string().regex(LINK_NAME, {
  error: (issue) => `${show(issue.input)} is not a filter name: letters, digits and . _ -, at most 64`,
});

/** A share of all mails, as a number over 0 up to 1. */
const share = text(
  /^[0-9]{1,3}(?:\.[0-9]{1,3})?%$/,
  (input) => `${show(input)} is not a share of mails: write a percentage such as 10%`,
  (value) => {
    const percent = Number(value.slice(0, -1));
    if (percent < 0.1 || percent > 100) throw new RangeError("out of bounds: allowed are 0.1% to 100%");
    // In thousandths, so that 33.333% is not 0.33332999999999996.
    return Math.round(percent * 1000) / 100_000;
  },
);

/** What every entry may say. */
const common = {
  when: when.optional().describe(
    "Which mails go through it: a condition on client, envelope, header, size or macros of the mail server. Keys side by " +
      "side have all to hold, a list means one of its entries. Default: all mails.",
  ),
  mode: z.enum(MODES).default("enforce").describe(
    "enforce: what it says is done. shadow: it sees the mail, and what it would have done is only logged.",
  ),
  canary: share.default(1).describe(
    "The share of the mails concerned that go through it, picked at random: 0.1% to 100%. Default: 100%.",
  ),
  on_failure: onFailure().optional().describe(
    "What a mail gets when this one fails: tempfail (try again later), accept (as if it were not there), " +
      "reject; or by kind of failure, for example { timeout: accept, default: tempfail }. Default: defaults.on_failure.",
  ),
};

/** A filter: a module that runs here. */
export const FilterSchema = z.strictObject({
  use: use.describe(
    "The filter module: a path (relative to this file) such as ./filter.ts, bundled:NAME, " +
      "https://HOST/PATH, or jsr:@SCOPE/NAME@RANGE/PATH.",
  ),
  name: linkName.optional().describe("Name in logs and reports. Default: from the module's file name."),
  options: z.record(z.string(), z.unknown()).prefault({}).describe(
    "Options for the filter. It says itself which it knows.",
  ),
  permissions: PermissionsSchema.prefault({}).describe(
    "What the filter may touch. Default: nothing. `millrace check` shows what it wishes.",
  ),
  isolation: z.enum(ISOLATION).default("sandbox").describe(
    "sandbox: a thread of its own, with the permissions and the memory given here. none: in the program itself, with " +
      "all its rights; only for code that you trust.",
  ),
  memory: memory().optional().describe("Memory of one sandbox. Default: defaults.memory."),
  instances: count(64).optional().describe("Sandboxes side by side. Default: 1."),
  timeout: timeout().optional().describe("Time for one hook of this filter. Default: defaults.timeout."),
  start_timeout: startTimeout().optional().describe(
    "Time for this filter to load and start. Default: defaults.start_timeout.",
  ),
  ...common,
}).describe("A filter that runs here.");

/** An upstream milter: a program that runs elsewhere and speaks the milter protocol. */
export const UpstreamSchema = z.strictObject({
  upstream: address("the address of a milter", refuseListenOnly).describe(
    'Where a running milter listens: "inet:8891@127.0.0.1", "inet6:8891@::1", "unix:/run/opendkim/opendkim.sock".',
  ),
  name: linkName.optional().describe(
    "Name in logs and reports. Default: host and port, or the name of the socket file.",
  ),
  timeout: timeout().optional().describe("Time for one reply of this milter. Default: defaults.timeout."),
  connect_timeout: duration("1ms", "5m").prefault("5s").describe("Time to connect to this milter."),
  ...common,
}).describe("A milter that runs elsewhere.");

/** What is configured of every link. */
interface LinkBase {
  /** Unique among the links. */
  readonly name: string;
  /** Milliseconds for one hook, or one reply. */
  readonly timeout: number;
  readonly onFailure: FailurePolicy;
  /** Which mails go through it; undefined for all. */
  readonly when: Condition | undefined;
  readonly mode: (typeof MODES)[number];
  /** The share of these mails that do, over 0 up to 1. */
  readonly canary: number;
}

/** One filter as configured. */
export interface FilterConfig extends LinkBase {
  readonly kind: "filter";
  readonly use: FilterUse;
  readonly options: Readonly<Record<string, unknown>>;
  /** Paths as written: absolute, or relative to the folder of the configuration file. */
  readonly permissions: Permissions;
  readonly isolation: (typeof ISOLATION)[number];
  /** Bytes of heap for one sandbox, and as much again in buffers. */
  readonly memory: number;
  /** Sandboxes side by side. */
  readonly instances: number;
  /** Milliseconds to load and start. */
  readonly startTimeout: number;
}

/** One upstream milter as configured. */
export interface UpstreamConfig extends LinkBase {
  readonly kind: "upstream";
  readonly upstream: Address;
  /** Milliseconds to connect. */
  readonly connectTimeout: number;
}

/** One entry of `filters:`. */
export type LinkConfig = FilterConfig | UpstreamConfig;
