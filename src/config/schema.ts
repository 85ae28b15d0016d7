/**
 * The configuration: what may stand in it, what it means, and what holds where nothing stands.
 *
 * One zod schema is the source of the checks, of the {@linkcode Config} type and of the JSON Schema for editors.
 *
 * @module
 */
import { z } from "zod";
import { type Address, parseAddress, type UnixAddress } from "../transport/address.ts";
import { show } from "../text/show.ts";
import { FAILURE_KINDS, type FailureKind, type FailurePolicy } from "../session/policy.ts";
import { type Permissions, PermissionsSchema } from "./permissions.ts";
import { type FilterUse, readModuleUrl, readUse } from "./use.ts";
import { correctUnit, DURATION_PATTERN, parseDuration, parseSize, SIZE_PATTERN } from "./units.ts";

/** What a filter's failure means for the mail. */
export const ON_FAILURE = ["tempfail", "accept", "reject"] as const;
/** Where a filter runs: in a sandbox of its own, or in the program itself. */
export const ISOLATION = ["sandbox", "none"] as const;
/** How log lines are written; `auto` is text on a terminal and JSON elsewhere. */
export const LOG_FORMATS = ["auto", "text", "json"] as const;
/** Log levels, the talkative one first. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

/** Text that is read into a value; `read` throws a RangeError that says what is wrong. */
function text<T>(pattern: RegExp, complaint: (input: unknown) => string, read: (text: string) => T) {
  const error = (issue: { readonly input?: unknown }) => complaint(issue.input);
  return z.string({ error }).regex(pattern, { error }).transform((value, context) => {
    try {
      return read(value);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      context.issues.push({ code: "custom", message: error.message, input: value });
      return z.NEVER;
    }
  });
}

function within(
  value: number,
  least: string,
  most: string,
  parse: (text: string) => number | undefined,
): number {
  if (value < parse(least)! || value > parse(most)!) {
    throw new RangeError(`out of bounds: allowed are ${least} to ${most}`);
  }
  return value;
}

function unitComplaint(what: "duration" | "size", units: string, example: string) {
  return (input: unknown) => {
    const scalar = typeof input === "string" || typeof input === "number";
    const right = scalar ? correctUnit(String(input), what) : undefined;
    const advice = right ? `did you mean ${right}?` : `for example ${example}`;
    return `${show(input)} is not a ${what}: write a number and ${units}; ${advice}`;
  };
}

function duration(least: string, most: string) {
  return text(
    DURATION_PATTERN,
    unitComplaint("duration", "ms, s, m or h", "10s"),
    (value) => within(parseDuration(value)!, least, most, parseDuration),
  );
}

function size(least: string, most: string) {
  return text(
    SIZE_PATTERN,
    unitComplaint("size", "B, KiB, MiB or GiB", "64KiB"),
    (value) => within(parseSize(value)!, least, most, parseSize),
  );
}

function count(most: number) {
  const error = (issue: { readonly input?: unknown }) =>
    `${show(issue.input)} is not a whole number from 1 to ${most}`;
  return z.int({ error }).min(1, { error }).max(most, { error });
}

function addressComplaint(input: unknown): string {
  if (isMap(input)) {
    return `found a map: an address has no blank after its colon; write ${mapAsAddress(input)}`;
  }
  const advice = typeof input === "number"
    ? `a port needs its kind and host; write "inet:${input}@127.0.0.1"`
    : 'write "inet:PORT@HOST" or "unix:/PATH"';
  return `${show(input)} is not a listen address: ${advice}`;
}

const address = text(/^/, addressComplaint, (value): Address => parseAddress(value));

function isMap(input: unknown): input is Record<string, unknown> {
  return typeof input === "object" && input !== null && !Array.isArray(input);
}

function mapAsAddress(input: Record<string, unknown>): string {
  const [key, value] = Object.entries(input)[0] ?? [];
  const whole = typeof value === "string" || typeof value === "number";
  return whole ? show(`${key}:${value}`) : '"inet:PORT@HOST" or "unix:/PATH"';
}

/** Permission bits of the socket file. The parser hands over the digits as written, so `660` means what chmod does. */
const mode = text(
  /^(0o?)?[0-7]{3}$/,
  (input) => `${show(input)} is not a file mode: write three octal digits, for example 0660`,
  (value) => parseInt(value.slice(-3), 8),
).meta({ type: ["string", "integer"] });

