/**
 * The configuration: what may stand in it, what it means, and what holds where nothing stands.
 *
 * One zod schema is the source of the checks, of the {@linkcode Config} type and of the JSON Schema for editors.
 *
 * @module
 */
import { z } from "zod";
import { show } from "../text/show.ts";
import { type Address, parseAddress, type UnixAddress } from "../transport/address.ts";
import {
  FilterSchema,
  type LinkConfig,
  memory,
  onFailure,
  startTimeout,
  timeout,
  UpstreamSchema,
} from "./link_schema.ts";
import { readModuleUrl } from "./use.ts";
import { address, addressComplaint, count, duration, file, size, text } from "./values.ts";

export type { FilterConfig, LinkConfig, UpstreamConfig } from "./link_schema.ts";

/** How log lines are written; `auto` is text on a terminal and JSON elsewhere. */
export const LOG_FORMATS = ["auto", "text", "json"] as const;
/** Log levels, the talkative one first. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

/** Permission bits of the socket file. The parser hands over the digits as written, so `660` means what chmod does. */
const mode = text(
  /^(0o?)?[0-7]{3}$/,
  (input) => `${show(input)} is not a file mode: write three octal digits, for example 0660`,
  (value) => parseInt(value.slice(-3), 8),
).meta({ type: ["string", "integer"] });

const registry = text(
  /^/,
  (input) => `${show(input)} is not an address: write for example https://jsr.io/`,
  (value) => readModuleUrl(value).replace(/\/*$/, "/"),
);
const listenAddress = address("a listen address");
const listen = z.union([listenAddress, z.array(listenAddress).min(1).max(64)], {
  error: (issue) => addressComplaint("a listen address")(issue.input),
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

const entry = z.union([FilterSchema, UpstreamSchema], {
  error: (issue) => `${show(issue.input)} found, expected a map`,
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
  threads: count(64).default(1).describe(
    "Threads that serve the TCP addresses of listen side by side, each with filters and sandboxes of its own. " +
      "Unix sockets are served by the first alone.",
  ),
  control: control.optional().describe(
    'Where `millrace reload` asks a running program: "unix:/run/millrace/control.sock". Mode 0600: the user that runs the ' +
      "program, and root. Default: none.",
  ),
  defaults: z.strictObject({
    timeout: timeout().prefault("10s").describe(
      "Time for one hook of a filter, or one reply of an upstream milter.",
    ),
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
  spool: z.strictObject({
    memory: size("64KiB", "4GiB").prefault("64MiB").describe(
      "How much of the body of one mail is kept in memory for the filters after the first.",
    ),
    folder: file("a folder").optional().describe(
      "Folder for bodies that are larger; relative to this file's folder. Default: none.",
    ),
    over: z.enum(["tempfail", "reject"]).default("tempfail").describe(
      "What a mail gets whose body is larger, where there is no folder.",
    ),
  }).prefault({}).describe("Where a mail is kept between filters, if there are several."),
  filters: z.array(entry).min(1).max(100).describe(
    "The filters and upstream milters, in the order in which they see a mail.",
  ),
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

/** A configuration with all defaults applied: times in milliseconds, sizes in bytes. */
export interface Config {
  readonly listen: readonly Address[];
  /** For Unix sockets; `mode` as permission bits. */
  readonly socket: { readonly mode?: number; readonly group?: string | number };
  /** Threads for TCP addresses; the first, which is there in any case, counts. */
  readonly threads: number;
  /** Where a running program takes orders; undefined for nowhere. */
  readonly control?: UnixAddress;
  /** What is left out here has the runtime's default. */
  readonly limits: z.output<typeof ConfigSchema>["limits"];
  /** `memory`: bytes of one mail's body. `folder` as written: absolute, or relative to the configuration's folder. */
  readonly spool: Readonly<z.output<typeof ConfigSchema>["spool"]>;
  /** In the order in which they see a mail. */
  readonly filters: readonly LinkConfig[];
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
