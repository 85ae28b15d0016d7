/**
 * From a filter's entry in the configuration to a checked filter.
 *
 * @module
 */
import { nearest } from "../text/nearest.ts";
import type { FilterConfig } from "../config/schema.ts";
import { printable, show } from "../text/show.ts";
import { EDIT_NAMES, type Filter, type FilterEnv, type Log } from "../filter/mod.ts";
import { macroLists } from "../session/wants.ts";
import { CommandError } from "./command.ts";

/** Hooks that a filter may have. */
export const HOOK_NAMES = Object.freeze(
  [
    "negotiate",
    "connect",
    "helo",
    "mail",
    "rcpt",
    "data",
    "unknown",
    "header",
    "endOfHeaders",
    "body",
    "endOfMessage",
    "message",
    "abort",
    "close",
  ] as const,
);

const NEEDS = ["client", "helo", "sender", "recipients", "headers", "body"] as const;
const DECLARATIONS = ["name", "edits", "needs", "macros", "leadingSpace", "refusedRecipients"] as const;

/** What other milter libraries call these hooks. */
const OTHER_NAMES: Readonly<Record<string, (typeof HOOK_NAMES)[number]>> = {
  opt: "negotiate",
  envfrom: "mail",
  mailfrom: "mail",
  sender: "mail",
  from: "mail",
  envrcpt: "rcpt",
  rcptto: "rcpt",
  recipient: "rcpt",
  to: "rcpt",
  ehlo: "helo",
  hello: "helo",
  headers: "header",
  hdr: "header",
  eoh: "endOfHeaders",
  endheaders: "endOfHeaders",
  bodychunk: "body",
  chunk: "body",
  eom: "endOfMessage",
  eob: "endOfMessage",
  bodyeob: "endOfMessage",
  endofbody: "endOfMessage",
  endbody: "endOfMessage",
  end: "endOfMessage",
  quit: "close",
  disconnect: "close",
  reset: "abort",
  wholemessage: "message",
};

/** A filter that takes longer to start than this is given up, in milliseconds. */
const START_TIME = 60_000;

/** What a filter is loaded with. */
export interface LoadOptions {
  /** URL of the folder that relative paths start at, with a slash at its end. */
  readonly base: URL;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** The URL of a filter's module. */
export function filterUrl({ use }: FilterConfig, base: URL): URL {
  if (use.kind === "bundled") return new URL(`../../filters/${use.name}/mod.ts`, import.meta.url);
  const path = use.path.replaceAll("\\", "/");
  // As a path: `?`, `#` and `%` in it are letters of the name.
  return new URL(path.split("/").map(encodeURIComponent).join("/").replace(/^([A-Za-z])%3A/, "/$1:"), base);
}

/**
 * Loads a filter's module, starts it if it is a function, checks what comes out.
 *
 * @throws {CommandError} that names the filter, its file and what is wrong
 */
export async function loadFilter(config: FilterConfig, options: LoadOptions): Promise<Filter> {
  const url = filterUrl(config, options.base);
  const where = `filter "${config.name}" (${
    config.use.kind === "bundled" ? `bundled:${config.use.name}` : pathOf(url)
  })`;
  const fail = (what: string, cause?: unknown): never => {
    throw new CommandError(`Cannot load ${where}: ${what}`, 2, { cause });
  };
  let module: Readonly<Record<string, unknown>>;
  try {
    module = await import(url.href);
  } catch (error) {
    return fail(importProblem(error, config, url), error);
  }
  const made = module.default;
  if (made === undefined) return fail(noDefault(module));
  let filter: unknown = made;
  if (typeof made === "function") {
    try {
      const env: FilterEnv = { options: config.options, log: options.log, signal: options.signal };
      filter = await inTime(made(env));
    } catch (error) {
      return fail(`its function failed: ${messageOf(error)}`, error);
    }
  }
  const problem = problemOf(
    filter,
    typeof made === "function" ? "its function returned" : "its default export is",
  );
  if (problem !== undefined) return fail(problem);
  return filter as Filter;
}

/** Waits for the filter's start, but not for ever. */
async function inTime(started: unknown): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${START_TIME / 1000} s`)), START_TIME);
  });
  try {
    return await Promise.race([started, late]);
  } finally {
    clearTimeout(timer);
  }
}

function pathOf(url: URL): string {
  return decodeURIComponent(url.pathname);
}

function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  // A filter may list several mistakes in its options, one a line.
  return text.slice(0, 4000).split("\n").map((line) => printable(line, 500)).join("\n");
}

function importProblem(error: unknown, { use }: FilterConfig, url: URL): string {
  const message = messageOf(error);
  // Deno names the module that it did not find: this one, or one that it imports.
  if (message.startsWith(`Module not found "${url.href}"`)) {
    return use.kind === "bundled" ? "no such filter is bundled" : "there is no such file";
  }
  // Deno gives this as a TypeError, not as NotCapable.
  if (/^Requires \w+ access/.test(message)) {
    return `Deno was started without a right that this needs: ${message}`;
  }
  return message;
}

function noDefault(module: Readonly<Record<string, unknown>>): string {
  const hooks = Object.keys(module).filter((name) => (HOOK_NAMES as readonly string[]).includes(name));
  if (hooks.length > 0) return `no default export; write \`export default { ${hooks.join(", ")} }\``;
  return "no default export; expected `export default { … }` with hooks, or a function that returns such an object";
}