const use = text(
  /^/,
  (input) => `${show(input)} is not a filter: write a path such as ./filter.ts, bundled:NAME, https: or jsr:`,
  readUse,
);

const timeout = () => duration("1ms", "1h");
const memory = () => size("16MiB", "4GiB");
const startTimeout = () => duration("100ms", "10m");

const outcome = () => z.enum(ON_FAILURE).optional();
const KIND_WORDS: Readonly<Record<FailureKind, string>> = {
  "error": "A hook threw.",
  "timeout": "A hook did not answer in time.",
  "bad-verdict": "A hook returned what is no verdict.",
  "limit": "The mail is larger than limits allow.",
  "crash": "The sandbox ended by itself.",
  "memory": "The sandbox took more memory than it may.",
  "protocol": "The sandbox answered what the protocol does not allow.",
  "unavailable": "The filter is not running: it could not start, or is held back after repeated failures.",
};
const byKind = z.strictObject({
  ...Object.fromEntries(FAILURE_KINDS.map((kind) => [kind, outcome().describe(KIND_WORDS[kind])])) as Record<
    FailureKind,
    ReturnType<typeof outcome>
  >,
  default: outcome().describe("All other failures."),
});
// The map first: complaints about a map come from the branch for maps.
const onFailure = () => z.union([byKind, z.enum(ON_FAILURE)]);

const file = (what: string) =>
  z.string({ error: (issue) => `${show(issue.input)} is not ${what}: write a path` })
    .regex(/^[^\p{Cc}]{1,1024}$/u, { error: (issue) => `${show(issue.input)} is not ${what}: write a path` });

