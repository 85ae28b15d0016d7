/**
 * Reads the arguments of a command by its {@linkcode CommandSpec}, and writes its help.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { nearest } from "../text/nearest.ts";
import { printable } from "../text/show.ts";
import { type CommandSpec, type Given, type OptionSpec, UsageError } from "./command.ts";

const COMMON: readonly OptionSpec[] = [
  { name: "help", short: "h", summary: "Show this help" },
  { name: "version", short: "V", summary: "Show the version" },
];

/** Was `--help` or `--version` given before any `--`? Looked at first, so that help comes whatever else is wrong. */
export function asksFor(what: "help" | "version", args: readonly string[]): boolean {
  const end = args.indexOf("--");
  const { name, short } = COMMON.find((option) => option.name === what)!;
  return (end < 0 ? args : args.slice(0, end)).some((arg) => arg === `--${name}` || arg === `-${short}`);
}

/**
 * Reads the arguments of a command.
 *
 * @throws {UsageError} for an unknown option, a missing value, a missing or superfluous operand
 */
export function readArgs(spec: CommandSpec, args: readonly string[]): Given {
  const options = [...spec.options, ...COMMON];
  const unknown: string[] = [];
  const parsed: Readonly<Record<string, unknown>> & { readonly _: readonly unknown[] } = parseArgs(
    [...args],
    {
      string: ["_", ...options.filter((option) => option.value).map(({ name }) => name)],
      boolean: options.filter((option) => !option.value).map(({ name }) => name),
      // Collected also where only one is allowed, to tell a repeated option from a single one.
      collect: options.filter((option) => option.value).map(({ name }) => name),
      alias: Object.fromEntries(options.flatMap(({ name, short }) => short ? [[name, short]] : [])),
      unknown: (arg, key) => {
        if (key === undefined) return true;
        unknown.push(arg);
        return false;
      },
    },
  );
  if (unknown.length > 0) throw new UsageError(unknownOption(unknown[0], options));
  const values = new Map<string, readonly string[]>();
  for (const option of spec.options) {
    if (option.value) values.set(option.name, valuesOf(option, parsed[option.name], args));
  }
  const operands = parsed._.map(String);
  checkOperands(spec, operands);
  const of = (name: string): readonly string[] => {
    const found = values.get(name);
    if (!found) throw new TypeError(`Cannot read option "${name}" of ${spec.name}: it has none of that name`);
    return found;
  };
  return { value: (name) => of(name).at(-1), values: of, has: (name) => parsed[name] === true, operands };
}

function valuesOf(option: OptionSpec, given: unknown, args: readonly string[]): readonly string[] {
  const values = (Array.isArray(given) ? given : []).map(String);
  const flag = `--${option.name}`;
  // An empty value is meant only where it was written: `--from=`.
  if (values.includes("") && !args.includes(`${flag}=`)) {
    throw new UsageError(`${flag} needs a value: ${flag} ${option.value}`);
  }
  if (values.length > 1 && !option.many) {
    throw new UsageError(`${flag} was given ${values.length} times, once is enough`);
  }
  if (values.length === 0 && option.required) throw new UsageError(`${flag} ${option.value} is missing`);
  return values;
}

function unknownOption(arg: string, options: readonly OptionSpec[]): string {
  const flag = arg.replace(/=.*$/s, "");
  const names = options.map(({ name }) => name);
  const meant = flag.startsWith("--") ? nearest(flag.slice(2), names) : undefined;
  const advice = meant
    ? `did you mean --${meant}?`
    : `known are ${names.map((name) => `--${name}`).join(", ")}`;
  return `unknown option "${printable(flag, 40)}"; ${advice}`;
}

function checkOperands(spec: CommandSpec, operands: readonly string[]): void {
  const [least, most] = spec.operandCount;
  if (operands.length < least) throw new UsageError(`${spec.operands} is missing`);
  if (operands.length > most) {
    throw new UsageError(
      `"${printable(operands[most], 60)}" is one argument too many` +
        (spec.operands ? `: expected ${spec.operands}` : ""),
    );
  }
}

/** The usage line of a command: `millrace check -c FILE`. */
export function usageOf(spec: CommandSpec): string {
  const required = spec.options.filter((option) => option.required).map((option) => `${flagText(option)}`);
  const others = spec.options.length > required.length ? ["[OPTIONS]"] : [];
  return ["millrace", spec.name, ...required, ...others, spec.operands].filter((part) => part !== "").join(
    " ",
  );
}

function flagText({ name, short, value }: OptionSpec): string {
  return (short ? `-${short}` : `--${name}`) + (value ? ` ${value}` : "");
}

/** The help of a command. */
export function helpOf(spec: CommandSpec): string {
  const rows = [...spec.options, ...COMMON].map((option): readonly [string, string] => [
    `${option.short ? `-${option.short}, ` : "    "}--${option.name}${
      option.value ? ` ${option.value}` : ""
    }`,
    option.summary + (option.many ? " (may be repeated)" : ""),
  ]);
  return `${spec.summary}\n\nUsage: ${usageOf(spec)}\n\nOptions:\n${table(rows)}` +
    (spec.notes ? `\n${spec.notes.trim()}\n` : "");
}

/** Two columns, indented. */
export function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join("");
}
