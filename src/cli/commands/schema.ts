/**
 * `millrace schema`: the JSON Schema of the configuration. `deploy/millrace.schema.json` is its output.
 *
 * @module
 */
import { configJsonSchema } from "../../config/schema.ts";
import type { Command } from "../command.ts";

/** The command. */
export const command: Command = {
  spec: {
    name: "schema",
    summary: "Print the JSON Schema of the configuration, for editors",
    operands: "",
    operandCount: [0, 0],
    options: [],
    notes: "First line of a configuration, for editors with the YAML language server:\n" +
      "  # yaml-language-server: $schema=./millrace.schema.json",
  },
  run(_given, io) {
    io.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
    return Promise.resolve(0);
  },
};