/** What is wrong with a filter object; undefined if nothing is. */
function problemOf(filter: unknown, source: string): string | undefined {
  if (typeof filter !== "object" || filter === null || Array.isArray(filter)) {
    return `${source} ${show(filter)}, expected an object with hooks`;
  }
  const values = filter as Readonly<Record<string, unknown>>;
  const hooks = HOOK_NAMES.filter((name) => values[name] !== undefined);
  for (const hook of hooks) {
    if (typeof values[hook] !== "function") {
      return `hook ${hook} is ${show(values[hook])}, expected a function`;
    }
  }
  for (const name of namesOf(filter)) {
    const problem = strangeName(name, filter);
    if (problem !== undefined) return problem;
  }
  if (hooks.length === 0) return `it has no hook; expected at least one of ${HOOK_NAMES.join(", ")}`;
  return declarationProblem(values);
}

/** Names of all properties, those of a class included. */
function namesOf(filter: object): string[] {
  const names = new Set<string>();
  for (let level = filter; level && level !== Object.prototype; level = Object.getPrototypeOf(level)) {
    for (const name of Object.getOwnPropertyNames(level)) names.add(name);
  }
  names.delete("constructor");
  return [...names];
}

/** Is a property no hook and no declaration, but looks like one? A misspelt hook would silently never be called. */
function strangeName(name: string, filter: object): string | undefined {
  const known: readonly string[] = [...HOOK_NAMES, ...DECLARATIONS];
  if (known.includes(name)) return undefined;
  const isFunction = typeof Reflect.get(filter, name) === "function";
  const bare = name.toLowerCase().replace(/^(xxfi|on|handle)_?|[_-]/g, "");
  // Data of the filter's own may be called anything that is not a declaration in another spelling.
  const meant = known.find((word) => word.toLowerCase() === bare) ??
    (isFunction
      ? Object.hasOwn(OTHER_NAMES, bare) ? OTHER_NAMES[bare] : nearest(name, HOOK_NAMES)
      : ["edits", "needs", "macros"].find((word) => word === `${bare}s`));
  if (meant !== undefined) {
    return `it has "${printable(name, 60)}", which means nothing here; did you mean ${meant}?`;
  }
  if (isFunction && Object.hasOwn(filter, name)) {
    return `it has a function "${printable(name, 60)}", which is no hook; hooks are ${
      HOOK_NAMES.join(", ")
    }; ` +
      "put functions of your own outside the object";
  }
  return undefined;
}

function declarationProblem(values: Readonly<Record<string, unknown>>): string | undefined {
  const lists = [["edits", EDIT_NAMES], ["needs", NEEDS]] as const;
  for (const [key, allowed] of lists) {
    const value = values[key];
    if (value === undefined) continue;
    if (!Array.isArray(value)) return `${key} is ${show(value)}, expected a list of ${allowed.join(", ")}`;
    const strange = value.find((entry) => !(allowed as readonly unknown[]).includes(entry));
    if (strange !== undefined) {
      const meant = typeof strange === "string" ? nearest(strange, allowed) : undefined;
      return `${key} has ${show(strange)}; ${
        meant ? `did you mean ${meant}?` : `allowed are ${allowed.join(", ")}`
      }`;
    }
  }
  if (values.name !== undefined && typeof values.name !== "string") {
    return `name is ${show(values.name)}, expected text`;
  }
  for (const key of ["leadingSpace", "refusedRecipients"]) {
    if (values[key] !== undefined && typeof values[key] !== "boolean") {
      return `${key} is ${show(values[key])}, expected true or false`;
    }
  }
  return macrosProblem(values.macros);
}

const MACRO_STAGES = ["connect", "helo", "mail", "rcpt", "data", "endOfHeaders", "endOfMessage"];

function macrosProblem(macros: unknown): string | undefined {
  if (macros === undefined) return undefined;
  if (typeof macros !== "object" || macros === null) return `macros is ${show(macros)}, expected an object`;
  for (const [stage, names] of Object.entries(macros)) {
    if (!MACRO_STAGES.includes(stage)) {
      const meant = nearest(stage, MACRO_STAGES) ?? OTHER_NAMES[stage];
      return `macros has stage "${printable(stage, 60)}"; ${
        meant ? `did you mean ${meant}?` : `stages are ${MACRO_STAGES.join(", ")}`
      }`;
    }
    if (!Array.isArray(names) || names.some((name) => typeof name !== "string")) {
      return `macros.${stage} is ${show(names)}, expected a list of names such as "{auth_authen}"`;
    }
  }
  try {
    macroLists(macros);
  } catch (error) {
    return `macros: ${messageOf(error)}`;
  }
}
