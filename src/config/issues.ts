/**
 * From what the schema says to mistakes with a place in the text, and with advice.
 *
 * @module
 */
import type { z } from "zod";
import { nearest } from "../text/nearest.ts";
import { printable, show } from "../text/show.ts";
import type { ConfigIssue } from "./error.ts";
import { configJsonSchema } from "./schema.ts";
import { isMap } from "./values.ts";
import type { Path, YamlPositions } from "./yaml_position.ts";

/** More mistakes than this are not reported at once. */
const MAX_ISSUES = 20;

/** Where mistakes are: in a text, and in what it was read as. */
export interface Source {
  readonly positions: YamlPositions;
  readonly value: unknown;
}

/** Mistakes in the order of the text, but not without end. */
export function inOrder(issues: readonly ConfigIssue[]): ConfigIssue[] {
  return issues.toSorted((a, b) => a.line - b.line || a.column - b.column).slice(0, MAX_ISSUES);
}

/**
 * A mistake at a key, or at a value that has none.
 *
 * @param named The path that the message shows, if it is another.
 */
export function issueAt(path: Path, message: string, { positions }: Source, named: Path = path): ConfigIssue {
  const { key, value } = positions.locate(path);
  return { ...(key ?? value), path: pathText(named), message };
}

/** What the schema complains about. */
export function issuesOf(found: readonly z.core.$ZodIssue[], source: Source): ConfigIssue[] {
  return found.flatMap((issue) => flatten(issue, [], source));
}

function flatten(issue: z.core.$ZodIssue, parent: Path, source: Source): ConfigIssue[] {
  const path: Path = [...parent, ...issue.path.map((step) => typeof step === "number" ? step : String(step))];
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => unknownKey(key, path, knownKeys(path, source.value), source));
  }
  if (issue.code === "invalid_union") {
    const branch = isEntry(path)
      // A filter is the first kind of entry, an upstream milter the second.
      ? isMap(valueAt(source.value, path)) && issue.errors[isUpstream(path, source) ? 1 : 0]
      // The branch that liked the value's type says best what is wrong with it.
      : issue.errors.find((errors) => errors.some((e) => e.code !== "invalid_type" || e.path.length > 0));
    if (branch) return branch.flatMap((inner) => flatten(inner, path, source));
  }
  const { value } = source.positions.locate(path);
  return [{ ...value, path: pathText(path), message: issue.message }];
}

/** Keys that are none yet, but have a meaning for whoever writes them. */
const RESERVED: Readonly<Record<string, string>> = {
  "permissions.state":
    "state of a filter's own that outlives a restart comes with a later version; leave it out",
};

/** What to say of a key where only others are `known`. */
export function unknownKey(key: string, path: Path, known: readonly string[], source: Source): ConfigIssue {
  const at: Path = [...path, key];
  const reserved = RESERVED[`${String(path.at(-1))}.${key}`];
  if (reserved !== undefined) return issueAt(at, reserved, source, path);
  if (isEntry(path) && entryKeys().includes(key)) {
    const message = isUpstream(path, source)
      ? "is for filters: an upstream milter runs by itself, with rights, memory and options of its own; leave it out"
      : "is for upstream milters, and this is a filter; leave it out";
    return issueAt(at, message, source);
  }
  const meant = nearest(key, known);
  const advice = meant ? `did you mean ${meant}?` : `allowed here: ${known.join(", ")}`;
  return issueAt(at, `unknown key ${show(key)}; ${advice}`, source, path);
}

/** An entry of `filters:`, of which there are two kinds. */
function isEntry(path: Path): boolean {
  return path.length === 2 && path[0] === "filters";
}

function isUpstream(path: Path, source: Source): boolean {
  const entry = valueAt(source.value, path);
  return isMap(entry) && Object.hasOwn(entry, "upstream");
}

type JsonSchema = Readonly<Record<string, unknown>>;

let made: JsonSchema | undefined;

/** Made once: it is large, and asked for at each mistake. */
function rootSchema(): JsonSchema {
  return made ??= configJsonSchema();
}

/** The keys that entries of `filters:` can have, of either kind. */
export function entryKeys(): string[] {
  const entries = (rootSchema().properties as Record<string, JsonSchema>).filters.items as JsonSchema;
  return [
    ...new Set((entries.anyOf as JsonSchema[]).flatMap(({ properties }) => Object.keys(properties ?? {}))),
  ];
}

/** The keys that the schema has at a place, for the value that stands there. */
function knownKeys(path: Path, config: unknown): string[] {
  const root = rootSchema();
  let schema: JsonSchema = root;
  let value = config;
  for (const step of path) {
    const inner = typeof step === "number"
      ? schema.items
      : (schema.properties as JsonSchema | undefined)?.[step];
    value = valueAt(value, [step]);
    schema = mapSchema(inner as JsonSchema ?? {}, value, root);
  }
  return Object.keys(schema.properties ?? {});
}

/** Of alternatives, the one that is a map; of several, the one of which the value has what is required. */
function mapSchema(schema: JsonSchema, value: unknown, root: JsonSchema): JsonSchema {
  if (typeof schema.$ref === "string") {
    return (root.$defs as Record<string, JsonSchema>)[schema.$ref.replace(/^#\/\$defs\//, "")] ?? {};
  }
  const maps = (schema.anyOf as readonly JsonSchema[] | undefined)?.filter(({ properties }) =>
    properties !== undefined
  );
  if (maps === undefined) return schema;
  const fits = ({ required = [] }: { readonly required?: readonly string[] }) =>
    isMap(value) && required.every((key) => Object.hasOwn(value, key));
  return maps.find(fits) ?? maps[0] ?? schema;
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (inner, step) => typeof inner === "object" && inner !== null ? Reflect.get(inner, step) : undefined,
    value,
  );
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
