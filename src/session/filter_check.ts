/**
 * Is it a filter? Checked before it runs, so that a misspelt hook does not let mail pass in silence.
 *
 * @module
 */
import { EDIT_NAMES } from "../filter/mod.ts";
import { nearest } from "../text/nearest.ts";
import { printable, show } from "../text/show.ts";
import { thrownMessage } from "../text/thrown.ts";
import { macroLists } from "./wants.ts";

/** Hooks that a filter may have. */
export const HOOKS = Object.freeze(
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
const DECLARATIONS = [
  "name",
  "edits",
  "needs",
  "macros",
  "leadingSpace",
  "refusedRecipients",
  "noReply",
] as const;
const MAIL_STAGES = ["mail", "rcpt", "data", "header", "endOfHeaders", "body"] as const;

/** What other milter libraries call these hooks. */
const OTHER_NAMES: Readonly<Record<string, (typeof HOOKS)[number]>> = {
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

/** What is wrong with a module that has no default export. */
export function noDefault(module: Readonly<Record<string, unknown>>): string {
  const hooks = Object.keys(module).filter((name) => (HOOKS as readonly string[]).includes(name));
  if (hooks.length > 0) return `no default export; write \`export default { ${hooks.join(", ")} }\``;
  return "no default export; expected `export default { … }` with hooks, or a function that returns such an object";
}

/**
 * What is wrong with a filter object; undefined if nothing is.
 *
 * @param source Where the object comes from, as the beginning of a sentence.
 */
export function problemOf(filter: unknown, source: string): string | undefined {
  if (typeof filter !== "object" || filter === null || Array.isArray(filter)) {
    return `${source} ${show(filter)}, expected an object with hooks`;
  }
  const values = filter as Readonly<Record<string, unknown>>;
  const hooks = HOOKS.filter((name) => values[name] !== undefined);
  for (const hook of hooks) {
    if (typeof values[hook] !== "function") {
      return `hook ${hook} is ${show(values[hook])}, expected a function`;
    }
  }
  for (const name of namesOf(filter)) {
    const problem = strangeName(name, filter);
    if (problem !== undefined) return problem;
  }
  if (hooks.length === 0) return `it has no hook; expected at least one of ${HOOKS.join(", ")}`;
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
  const known: readonly string[] = [...HOOKS, ...DECLARATIONS];
  if (known.includes(name)) return undefined;
  const isFunction = typeof Reflect.get(filter, name) === "function";
  const bare = name.toLowerCase().replace(/^(xxfi|on|handle)_?|[_-]/g, "");
  // Data of the filter's own may be called anything that is not a declaration in another spelling.
  const meant = known.find((word) => word.toLowerCase() === bare) ??
    (isFunction
      ? Object.hasOwn(OTHER_NAMES, bare) ? OTHER_NAMES[bare] : nearest(name, HOOKS)
      : ["edits", "needs", "macros"].find((word) => word === `${bare}s`));
  if (meant !== undefined) {
    return `it has "${printable(name, 60)}", which means nothing here; did you mean ${meant}?`;
  }
  if (isFunction && Object.hasOwn(filter, name)) {
    return `it has a function "${printable(name, 60)}", which is no hook; hooks are ${HOOKS.join(", ")}; ` +
      "put functions of your own outside the object";
  }
  return undefined;
}

function declarationProblem(values: Readonly<Record<string, unknown>>): string | undefined {
  const lists = [["edits", EDIT_NAMES], ["needs", NEEDS], ["noReply", MAIL_STAGES]] as const;
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
    return `macros: ${thrownMessage(error)}`;
  }
}
