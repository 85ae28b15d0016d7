/**
 * `millrace flags`: the Deno flags that a configuration needs.
 *
 * @module
 */
import type { Command } from "../command.ts";
import { serveFlags } from "../flags.ts";
import { CONFIG_OPTION, readConfig } from "../load_config.ts";

/** The command. */
export const command: Command = {
  spec: {
    name: "flags",
    summary: "Print the smallest set of Deno flags with which serve runs a configuration",
    operands: "",
    operandCount: [0, 0],
    options: [CONFIG_OPTION, { name: "json", summary: "Print them as a JSON list" }],
    notes: `One flag a line; notes go to standard error. For example:
  deno run $(millrace flags -c FILE) src/cli/main.ts serve -c FILE`,
  },
  async run(given, io) {
    const read = await readConfig(given.value("config")!, io);
    const { flags, notes } = serveFlags(read, { cwd: io.cwd(), compiled: Deno.build.standalone });
    io.stdout.write(
      given.has("json") ? `${JSON.stringify(flags)}\n` : flags.map((flag) => `${flag}\n`).join(""),
    );
    for (const note of notes) io.stderr.write(`note: ${note}\n`);
    return 0;
  },
};
