/**
 * From a module to a filter, and what a filter says of itself.
 *
 * @module
 */
import type { Declarations, Filter, FilterEnv } from "../filter/mod.ts";
import { thrownMessage } from "../text/thrown.ts";
import { HOOKS, noDefault, problemOf } from "./filter_check.ts";
import { checkOptions, FilterError, type ManifestData, readManifest, trimManifest } from "./manifest.ts";

/** What a filter says of itself, as plain data. */
export interface FilterDescription {
  readonly name: string | undefined;
  readonly hooks: readonly string[];
  readonly declared: Declarations;
  /** Undefined if its module has none. */
  readonly manifest: ManifestData | undefined;
}

/** A filter and what its module says besides. */
export interface LoadedFilter {
  readonly filter: Filter;
  readonly manifest: ManifestData | undefined;
}

/**
 * Imports a filter module, checks its options, starts it if it is a function, and checks what comes out.
 *
 * @throws {FilterError} if it is no filter, or the options are wrong, or its function failed.
 * @throws whatever `load` throws.
 */
export async function loadFilter(
  load: () => Promise<Readonly<Record<string, unknown>>>,
  env: FilterEnv,
): Promise<LoadedFilter> {
  const module = await load();
  const made = module.default;
  if (made === undefined) throw new FilterError(noDefault(module));
  const manifest = readManifest(module.manifest);
  const options = await checkOptions(manifest?.options, env.options);
  let filter: unknown = made;
  if (typeof made === "function") {
    try {
      filter = await made({ ...env, options });
    } catch (error) {
      throw new FilterError(`its function failed: ${thrownMessage(error)}`, { cause: error });
    }
  }
  const problem = problemOf(
    filter,
    typeof made === "function" ? "its function returned" : "its default export is",
  );
  if (problem !== undefined) throw new FilterError(problem);
  return { filter: filter as Filter, manifest: manifest?.data };
}

/** The filter as plain data: its hooks by name, its declarations, its manifest. */
export function describeFilter({ filter, manifest }: LoadedFilter): FilterDescription {
  const { name, edits, needs, macros, leadingSpace, refusedRecipients, noReply } = filter;
  return {
    name,
    hooks: HOOKS.filter((hook) => filter[hook] !== undefined),
    declared: { edits, needs, macros, leadingSpace, refusedRecipients, noReply },
    manifest,
  };
}

const nothing = (): void => {};

/**
 * What a sandbox says of its filter, held against what can be said: the hooks and declarations as a filter whose hooks
 * do nothing, to ask what it wants from the MTA.
 *
 * @throws {FilterError} if it is no description
 */
export function readDescription(value: unknown): LoadedFilter {
  const { name, hooks, declared, manifest } = Object(value) as Partial<
    Record<keyof FilterDescription, unknown>
  >;
  const list: readonly unknown[] = Array.isArray(hooks) ? hooks : [];
  const { edits, needs, macros, leadingSpace, refusedRecipients, noReply } = Object(declared) as Declarations;
  const filter: Record<string, unknown> = {
    name,
    edits,
    needs,
    macros,
    leadingSpace,
    refusedRecipients,
    noReply,
    ...Object.fromEntries(HOOKS.filter((hook) => list.includes(hook)).map((hook) => [hook, nothing])),
  };
  const problem = problemOf(filter, "its description is");
  if (problem !== undefined) throw new FilterError(problem);
  return { filter, manifest: trimManifest(manifest) };
}
