/**
 * What a compiled program needs besides what its main module imports.
 *
 * @module
 */

/** Modules that start threads: Deno does not find them by itself. */
export const WORKER_ENTRIES: readonly string[] = [
  "src/links/sandbox/warden.ts",
  "src/links/sandbox/inmate.ts",
  "src/cli/serving/thread.ts",
];

/** The modules of the bundled filters: they are imported by a computed name. */
export function bundledFilters(root: URL): string[] {
  return [...Deno.readDirSync(new URL("filters/", root))]
    .filter(({ isDirectory }) => isDirectory)
    .map(({ name }) => `filters/${name}/mod.ts`)
    .sort();
}
