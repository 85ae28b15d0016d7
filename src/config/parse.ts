/**
 * From the text of a configuration file to a {@linkcode Config}, or to the list of its mistakes. Reads no files.
 *
 * @module
 */
import { parse as parseYaml } from "@std/yaml";
import { z } from "zod";
import { ConfigError, type ConfigIssue } from "./error.ts";
import { nearest } from "../text/nearest.ts";
import { FAILURE_KINDS, type FailurePolicy, type Outcome } from "../session/policy.ts";
import { grantsAnything } from "./permissions.ts";
import { type Config, configJsonSchema, ConfigSchema, type FilterConfig } from "./schema.ts";
import { nameOf } from "./use.ts";
import { printable, show } from "../text/show.ts";
import { type Path, YamlPositions } from "./yaml_position.ts";

/** The longest configuration, in characters. */
const MAX_LENGTH = 1024 * 1024;
/** More mistakes than this are not reported at once. */
const MAX_ISSUES = 20;

/** Where the text comes from. */
export interface ParseOptions {
  /** Name of the file, for messages. */
  readonly file: string;
}

/**
 * Parses and checks a configuration.
 *
 * @throws {ConfigError} with every mistake that was found, each with line, column and what to write instead
 */
export function parseConfig(text: string, { file }: ParseOptions): Config {
  const fail = (issues: readonly ConfigIssue[]): never => {
    throw new ConfigError(file, issues);
  };
  if (text.length > MAX_LENGTH) {
    fail([{
      line: 1,
      column: 1,
      path: "",
      message: `${text.length} characters; at most ${MAX_LENGTH} are read`,
    }]);
  }
  const source = text.replace(/^\ufeff/, "");
  let value: unknown;
  try {
    value = parseYaml(source);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    fail([syntaxIssue(error)]);
  }
  const positions = new YamlPositions(source);
  const checked = ConfigSchema.safeParse(prepare(value, positions), { error: complaint });
  if (!checked.success) fail(issuesOf(checked.error.issues, positions));
  const { defaults, listen, filters, ...rest } = checked.data!;
  const general = policyOf(defaults.on_failure, undefined);
  const named = filters.map((filter): FilterConfig => ({
    use: filter.use,
    name: filter.name ?? nameOf(filter.use),
    options: filter.options,
    permissions: filter.permissions,
    isolation: filter.isolation,
    memory: filter.memory ?? defaults.memory,
    instances: filter.instances ?? 1,
    timeout: filter.timeout ?? defaults.timeout,
    startTimeout: filter.start_timeout ?? defaults.start_timeout,
    onFailure: filter.on_failure === undefined ? general : policyOf(filter.on_failure, general),
  }));
  const wrong = [
    ...duplicates(named, positions),
    ...filters.flatMap((filter, index) => unenforceable(filter, index, positions)),
  ];
  if (wrong.length > 0) fail(inOrder(wrong));
  return { ...rest, listen: Array.isArray(listen) ? listen : [listen], filters: named };
}

type OnFailure = Outcome | Readonly<Partial<Record<keyof FailurePolicy | "default", Outcome>>>;

/** The outcome of each kind of failure; what is not said is as in `general`, or tempfail. */
function policyOf(said: OnFailure, general: FailurePolicy | undefined): FailurePolicy {
  const outcome = (kind: keyof FailurePolicy): Outcome =>
    typeof said === "string" ? said : said[kind] ?? said.default ?? general?.[kind] ?? "tempfail";
  return Object.fromEntries(FAILURE_KINDS.map((kind) => [kind, outcome(kind)])) as FailurePolicy;
}

/** Line and column from the error of the YAML parser; its words without them. */
function syntaxIssue(
  error: SyntaxError & { readonly line?: unknown; readonly column?: unknown },
): ConfigIssue {
  const { line, column } = error;
  const message = error.message.split("\n")[0].replace(/ at line \d+, column \d+:?$/, "");
  return {
    line: typeof line === "number" ? line : 1,
    column: typeof column === "number" ? column : 1,
    path: "",
    message: `the text is not well-formed YAML: ${printable(message)}`,
  };
}

/**
 * What YAML gives otherwise than people mean it: a section whose entries are all commented out is null, and an
 * unquoted file mode is a number, octal or decimal by its first digit. The mode is taken as it was written.
 */
