/**
 * The configuration: what may stand in it, what it means, and what holds where nothing stands.
 *
 * One zod schema is the source of the checks, of the {@linkcode Config} type and of the JSON Schema for editors.
 *
 * @module
 */
import { z } from "zod";
import { type Address, parseAddress } from "../transport/address.ts";
import { nearest } from "../text/nearest.ts";
import { show } from "../text/show.ts";
import { correctUnit, DURATION_PATTERN, parseDuration, parseSize, SIZE_PATTERN } from "./units.ts";

/** What a filter's failure means for the mail. */
export const ON_FAILURE = ["tempfail", "accept", "reject"] as const;
/** How log lines are written; `auto` is text on a terminal and JSON elsewhere. */
export const LOG_FORMATS = ["auto", "text", "json"] as const;
/** Log levels, the talkative one first. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

/** Where a filter module is. */
export type FilterUse =
  /** A bundled filter: the folder `filters/NAME` of the program. */
  | { readonly kind: "bundled"; readonly name: string }
  /** A file, as written: absolute, or relative to the folder of the configuration file. */
  | { readonly kind: "path"; readonly path: string };

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

function readUse(value: string): FilterUse {
  const bundled = /^bundled:(.*)$/.exec(value);
  if (bundled) {
    if (!/^[a-z0-9][a-z0-9_-]*$/.test(bundled[1])) {
      throw new RangeError(
        `${show(bundled[1])} is not the name of a bundled filter: write for example bundled:footer`,
      );
    }
    return { kind: "bundled", name: bundled[1] };
  }
  if (/^(\.{0,2}[\\/]|[A-Za-z]:[\\/])/.test(value)) return { kind: "path", path: value };
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]+):/.exec(value)?.[1];
  if (scheme === "file") throw new RangeError(`${show(value)}: write the plain path, without file:`);
  if (scheme && nearest(scheme, ["bundled"])) {
    throw new RangeError(`${show(value)}: did you mean bundled:${value.slice(scheme.length + 1)}?`);
  }
  if (scheme) {
    throw new RangeError(
      `${
        show(value)
      } cannot be loaded: this version loads files (./filter.ts, /etc/millrace/filter.ts) and bundled:NAME; ` +
        "fetch the module to a file first",
    );
  }
  const advice = value === ""
    ? "write ./filter.ts or bundled:NAME"
    : `write ./${value} for a file, bundled:${value} for a bundled filter`;
  throw new RangeError(`${show(value)} is neither a path nor a bundled filter: ${advice}`);
}

const use = text(
  /^/,
  (input) => `${show(input)} is not a filter: write a path such as ./filter.ts, or bundled:NAME`,
  readUse,
);

const timeout = () => duration("1ms", "1h");
const onFailure = () => z.enum(ON_FAILURE);
const listen = z.union([address, z.array(address).min(1).max(64)], {
  error: (issue) => addressComplaint(issue.input),
});

const FILTER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const filterName = z.string().regex(FILTER_NAME, {
  error: (issue) => `${show(issue.input)} is not a filter name: letters, digits and . _ -, at most 64`,
});

const filter = z.strictObject({
  use: use.describe(
    "The filter module: a path (relative to this file) such as ./filter.ts, or bundled:NAME.",
  ),
  name: filterName.optional().describe("Name in logs and reports. Default: from the module's file name."),
  options: z.record(z.string(), z.unknown()).prefault({}).describe(
    "Options for the filter. It says itself which it knows.",
  ),
  timeout: timeout().optional().describe("Time for one hook of this filter. Default: defaults.timeout."),
  on_failure: onFailure().optional().describe(
    "What a mail gets when this filter fails: tempfail (try again later), accept (as if the filter were not there), " +
      "reject. Default: defaults.on_failure.",
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
  defaults: z.strictObject({
    timeout: timeout().prefault("10s").describe("Time for one hook of a filter."),
    on_failure: onFailure().default("tempfail").describe(
      "What a mail gets when a filter fails: tempfail (try again later), accept (as if the filter were not there), reject.",
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
  /** Milliseconds for one hook. */
  readonly timeout: number;
  readonly onFailure: (typeof ON_FAILURE)[number];
}

/** A configuration with all defaults applied: times in milliseconds, sizes in bytes. */
export interface Config {
  readonly listen: readonly Address[];
  /** For Unix sockets; `mode` as permission bits. */
  readonly socket: { readonly mode?: number; readonly group?: string | number };
  /** What is left out here has the runtime's default. */
  readonly limits: z.output<typeof ConfigSchema>["limits"];
  readonly filters: readonly FilterConfig[];
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
