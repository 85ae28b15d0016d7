/**
 * From a module to a filter, and what a filter says of itself.
 *
 * @module
 */
import type { Declarations, Filter, FilterEnv, FilterModule } from "../filter/mod.ts";

/** What a filter says of itself, as plain data. */
export interface FilterDescription {
  readonly name: string | undefined;
  readonly hooks: readonly string[];
  readonly declared: Declarations;
}

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

/**
 * Imports a filter module and starts it, if it is a function.
 *
 * @throws {TypeError} if the default export is no filter. @throws whatever the module or its function throws.
 */
export async function loadFilter(
  load: () => Promise<{ default?: unknown }>,
  env: FilterEnv,
): Promise<Filter> {
  const { default: made } = await load();
  const filter = typeof made === "function" ? await (made as Exclude<FilterModule, Filter>)(env) : made;
  if (typeof filter !== "object" || filter === null || !HOOKS.some((hook) => hook in filter)) {
    throw new TypeError(
      `the default export is no filter: expected an object with at least one of ${HOOKS.join(", ")}`,
    );
  }
  return filter as Filter;
}

/** The filter as plain data: its hooks by name and its declarations. */
export function describeFilter(filter: Filter): FilterDescription {
  const { name, edits, needs, macros, leadingSpace, refusedRecipients } = filter;
  return {
    name,
    hooks: HOOKS.filter((hook) => filter[hook] !== undefined),
    declared: { edits, needs, macros, leadingSpace, refusedRecipients },
  };
}