function prepare(value: unknown, positions: YamlPositions): unknown {
  if (!isMap(value)) return value;
  const config: Record<string, unknown> = { ...value };
  for (const section of ["socket", "defaults", "limits", "log"]) {
    if (config[section] === null) delete config[section];
  }
  if (isMap(config.socket) && typeof config.socket.mode === "number") {
    const { source } = positions.locate(["socket", "mode"]);
    if (source !== undefined) config.socket = { ...config.socket, mode: source };
  }
  if (Array.isArray(config.filters)) {
    config.filters = config.filters.map((filter) => {
      if (!isMap(filter)) return filter;
      const rest: Record<string, unknown> = { ...filter };
      for (const section of ["options", "permissions"]) if (rest[section] === null) delete rest[section];
      return rest;
    });
  }
  return config;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

const KINDS: Readonly<Record<string, string>> = {
  object: "a map",
  record: "a map",
  array: "a list",
  string: "text",
  boolean: "true or false",
};

/** Words for the mistakes on which the schema itself has none. */
function complaint(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      if (issue.input === undefined) return "is missing";
      return `${show(issue.input)} found, expected ${KINDS[issue.expected] ?? issue.expected}`;
    case "invalid_value": {
      const values = issue.values.map(String);
      const meant = typeof issue.input === "string" ? nearest(issue.input, values) : undefined;
      return `${show(issue.input)} is not one of ${values.join(", ")}${
        meant ? `; did you mean ${meant}?` : ""
      }`;
    }
    case "too_small":
      return issue.origin === "array" ? "the list is empty: expected at least one entry" : undefined;
    case "too_big":
      return issue.origin === "array" ? `too many entries: at most ${issue.maximum}` : undefined;
  }
}

/** The mistakes in the order of the text. */
function issuesOf(found: readonly z.core.$ZodIssue[], positions: YamlPositions): ConfigIssue[] {
  return inOrder(found.flatMap((issue) => flatten(issue, [], positions)));
}

function inOrder(issues: readonly ConfigIssue[]): ConfigIssue[] {
  return issues.toSorted((a, b) => a.line - b.line || a.column - b.column).slice(0, MAX_ISSUES);
}

/** Keys that are none yet, but have a meaning for whoever writes them. */
const RESERVED: Readonly<Record<string, string>> = {
  "permissions.state":
    "state of a filter's own that outlives a restart comes with a later version; leave it out",
};

function flatten(issue: z.core.$ZodIssue, parent: Path, positions: YamlPositions): ConfigIssue[] {
  const path: Path = [...parent, ...issue.path.map((step) => typeof step === "number" ? step : String(step))];
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => {
      const known = knownKeys(path);
      const meant = nearest(key, known);
      const { key: at, value } = positions.locate([...path, key]);
      const reserved = RESERVED[`${String(path.at(-1))}.${key}`];
      if (reserved !== undefined) return { ...(at ?? value), path: pathText(path), message: reserved };
      const advice = meant ? `did you mean ${meant}?` : `allowed here: ${known.join(", ")}`;
      return { ...(at ?? value), path: pathText(path), message: `unknown key ${show(key)}; ${advice}` };
    });
  }
  if (issue.code === "invalid_union") {
    // The branch that liked the value's type says best what is wrong with it.
    const branch = issue.errors.find((errors) =>
      errors.some((e) => e.code !== "invalid_type" || e.path.length > 0)
    );
    if (branch) return branch.flatMap((inner) => flatten(inner, path, positions));
  }
  const { value } = positions.locate(path);
  return [{ ...value, path: pathText(path), message: issue.message }];
}

/** The keys that the schema has at a place. */
function knownKeys(path: Path): string[] {
  let schema = configJsonSchema();
  for (const step of path) {
    const inner = typeof step === "number"
      ? schema.items
      : (schema.properties as Record<string, unknown>)?.[step];
    schema = inner as Record<string, unknown> ?? {};
    // Of alternatives, the one that is a map.
    const maps = schema.anyOf as readonly Record<string, unknown>[] | undefined;
    schema = maps?.find(({ properties }) => properties !== undefined) ?? schema;
  }
  return Object.keys(schema.properties ?? {});
}

/** `filters[0].options.text` */
function pathText(path: Path): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else text += (text && ".") + printable(step, 60);
  }
  return text;
}

/** Logs and reports tell filters apart by name. */
function duplicates(filters: readonly FilterConfig[], positions: YamlPositions): ConfigIssue[] {
  return filters.flatMap(({ name }, index) => {
    const first = filters.findIndex((filter) => filter.name === name);
    if (first === index) return [];
    const { value, key } = positions.locate(["filters", index, "name"]);
    const message = `the name ${show(name)} is taken by filters[${first}]; give this one a name: of its own`;
    return [{ ...(key ?? value), path: `filters[${index}]`, message }];
  });
}

/** What a sandbox enforces means nothing without one: better refused than believed. */
function unenforceable(
  filter: z.output<typeof ConfigSchema>["filters"][number],
  index: number,
  positions: YamlPositions,
): ConfigIssue[] {
  if (filter.isolation !== "none") return [];
  const at = (key: string, message: string): ConfigIssue => {
    const place = positions.locate(["filters", index, key]);
    return { ...(place.key ?? place.value), path: `filters[${index}].${key}`, message };
  };
  const found: ConfigIssue[] = [];
  if (grantsAnything(filter.permissions)) {
    found.push(at(
      "permissions",
      "with isolation: none a filter has all rights of the program, so these would hold nothing back; leave out one of the two",
    ));
  }
  for (const key of ["memory", "instances"] as const) {
    if (filter[key] === undefined) continue;
    found.push(at(key, "is for sandboxes, and isolation: none has none; leave out one of the two"));
  }
  if (filter.use.kind === "url" || filter.use.kind === "jsr") {
    found.push(at(
      "isolation",
      "none is for files and bundled filters: code from elsewhere runs in a sandbox; leave it out",
    ));
  }
  return found;
}
