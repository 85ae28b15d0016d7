/**
 * The command line: finds the command, and turns what goes wrong into a message and an exit code.
 *
 * @module
 */
import { ConfigError } from "../config/error.ts";
import { nearest } from "../text/nearest.ts";
import { printable } from "../text/show.ts";
import { asksFor, helpOf, readArgs, table } from "./args.ts";
import { type CommandEntry, CommandError, UsageError } from "./command.ts";
import { denoIo, type Io } from "./io.ts";
import { VERSION } from "./version.ts";

const COMMANDS: readonly CommandEntry[] = [
  {
    name: "serve",
    summary: "Run the filters of a configuration for Postfix and Sendmail",
    load: () => import("./commands/serve.ts"),
  },
  {
    name: "reload",
    summary: "Have the running program read its configuration anew",
    load: () => import("./commands/reload.ts"),
  },
  {
    name: "check",
    summary: "Check a configuration, load its filters, show what each wants from the MTA",
    load: () => import("./commands/check.ts"),
  },
  {
    name: "lock",
    summary: "Fetch the filters of a configuration and pin them; show what changed",
    load: () => import("./commands/lock.ts"),
  },
  {
    name: "flags",
    summary: "Print the smallest set of Deno flags with which serve runs a configuration",
    load: () => import("./commands/flags.ts"),
  },
  {
    name: "try",
    summary: "Run mails through the filters offline: verdict, edits, difference",
    load: () => import("./commands/try.ts"),
  },
  {
    name: "send",
    summary: "Play the MTA: send mails to any milter and show its replies",
    load: () => import("./commands/send.ts"),
  },
  {
    name: "schema",
    summary: "Print the JSON Schema of the configuration, for editors",
    load: () => import("./commands/schema.ts"),
  },
];

function globalHelp(): string {
  return `millrace: mail filters in TypeScript for Postfix and Sendmail

Usage: millrace COMMAND [OPTIONS]

Commands:
${table(COMMANDS.map(({ name, summary }) => [name, summary]))}
Options:
${
    table([["-h, --help", "Show this help; behind a command, the help of the command"], [
      "-V, --version",
      "Show the version",
    ]])
  }
Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration.
`;
}

/**
 * Runs the command line.
 *
 * @returns the exit code: 0 fine, 1 failed, 2 usage or configuration
 */
export async function main(args: readonly string[], io: Io): Promise<number> {
  let [name, ...rest] = args;
  if (name === "help") [name, ...rest] = [rest[0] ?? "--help", "--help"];
  if (name === "--help" || name === "-h") return say(io, globalHelp());
  if (asksFor("version", args)) return say(io, `millrace ${VERSION} (deno ${Deno.version.deno})\n`);
  try {
    const entry = COMMANDS.find((command) => command.name === name);
    if (!entry) throw new UsageError(unknownCommand(name));
    const { command } = await entry.load();
    if (asksFor("help", rest)) return say(io, helpOf(command.spec));
    return await command.run(readArgs(command.spec, rest), io);
  } catch (error) {
    const known = COMMANDS.some((command) => command.name === name);
    return report(error, known ? `millrace ${name}` : "millrace", io);
  }
}

function say(io: Io, text: string): number {
  io.stdout.write(text);
  return 0;
}

function unknownCommand(name: string | undefined): string {
  if (name === undefined) return "no command given";
  const names = COMMANDS.map((command) => command.name);
  const what = name.startsWith("-") ? "an option, where a command is expected" : "no command";
  const meant = nearest(name, names);
  return `"${printable(name, 40)}" is ${what}; ${
    meant ? `did you mean ${meant}?` : `known are ${names.join(", ")}`
  }`;
}

/** Errors that say what to do are shown as they are; of others the stack helps the one who mends it. */
function report(error: unknown, program: string, io: Io): number {
  const [label, plain] = io.stderr.color ? ["\x1b[31merror\x1b[0m", "\x1b[0m"] : ["error", ""];
  if (error instanceof UsageError) {
    io.stderr.write(`${label}: ${error.message}\nRun \`${program} --help\` for what there is.${plain}\n`);
    return 2;
  }
  if (error instanceof ConfigError) {
    io.stderr.write(`${error.message}\n${label}: the configuration cannot be used${plain}\n`);
    return 2;
  }
  if (error instanceof CommandError) {
    io.stderr.write(`${label}: ${error.message}${plain}\n`);
    return error.exitCode;
  }
  const stack = error instanceof Error ? error.stack ?? error.message : String(error);
  io.stderr.write(`${label}: this should not have happened, please report it${plain}\n${stack}\n`);
  return 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args, denoIo()));
