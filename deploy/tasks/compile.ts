/**
 * Compiles the program into one file, with exactly the Deno flags that a configuration needs.
 *
 *     deno task compile -c FILE [--target TRIPLE] [--output FILE]
 *
 * The flags are baked in: another configuration may need another program. `--target` is passed through. Deno fetches
 * the base of the program, denort, from its own site; DENORT_BIN names a file to take instead.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { ConfigError } from "../../src/config/error.ts";
import { CommandError } from "../../src/cli/command.ts";
import { serveFlags } from "../../src/cli/flags.ts";
import { denoIo } from "../../src/cli/io.ts";
import { readConfig } from "../../src/cli/load_config.ts";
import { bundledFilters, WORKER_ENTRIES } from "./compile_files.ts";

const ROOT = new URL("../../", import.meta.url);
const USAGE = "Usage: deno task compile -c FILE [--target TRIPLE] [--output FILE]";

function path(file: string): string {
  return decodeURIComponent(new URL(file, ROOT).pathname);
}

/** Where this program has its imports from, the compiled one has them too. */
function importFlags(): string[] {
  if (!import.meta.resolve("@std/yaml").startsWith("file:")) return [];
  return [
    `--import-map=${path("deploy/npm.import_map.json")}`,
    `--lock=${path("deploy/npm.lock")}`,
    "--frozen",
  ];
}

async function main(args: readonly string[]): Promise<number> {
  const unknown: string[] = [];
  const given = parseArgs([...args], {
    string: ["config", "target", "output"],
    boolean: ["help"],
    alias: { config: "c", output: "o", help: "h" },
    unknown: (arg) => {
      unknown.push(arg);
      return false;
    },
  });
  if (given.help) {
    console.log(USAGE);
    return 0;
  }
  if (unknown.length > 0 || !given.config) {
    console.error(
      unknown.length > 0 ? `unknown argument "${unknown[0]}"\n${USAGE}` : `-c FILE is missing\n${USAGE}`,
    );
    return 2;
  }
  const io = denoIo();
  const read = await readConfig(given.config, io);
  const { flags, notes } = serveFlags(read, { cwd: io.cwd(), compiled: true });
  for (const note of notes) console.error(`note: ${note}`);
  console.error(`Deno flags of the program:\n${flags.map((flag) => `  ${flag}\n`).join("")}`);
  const command = new Deno.Command(Deno.execPath(), {
    args: [
      "compile",
      ...importFlags(),
      "--no-check",
      "--exclude-unused-npm",
      ...flags,
      ...[...WORKER_ENTRIES, ...bundledFilters(ROOT)].map((file) => `--include=${path(file)}`),
      ...(given.target ? [`--target=${given.target}`] : []),
      `--output=${given.output || "millrace"}`,
      path("src/cli/main.ts"),
    ],
  });
  const { code } = await command.spawn().status;
  return code === 0 ? 0 : 1;
}

try {
  Deno.exit(await main(Deno.args));
} catch (error) {
  if (!(error instanceof CommandError || error instanceof ConfigError)) throw error;
  console.error(error.message);
  Deno.exit(2);
}
