/**
 * From the text of a configuration file to a {@linkcode Config}, or to the list of its mistakes. Reads no files.
 *
 * @module
 */
import { parse as parseYaml } from "@std/yaml";
import type { z } from "zod";
import { nearest } from "../text/nearest.ts";
import { printable, show } from "../text/show.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import { ConfigError, type ConfigIssue } from "./error.ts";
import { inOrder, issueAt, issuesOf, type Source } from "./issues.ts";
import { linkIssues, linksOf, withoutKind } from "./links.ts";
import { type Config, ConfigSchema } from "./schema.ts";
import { isMap } from "./values.ts";
import { YamlPositions } from "./yaml_position.ts";

/** The longest configuration, in characters. */
const MAX_LENGTH = 1024 * 1024;

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
  text = text.replace(/^\ufeff/, "");
  let value: unknown;
  try {
    value = parseYaml(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    fail([syntaxIssue(error)]);
  }
  const positions = new YamlPositions(text);
  const source: Source = { positions, value: prepare(value, positions) };
  const unclear = withoutKind(source);
  const checked = ConfigSchema.safeParse(source.value, { error: complaint });
  if (!checked.success) {
    const rest = checked.error.issues.filter(({ path: [section, index] }) =>
      section !== "filters" || !unclear.has(Number(index ?? -1))
    );
    fail(inOrder([...[...unclear.values()].flat(), ...issuesOf(rest, source)]));
  }
  const { defaults: _, listen: where, ...rest } = checked.data!;
  const listen = Array.isArray(where) ? where : [where];
  const filters = linksOf(checked.data!);
  const wrong = linkIssues(checked.data!, filters, source);
  const { control } = rest;
  if (control !== undefined && listen.some((address) => formatAddress(address) === formatAddress(control))) {
    wrong.push(
      issueAt(["control"], "is one of the addresses where mail servers connect; choose another file", source),
    );
  }
  const unshared = rest.threads > 1 ? whyNotShared(listen) : undefined;
  if (unshared !== undefined) wrong.push(issueAt(["threads"], unshared, source));
  if (wrong.length > 0) fail(inOrder(wrong));
  return { ...rest, listen, filters };
}

/** Why several threads cannot serve these addresses; undefined if they can. */
function whyNotShared(listen: readonly Address[]): string | undefined {
  const shared = listen.filter((address) => address.kind === "inet");
  if (shared.length === 0) {
    return "is for TCP addresses, among which the system spreads connections, and listen has none; add one, for example " +
      '"inet:8891@127.0.0.1", or leave threads out';
  }
  const other = shared.find(({ port }) => port === 0);
  return other &&
    `needs one port for all of them, and ${formatAddress(other)} is another each time; write a port`;
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
  for (const section of ["socket", "defaults", "limits", "spool", "log"]) {
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
