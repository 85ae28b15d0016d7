/**
 * Reads the configuration file: what most commands begin with.
 *
 * @module
 */
import { parseConfig } from "../config/parse.ts";
import type { Config } from "../config/schema.ts";
import { printable } from "../text/show.ts";
import { CommandError, type OptionSpec } from "./command.ts";
import type { Io } from "./io.ts";

/** The option that names the configuration file. */
export const CONFIG_OPTION: OptionSpec = {
  name: "config",
  short: "c",
  value: "FILE",
  required: true,
  summary: "Configuration file (YAML)",
};

/** A configuration and where it came from. */
export interface ReadConfig {
  readonly config: Config;
  /** What stood in the file. */
  readonly text: string;
  readonly file: string;
  /** URL of the file's folder: relative paths in it start there. */
  readonly base: URL;
}

/**
 * Reads and checks a configuration file.
 *
 * @throws {CommandError} if the file cannot be read; {@linkcode ConfigError} if it cannot be used
 */
export async function readConfig(file: string, io: Io): Promise<ReadConfig> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await io.readFile(file));
  } catch (error) {
    throw new CommandError(`Cannot read the configuration "${printable(file)}": ${readProblem(error)}`, 2, {
      cause: error,
    });
  }
  return {
    config: parseConfig(text, { file: printable(file) }),
    text,
    file,
    base: new URL(".", fileUrl(file, io.cwd())),
  };
}

/** Why a file could not be read, and what to do. */
export function readProblem(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof Deno.errors.PermissionDenied) return "this user may not read it";
  if (error instanceof Deno.errors.IsADirectory) return "it is a folder";
  if (error instanceof TypeError) return "it is not UTF-8 text";
  return error instanceof Error ? printable(error.message) : String(error);
}

/** URL of a file by its path, relative to a folder or absolute. `-` is treated as a file of that folder. */
export function fileUrl(path: string, folder: string): URL {
  const part = (text: string) => text.replaceAll("\\", "/").split("/").map(encodeURIComponent).join("/");
  const root = new URL(`file:///${part(folder).replace(/^\//, "").replace(/^([A-Za-z])%3A/, "$1:")}/`);
  return new URL(part(path).replace(/^([A-Za-z])%3A\//, "file:///$1:/"), root);
}
