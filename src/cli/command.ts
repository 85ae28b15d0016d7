/**
 * What a command of the command line is: its name, options and operands, and the function behind it.
 *
 * @module
 */
import type { Io } from "./io.ts";

/** An option of a command. Every command has `--help` and `--version` besides. */
export interface OptionSpec {
  /** Long name without dashes: `config`. */
  readonly name: string;
  /** Short name without dash: `c`. */
  readonly short?: string;
  /** What its value is called in the help: `FILE`. Without it the option is a switch. */
  readonly value?: string;
  /** May be given several times. */
  readonly many?: boolean;
  /** The command does not run without it. */
  readonly required?: boolean;
  /** One line for the help. */
  readonly summary: string;
}

/** How a command is called. */
export interface CommandSpec {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** Operands as shown in the usage line: `MAIL.eml…`; empty for none. */
  readonly operands: string;
  /** How many operands are allowed, at least and at most. */
  readonly operandCount: readonly [number, number];
  readonly options: readonly OptionSpec[];
  /** Paragraphs below the options in the help: examples, exit codes. */
  readonly notes?: string;
}

/** What was given on the command line; only names of the {@linkcode CommandSpec} may be asked for. */
export interface Given {
  /** The value of an option with one, the last if given several times. */
  value(name: string): string | undefined;
  /** All values of an option with `many`. */
  values(name: string): readonly string[];
  /** Was a switch given? */
  has(name: string): boolean;
  readonly operands: readonly string[];
}

/** What the module of a command exports as `command`. */
export interface Command {
  readonly spec: CommandSpec;
  /**
   * Runs the command.
   *
   * @returns the exit code: 0 fine, 1 failed
   * @throws {UsageError} or {@linkcode CommandError}, whose message is then shown without a stack
   */
  run(given: Given, io: Io): Promise<number>;
}

/** An entry of the list of commands; its module is loaded when the command is called. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<{ readonly command: Command }>;
}

/** The command line is wrong: shown with a pointer to the help, exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The command cannot do what was asked, for a reason outside the program. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  /** 1 failed, 2 configuration. */
  readonly exitCode: 1 | 2;

  constructor(message: string, exitCode: 1 | 2 = 1, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}