const registry = text(
  /^/,
  (input) => `${show(input)} is not an address: write for example https://jsr.io/`,
  (value) => readModuleUrl(value).replace(/\/*$/, "/"),
);
const listen = z.union([address, z.array(address).min(1).max(64)], {
  error: (issue) => addressComplaint(issue.input),
});

const control = text(
  /^/,
  (input) =>
    `${
      show(input)
    } is not a control socket: write "unix:/PATH", for example "unix:/run/millrace/control.sock"`,
  (value): UnixAddress => {
    const address = parseAddress(value);
    if (address.kind === "unix") return address;
    throw new RangeError(
      `${
        show(value)
      } is no Unix socket: whoever reaches the control socket may reload, and only a file has an owner ` +
        'and a mode; write "unix:/PATH"',
    );
  },
);

const FILTER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const filterName = z.string().regex(FILTER_NAME, {
  error: (issue) => `${show(issue.input)} is not a filter name: letters, digits and . _ -, at most 64`,
});

const filter = z.strictObject({
  use: use.describe(
    "The filter module: a path (relative to this file) such as ./filter.ts, bundled:NAME, " +
      "https://HOST/PATH, or jsr:@SCOPE/NAME@RANGE/PATH.",
  ),
  name: filterName.optional().describe("Name in logs and reports. Default: from the module's file name."),
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
  on_failure: onFailure().optional().describe(
    "What a mail gets when this filter fails: tempfail (try again later), accept (as if the filter were not there), " +
      "reject; or by kind of failure, for example { timeout: accept, default: tempfail }. Default: defaults.on_failure.",
  ),
});

/** The schema. Its input is what stands in the YAML, its output has all defaults applied. */
export const ConfigSchema = z.strictObject({
  listen: listen.describe(
    'Where MTAs connect: one address or a list. "inet:8891@127.0.0.1", "inet6:8891@::1", "unix:/run/millrace/milter.sock".',
  ),
  socket: z.strictObject({
    mode: mode.optional().describe("Permission bits of Unix sockets, octal, for example 0660."),
    group: z.union([z.string().min(1), z.int().min(0)], {
      error: (issue) => `${show(issue.input)} is not a group: write its name or number`,
    }).optional().describe(
      "Group of Unix sockets, by name or number, so that the MTA may connect.",
    ),
  }).prefault({}).describe("For all Unix sockets in listen."),
  control: control.optional().describe(
    'Where `millrace reload` asks a running program: "unix:/run/millrace/control.sock". Mode 0600: the user that runs the ' +
      "program, and root. Default: none.",
  ),
  defaults: z.strictObject({
    timeout: timeout().prefault("10s").describe("Time for one hook of a filter."),
    start_timeout: startTimeout().prefault("30s").describe("Time for a filter to load and start."),
    on_failure: onFailure().default("tempfail").describe(
      "What a mail gets when a filter fails: tempfail (try again later), accept (as if the filter were not there), " +
        "reject; or by kind of failure, for example { timeout: accept, default: tempfail }.",
    ),
    memory: memory().prefault("64MiB").describe(
      "Memory of one sandbox: its heap, and as much again in buffers.",
    ),
  }).prefault({}).describe("For all filters that do not say otherwise."),
  limits: z.strictObject({
    connections: count(100_000).optional().describe("Connections from MTAs at once."),
    idle: duration("1s", "24h").optional().describe("A connection that is silent for so long is closed."),
    drain: duration("0s", "1h").optional().describe(
      "Time for open mails to finish when the program is told to stop.",
    ),
    frame: size("64KiB", "16MiB").optional().describe("One milter frame."),
    headers: size("1KiB", "1GiB").optional().describe("All header fields of a mail together."),
    body: size("1KiB", "4GiB").optional().describe(
      "The body of a mail, for filters that want the whole mail.",
    ),
    recipients: count(1_000_000).optional().describe("Recipients of a mail."),
  }).prefault({}).describe("Upper bounds; a mail or connection beyond them fails, the program lives on."),
  filters: z.array(filter).min(1).max(100).describe("The filters, in the order in which they see a mail."),
  cache: file("a folder").default("millrace.cache").describe(
    "Folder for fetched filters, written by `millrace lock`; relative to this file's folder.",
  ),
  lock: file("a file").default("millrace.lock").describe(
    "File with the hashes of all filter modules, written by `millrace lock`; relative to this file's folder.",
  ),
  jsr: registry.prefault("https://jsr.io/").describe("Where jsr: specifiers are looked up."),
  log: z.strictObject({
    format: z.enum(LOG_FORMATS).default("auto").describe(
      "text, json, or auto: text on a terminal, JSON elsewhere.",
    ),
    level: z.enum(LOG_LEVELS).default("info").describe("The least important level that is logged."),
  }).prefault({}).describe("The log goes to standard error, one line per mail."),
});

/** One filter as configured. */
export interface FilterConfig {
  readonly use: FilterUse;
  /** Unique among the filters. */
  readonly name: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** Paths as written: absolute, or relative to the folder of the configuration file. */
  readonly permissions: Permissions;
  readonly isolation: (typeof ISOLATION)[number];
  /** Bytes of heap for one sandbox, and as much again in buffers. */
  readonly memory: number;
  /** Sandboxes side by side. */
  readonly instances: number;
  /** Milliseconds for one hook. */
  readonly timeout: number;
  /** Milliseconds to load and start. */
  readonly startTimeout: number;
  readonly onFailure: FailurePolicy;
}

/** A configuration with all defaults applied: times in milliseconds, sizes in bytes. */
export interface Config {
  readonly listen: readonly Address[];
  /** For Unix sockets; `mode` as permission bits. */
  readonly socket: { readonly mode?: number; readonly group?: string | number };
  /** Where a running program takes orders; undefined for nowhere. */
  readonly control?: UnixAddress;
  /** What is left out here has the runtime's default. */
  readonly limits: z.output<typeof ConfigSchema>["limits"];
  readonly filters: readonly FilterConfig[];
  /** Folder for fetched filters, and the file with their hashes, as written. */
  readonly cache: string;
  readonly lock: string;
  /** Address of the JSR registry, with a slash at its end. */
  readonly jsr: string;
  readonly log: Readonly<z.output<typeof ConfigSchema>["log"]>;
}

/** The JSON Schema of the configuration, for editors. */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(ConfigSchema, {
    io: "input",
    override: ({ jsonSchema }) => {
      // A section whose entries are all commented out is read as an empty one.
      const optional = jsonSchema.default && JSON.stringify(jsonSchema.default) === "{}";
      if (optional && jsonSchema.type === "object") Object.assign(jsonSchema, { type: ["object", "null"] });
    },
  });
  return { ...schema, title: "Configuration of millrace" };
}
