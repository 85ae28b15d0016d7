/**
 * What changed between two locks, for whoever has to say yes to it.
 *
 * @module
 */
import { plain as cut } from "./error.ts";
import type { Lock, LockedFilter, Wish } from "./lock.ts";

/** A filter's change; lists are in the order of their addresses or names. */
export interface FilterChange {
  /** `use:` as in the configuration. */
  readonly use: string;
  /** `rebuilt`: the same modules and redirects, but other JavaScript; the program that locked was another version. */
  readonly kind: "added" | "dropped" | "changed" | "rebuilt" | "same";
  /** The entry's address, if it is another one, as after a new version on JSR. */
  readonly entry: Change<string> | undefined;
  readonly modules: readonly Change<string>[];
  readonly redirects: readonly Change<string>[];
  readonly wishes: readonly Change<Wish>[];
}

/** Something that was there before, is there after, or both and different. */
export interface Change<T> {
  readonly key: string;
  readonly before: T | undefined;
  readonly after: T | undefined;
}

const NOTHING: LockedFilter = { entry: "", archive: "", wishes: {}, redirects: {}, modules: {} };

/** Compares two locks, filter by filter, in the order of their `use:`. */
export function diffLocks(before: Lock, after: Lock): readonly FilterChange[] {
  const uses = new Set([...Object.keys(before.filters), ...Object.keys(after.filters)]);
  return [...uses].sort().map((use) => diffFilter(use, own(before.filters, use), own(after.filters, use)));
}

/**
 * The change as text, `+` added, `-` dropped, `~` changed, one line a thing; empty if nothing changed. Redirects that
 * lead to another host and wishes for rights are spelled out, since they are what deserves a look.
 */
export function formatDiff(changes: readonly FilterChange[]): string {
  return changes.flatMap(linesOf).map((line) => `${line}\n`).join("");
}

/** Redirects that lead from one host to another: code from a server that the importer did not name. */
export function foreignRedirects(
  redirects: Readonly<Record<string, string>>,
): readonly (readonly [string, string])[] {
  return Object.entries(redirects).filter(([from, to]) => isForeign(from, to));
}

function diffFilter(
  use: string,
  before: LockedFilter | undefined,
  after: LockedFilter | undefined,
): FilterChange {
  const { entry: old, ...was } = before ?? NOTHING;
  const { entry: now, ...is } = after ?? NOTHING;
  const modules = diffMaps(was.modules, is.modules);
  const redirects = diffMaps(was.redirects, is.redirects);
  const wishes = diffMaps(was.wishes, is.wishes);
  const entry = old === now ? undefined : { key: use, before: old || undefined, after: now || undefined };
  const parts = modules.length + redirects.length + wishes.length + (entry ? 1 : 0);
  const kind = before === undefined
    ? "added"
    : after === undefined
    ? "dropped"
    : parts > 0
    ? "changed"
    : before.archive !== after.archive
    ? "rebuilt"
    : "same";
  return { use, kind, entry, modules, redirects, wishes };
}

function diffMaps<T extends Wish | string>(
  before: Readonly<Record<string, T>>,
  after: Readonly<Record<string, T>>,
): Change<T>[] {
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].sort()
    .map((key) => ({ key, before: own(before, key), after: own(after, key) }))
    .filter((change) => textOf(change.before) !== textOf(change.after));
}

function linesOf({ use, kind, entry, modules, redirects, wishes }: FilterChange): string[] {
  if (kind === "same") return [];
  if (kind === "dropped") return [`- ${plain(use)}`];
  if (kind === "rebuilt") return [`~ ${plain(use)}: same modules, compiled anew`];
  const lines = [`${kind === "added" ? "+" : "~"} ${plain(use)}`];
  if (entry?.after !== undefined && entry.after !== use) {
    lines.push(
      `  entry ${entry.before === undefined ? "" : `${plain(entry.before)} -> `}${plain(entry.after)}`,
    );
  }
  for (const change of modules) lines.push(`  ${signOf(change)} ${plain(change.key)}`);
  for (const change of redirects) {
    const { key, before, after } = change;
    const was = before !== undefined && after !== undefined ? ` (was ${plain(before)})` : "";
    const foreign = after !== undefined && isForeign(key, after) ? " (another host)" : "";
    lines.push(`  ${signOf(change)} redirect ${plain(key)} -> ${plain(after ?? before!)}${was}${foreign}`);
  }
  for (const change of wishes) {
    const { key, before, after } = change;
    const was = before !== undefined && after !== undefined ? ` (was ${textOf(before)})` : "";
    lines.push(`  ${signOf(change)} wishes for ${plain(key)}: ${textOf(after ?? before)}${was}`);
  }
  return lines;
}

function signOf({ before, after }: Change<unknown>): string {
  return before === undefined ? "+" : after === undefined ? "-" : "~";
}

function textOf(value: Wish | string | undefined): string {
  if (typeof value === "string") return plain(value);
  if (value === undefined) return "nothing";
  return value === true ? "everything" : [...value].sort().map((part) => plain(part)).join(", ") || "nothing";
}

/** Harmless on a terminal, and whole: a wish that is cut off could hide what it is about. */
function plain(text: string): string {
  return cut(text, Infinity);
}

function isForeign(from: string, to: string): boolean {
  const source = new URL(from);
  // A jsr: address means the registry's own server.
  return source.protocol !== "jsr:" && source.host !== new URL(to).host;
}

/** A key such as "__proto__" must not find what every object has. */
function own<T>(map: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}
