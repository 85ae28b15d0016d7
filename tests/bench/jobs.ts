/**
 * The jobs that are measured: what filter each side runs, and what mail it gets.
 *
 * @module
 */

/** One job. */
export interface Job {
  readonly name: string;
  /** What `--help` says. */
  readonly what: string;
  /** What the load generator checks: its own option --job. */
  readonly check: "noop" | "headers" | "body";
  /** Octets of each body. */
  readonly body: number;
  /** The millrace filters, in their order: modules in `filters/`. */
  readonly filters: readonly string[];
  /** The job that peers know by this name; what they do for it is in their own source. */
  readonly peerJob: string;
  /** Peers that have it, by name; undefined: all. */
  readonly peers?: readonly string[];
}

const KIB = 1024;

/** All jobs, in the order of the table. */
export const JOBS: readonly Job[] = [
  {
    name: "noop",
    what: "every event is answered, nothing is done",
    check: "noop",
    body: 2 * KIB,
    filters: ["noop.ts"],
    peerJob: "noop",
  },
  {
    name: "headers",
    what: "each header field is looked at, one is added",
    check: "headers",
    body: 2 * KIB,
    filters: ["headers.ts"],
    peerJob: "headers",
  },
  {
    name: "message",
    what: "the same mail as headers, with the message hook, which gets the whole mail",
    check: "headers",
    body: 2 * KIB,
    filters: ["message.ts"],
    peerJob: "headers",
  },
  {
    name: "chain",
    what:
      "three message filters in a row, each sees the fields that those before it added; peers: headers, one filter",
    check: "headers",
    body: 2 * KIB,
    filters: ["message.ts", "message.ts", "message.ts"],
    peerJob: "headers",
    peers: ["libmilter"],
  },
  {
    name: "body",
    what: "a body of 1 MiB is hashed, one header field is added",
    check: "body",
    body: KIB * KIB,
    filters: ["body.ts"],
    peerJob: "body",
  },
  {
    name: "message-headers",
    what: "as message, and declares that it needs only the header",
    check: "headers",
    body: 2 * KIB,
    filters: ["message_headers.ts"],
    peerJob: "headers",
  },
  {
    name: "message-nr",
    what: "as message-headers, against a libmilter filter that asks not to answer headers either",
    check: "headers",
    body: 2 * KIB,
    filters: ["message_headers.ts"],
    peerJob: "headers-nr",
    peers: ["libmilter"],
  },
];

/** Jobs that run when none are named. */
export const DEFAULT_JOBS: readonly string[] = ["noop", "headers", "message", "chain", "body"];

/** The job of that name, which must exist. */
export function jobNamed(name: string): Job {
  const job = JOBS.find((job) => job.name === name);
  if (!job) throw new Error(`There is no job "${name}"`);
  return job;
}
