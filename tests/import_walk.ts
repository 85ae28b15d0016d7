// Reads which file imports what, from the source text alone: type imports count too, and nothing is loaded.

/** One import of a file: the specifier as written and, for a relative one, the path it means from the root. */
export type Import = {
  readonly specifier: string;
  readonly target: string | undefined;
  readonly typesOnly: boolean;
};

/** File path from the project root, with `/`, to its text. */
export type Files = ReadonlyMap<string, string>;

const STATIC = /^[ \t]*(?:import|export)(?=[\s{*])([^;"'`]*?)\bfrom\s*["']([^"']+)["']/gm;
const SIDE_EFFECT = /^[ \t]*import\s*["']([^"']+)["']/gm;
const DYNAMIC = /\b(?:import\s*\(|new\s+URL\()\s*["']([^"']+)["']/g;

/** The text without comment lines and line-end comments; examples in comments are no imports. */
export function codeOf(text: string): string {
  return text
    .split("\n")
    .map((line) => /^\s*(?:\/\/|\/\*|\*)/.test(line) ? "" : line.replace(/(^|\s)\/\/ .*$/, "$1"))
    .join("\n");
}

function isTypesOnly(clause: string): boolean {
  if (/^\s*type\b/.test(clause)) return true;
  const names = /\{([^}]*)\}/.exec(clause)?.[1].split(",").map((name) => name.trim()).filter(Boolean) ?? [];
  const besideBraces = clause.replace(/\{[^}]*\}/, "").replace(/[\s,]/g, "");
  return names.length > 0 && besideBraces === "" && names.every((name) => name.startsWith("type "));
}

/** The path that a relative specifier means, from the project root. */
function resolve(from: string, specifier: string): string | undefined {
  if (!/^\.{0,2}\//.test(specifier)) return undefined;
  return new URL(specifier, `file:///${from}`).pathname.slice(1);
}

/** Every import, re-export, `import()` and `new URL("…", import.meta.url)` of a file. */
export function importsOf(path: string, text: string): readonly Import[] {
  const code = codeOf(text);
  const found: Import[] = [];
  const add = (specifier: string, typesOnly: boolean) =>
    found.push({ specifier, target: resolve(path, specifier), typesOnly });
  for (const [, clause, specifier] of code.matchAll(STATIC)) add(specifier, isTypesOnly(clause));
  for (const [, specifier] of code.matchAll(SIDE_EFFECT)) add(specifier, false);
  for (const [, specifier] of code.matchAll(DYNAMIC)) {
    if (!/^(?:https?|file|data):/.test(specifier)) add(specifier, false);
  }
  return found;
}

/** The import cycles among the files, each as the list of its files, first one repeated at the end. */
export function cyclesIn(files: Files): readonly string[][] {
  const done = new Set<string>();
  const cycles: string[][] = [];
  const visit = (path: string, trail: readonly string[]) => {
    const at = trail.indexOf(path);
    if (at >= 0) {
      cycles.push([...trail.slice(at), path]);
      return;
    }
    const text = files.get(path);
    if (text === undefined || done.has(path)) return;
    for (const { target } of importsOf(path, text)) {
      if (target !== undefined) visit(target, [...trail, path]);
    }
    done.add(path);
  };
  for (const path of files.keys()) visit(path, []);
  return cycles;
}

/** All `.ts` files below the folders, which need not exist. Paths are relative to `root`. */
export function readTree(root: URL, folders: readonly string[]): Map<string, string> {
  const files = new Map<string, string>();
  const walk = (folder: string) => {
    let entries: Deno.DirEntry[];
    try {
      entries = [...Deno.readDirSync(new URL(`${folder}/`, root))];
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      throw error;
    }
    for (const entry of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory) walk(path);
      else if (path.endsWith(".ts")) files.set(path, Deno.readTextFileSync(new URL(path, root)));
    }
  };
  for (const folder of folders) walk(folder);
  return files;
}
