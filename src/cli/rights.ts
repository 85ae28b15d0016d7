/**
 * Rights: what a filter is granted, with paths made whole, and whether this process has it to give.
 *
 * @module
 */
import { type Permissions, type Right, RIGHTS } from "../config/permissions.ts";
import type { FilterConfig } from "../config/schema.ts";
import { maySharePorts, SHARED_FLAG } from "../transport/deno.ts";
import { CommandError } from "./command.ts";
import { pathUrl } from "./load_filter.ts";

/** A path of a `file:` URL, as Deno's flags and permissions take it. */
export function pathOfUrl(url: URL): string {
  const path = decodeURIComponent(url.pathname).replace(/^\/([A-Za-z]:\/)/, "$1");
  return path.length > 1 ? path.replace(/\/$/, "") : path;
}

/** The grants of a filter: relative paths start at the configuration's folder. */
export function grantsOf({ permissions }: FilterConfig, base: URL): Permissions {
  const whole = (paths: readonly string[]) => paths.map((path) => pathOfUrl(pathUrl(path, base)));
  return { ...permissions, read: whole(permissions.read), write: whole(permissions.write) };
}

/** The folders of the program's own modules from which it starts threads; a compiled program has them in itself. */
export function ownSource(compiled: boolean = Deno.build.standalone, ...more: readonly string[]): string[] {
  if (compiled) return [];
  const root = new URL("../../", import.meta.url);
  return ["src", ...more].map((folder) => pathOfUrl(new URL(folder, root)));
}

/**
 * The same for a thread of the program itself, with the stand-ins for JSR's packages where they are in use.
 *
 * @param yaml What one of these packages resolves to: a file, or `jsr:`.
 */
export function threadSource(
  compiled: boolean = Deno.build.standalone,
  yaml: string = import.meta.resolve("@std/yaml"),
): string[] {
  if (compiled || !yaml.startsWith("file:")) return ownSource(compiled);
  return [...ownSource(compiled), pathOfUrl(new URL(".", yaml))];
}

/** The same for a sandbox of this filter. */
export function runtimeSource({ use }: FilterConfig, compiled?: boolean): string[] {
  return ownSource(compiled, ...(use.kind === "bundled" ? [`filters/${use.name}`] : []));
}

/** A flag of Deno's: `--allow-net=127.0.0.1:25`. */
export function allowFlag(right: string, values: readonly string[]): string {
  // Deno splits at single commas.
  return `--allow-${right}=${values.map((value) => value.replaceAll(",", ",,")).join(",")}`;
}

function descriptor(right: Right, value: string): Deno.PermissionDescriptor {
  switch (right) {
    case "net":
      return { name: "net", host: value };
    case "read":
      return { name: "read", path: value };
    case "write":
      return { name: "write", path: value };
    case "env":
      return { name: "env", variable: value };
    case "sys":
      return { name: "sys", kind: value as "hostname" };
  }
}

/** Has this process the right itself? Of what Deno cannot be asked about, it is told when the sandbox starts. */
function hasRight(right: Right, value: string): boolean {
  if (value.includes("*")) return true;
  return Deno.permissions.querySync(descriptor(right, value)).state === "granted";
}

/**
 * A process cannot give a sandbox what it does not have.
 *
 * @throws {CommandError} that names the flag
 */
export function refuseMissingRights(config: FilterConfig, base: URL): void {
  const grants = grantsOf(config, base);
  for (const right of RIGHTS) {
    const missing = grants[right].find((value) => !hasRight(right, value));
    if (missing === undefined) continue;
    throw new CommandError(
      `Cannot run filter "${config.name}": the configuration grants it ${right} "${missing}", which this process has ` +
        `not itself; start it with ${allowFlag(right, [missing])} (millrace flags prints all that is needed)`,
      2,
    );
  }
  const hidden = firstHidden(runtimeSource(config));
  if (hidden === undefined) return;
  throw new CommandError(
    `Cannot run filter "${config.name}" in a sandbox: this process may not read the program's own source, from which ` +
      `the sandbox starts; start it with ${
        allowFlag("read", [hidden])
      } (millrace flags prints all that is needed)`,
    2,
  );
}

/** The first of these folders that this process may not read. */
function firstHidden(folders: readonly string[]): string | undefined {
  return folders.find((path) => !hasRight("read", path));
}

/**
 * Threads need the program's own source, as sandboxes do, and a flag of Deno's.
 *
 * @throws {CommandError} that names the flag
 */
export function refuseMissingThreadRights(threads: number): void {
  const hidden = firstHidden(threadSource());
  const missing = maySharePorts() ? hidden && allowFlag("read", [hidden]) : SHARED_FLAG;
  if (missing === undefined) return;
  throw new CommandError(
    `Cannot serve with ${threads} threads: Deno does not let this process ${
      missing === SHARED_FLAG
        ? "share an address"
        : "read the program's own source, from which a thread starts"
    }; start it with ${missing} (millrace flags prints all that is needed)`,
    2,
  );
}

/** May code of this program still be fetched from the network? Then a hole in a sandbox would reach further. */
export function importsAreOpen(): boolean {
  const ask = (host?: string) => Deno.permissions.querySync({ name: "import", host }).state;
  if (ask() === "denied") return false;
  // Deno has a list of its own making unless it is given one, and says "prompt" of every host in either case.
  return ask() === "granted" || ask("jsr.io") !== "granted";
}
