/**
 * Stand-in for `@std/cli/parse-args` on sites that reach npm but not JSR: the part of it that millrace uses.
 *
 * Not here: dotted names that make nested objects, `boolean: true`, and types for alias names.
 *
 * @module
 */

type Name = string | undefined;
type Names<T extends Name> = T | ReadonlyArray<Extract<T, string>>;

/** What the flags are. Same names and meaning as in @std/cli. */
export interface ParseOptions<B extends Name = Name, S extends Name = Name, C extends Name = Name> {
  /** With `true`, what follows `--` goes to the result's `"--"` and not to `_`. */
  readonly "--"?: boolean;
  /** Other names of a flag. */
  readonly alias?: Readonly<Record<string, string | readonly string[]>>;
  /** Flags without a value; false unless given. */
  readonly boolean?: Names<B>;
  /** Flags whose value is kept as text. */
  readonly string?: Names<S>;
  /** Flags that may be repeated: an array, empty unless given. Of others the last one counts. */
  readonly collect?: Names<C>;
  /** Flags that `--no-NAME` sets to false. */
  readonly negatable?: string | readonly string[];
  /** Values of flags that are not given. */
  readonly default?: Readonly<Record<string, unknown>>;
  /** With `true`, everything after the first argument that is no flag goes to `_` unread. */
  readonly stopEarly?: boolean;
  /** Called for what is no known flag; `false` leaves it out of the result. `key` is missing for a non-flag. */
  readonly unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

type Values<B extends Name, S extends Name, C extends Name> =
  & { [K in Exclude<Extract<B, string>, C>]: boolean }
  & { [K in Exclude<Extract<S, string>, C>]?: string }
  & { [K in Extract<Extract<B, string>, C>]: boolean[] }
  & { [K in Extract<Extract<S, string>, C>]: string[] };

/** The flags by name, and in `_` what is no flag. */
export type Args<T = Record<string, unknown>> = T & Record<string, unknown> & { _: Array<string | number> };

type Value = string | number | boolean;

function list(names: string | readonly string[] | undefined): readonly string[] {
  return typeof names === "string" ? [names] : names ?? [];
}

/** Every name of a flag, the given one first. */
function sameFlag(
  alias: Readonly<Record<string, string | readonly string[]>>,
): Map<string, readonly string[]> {
  const groups = new Map<string, readonly string[]>();
  for (const [name, others] of Object.entries(alias)) {
    const group = [name, ...list(others)];
    for (const member of group) groups.set(member, [member, ...group.filter((other) => other !== member)]);
  }
  return groups;
}

function isNumeric(text: string): boolean {
  return text.trim() !== "" && Number.isFinite(Number(text));
}

function isBooleanWord(text: string | undefined): text is "true" | "false" {
  return text === "true" || text === "false";
}

/**
 * Reads command line arguments as @std/cli does: `--name value`, `--name=value`, `-n value`, `-abc`, `-n5`.
 *
 * A value that looks like a number becomes one unless the flag is listed in `string`.
 */
export function parseArgs<
  const B extends Name = undefined,
  const S extends Name = undefined,
  const C extends Name = undefined,
>(args: readonly string[], options: ParseOptions<B, S, C> = {}): Args<Values<B, S, C>> {
  const groups = sameFlag(options.alias ?? {});
  const names = (name: string): readonly string[] => groups.get(name) ?? [name];
  const all = (given: string | readonly string[] | undefined) => new Set(list(given).flatMap(names));
  const booleans = all(options.boolean as string | readonly string[] | undefined);
  const strings = all(options.string as string | readonly string[] | undefined);
  const collected = all(options.collect as string | readonly string[] | undefined);
  const negatable = all(options.negatable);
  const result: Record<string, unknown> & { _: Array<string | number> } = { _: [] };

  const store = (key: string, given: unknown, append: boolean) => {
    for (const name of names(key)) {
      const before = result[name];
      result[name] = !append ? given : Array.isArray(before) ? [...before, given] : [given];
    }
  };
  const set = (key: string, given: Value, arg: string) => {
    const known = booleans.has(key) || strings.has(key) || groups.has(key) || collected.has(key);
    if (!known && options.unknown?.(arg, key, given) === false) return;
    const value = typeof given === "string" && !strings.has(key) && isNumeric(given) ? Number(given) : given;
    store(key, value, collected.has(key));
  };
  const bare = (key: string): Value => strings.has(key) ? "" : true;

  const end = args.indexOf("--");
  const flags = end < 0 ? args : args.slice(0, end);
  const rest = end < 0 ? [] : args.slice(end + 1);

  for (let i = 0; i < flags.length; i++) {
    const arg = flags[i];
    if (arg.startsWith("--")) {
      i += readLong(arg, flags[i + 1]);
    } else if (arg.startsWith("-") && arg !== "-") {
      i += readShort(arg, flags[i + 1]);
    } else {
      if (options.unknown?.(arg) !== false) {
        result._.push(!strings.has("_") && isNumeric(arg) ? Number(arg) : arg);
      }
      if (options.stopEarly) {
        result._.push(...flags.slice(i + 1));
        break;
      }
    }
  }

  /** Handles one `--flag`; gives the number of following arguments it used up. */
  function readLong(arg: string, next: string | undefined): 0 | 1 {
    const equals = arg.indexOf("=", 3);
    if (equals > 0) {
      const key = arg.slice(2, equals);
      const text = arg.slice(equals + 1);
      set(key, booleans.has(key) ? text !== "false" : text, arg);
      return 0;
    }
    const key = arg.slice(2);
    if (key.startsWith("no-") && negatable.has(key.slice(3))) {
      store(key.slice(3), false, false);
      return 0;
    }
    if (next && !booleans.has(key) && !next.startsWith("-")) {
      set(key, next, arg);
      return 1;
    }
    if (isBooleanWord(next)) {
      set(key, next === "true", arg);
      return 1;
    }
    set(key, bare(key), arg);
    return 0;
  }

  /** Handles `-a`, `-abc`, `-n5` and `-n=5`; gives the number of following arguments it used up. */
  function readShort(arg: string, next: string | undefined): 0 | 1 {
    for (let i = 1; i < arg.length - 1; i++) {
      const key = arg[i];
      const tail = arg.slice(i + 1);
      if (tail === "-") {
        set(key, tail, arg);
        continue;
      }
      if (tail === "=") return set(key, "", arg), 0;
      if (/[A-Za-z]/.test(key)) {
        // As in @std/cli the value belongs to the first letter: -abc=5 gives a: 5.
        const equals = tail.indexOf("=");
        if (equals >= 0 && equals < tail.length - 1) return set(key, tail.slice(equals + 1), arg), 0;
        if (/-?\d+(\.\d*)?(e-?\d+)?$/.test(tail)) return set(key, tail, arg), 0;
      }
      if (/^\W./s.test(tail)) return set(key, tail, arg), 0;
      set(key, bare(key), arg);
    }
    const key = arg[arg.length - 1];
    if (key === "-") return 0;
    if (next && !booleans.has(key) && !/^--?[^-]/.test(next)) return set(key, next, arg), 1;
    if (isBooleanWord(next)) return set(key, next === "true", arg), 1;
    set(key, bare(key), arg);
    return 0;
  }

  for (const [key, value] of Object.entries(options.default ?? {})) {
    if (!Object.hasOwn(result, key)) store(key, value, false);
  }
  for (const key of booleans) {
    if (!Object.hasOwn(result, key)) result[key] = collected.has(key) ? [] : false;
  }
  for (const key of strings) {
    if (!Object.hasOwn(result, key) && collected.has(key)) result[key] = [];
  }
  if (options["--"]) result["--"] = rest;
  else result._.push(...rest);
  return result as Args<Values<B, S, C>>;
}
