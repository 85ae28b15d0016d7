/**
 * `millrace reload`: has a running program read its configuration anew.
 *
 * @module
 */
import { formatDuration } from "../../text/units.ts";
import type { UnixAddress } from "../../transport/address.ts";
import { dial } from "../../transport/deno.ts";
import { TransportError } from "../../transport/errors.ts";
import type { Connection } from "../../transport/types.ts";
import { printable } from "../../text/show.ts";
import { type Command, CommandError } from "../command.ts";
import { CONFIG_OPTION, readConfig } from "../load_config.ts";
import { askControl, type ControlAnswer } from "../serving/control.ts";

/** Time for the program to take the connection, ms. */
const DIAL_TIMEOUT = 5000;
/** Time for a reload beyond that of its filters to start, ms. */
const SLACK = 30_000;

/** The command. */
export const command: Command = {
  spec: {
    name: "reload",
    summary: "Have the running program read its configuration anew",
    operands: "",
    operandCount: [0, 0],
    options: [CONFIG_OPTION],
    notes: `Asks through the socket that the configuration names (control: unix:/PATH); SIGHUP does the same.
Exit codes: 0 done, 1 refused or no program answers, 2 usage or configuration.`,
  },
  async run(given, io) {
    const { config, file } = await readConfig(given.value("config")!, io);
    if (config.control === undefined) {
      throw new CommandError(
        `Cannot reload: ${
          printable(file)
        } names no control socket; add for example control: unix:/run/millrace/control.sock and ` +
          "restart the program, or send it SIGHUP, which does the same",
        2,
      );
    }
    // One that runs already, and the own one after it.
    const starts = config.filters.reduce(
      (sum, link) => sum + (link.kind === "filter" ? link.startTimeout : 0),
      0,
    );
    const { done, text } = await ask(config.control, 2 * starts + SLACK);
    if (!done) throw new CommandError(text);
    io.stdout.write(`${text}\n`);
    return 0;
  },
};

async function ask(address: UnixAddress, timeout: number): Promise<ControlAnswer> {
  const socket = `unix:${address.path}`;
  let connection: Connection;
  try {
    connection = await dial(address, { timeout: DIAL_TIMEOUT });
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    throw new CommandError(
      `${error.message}; is the program running, and did it start with this control: in its configuration? If not, ` +
        "send it SIGHUP",
      1,
      { cause: error },
    );
  }
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    connection.close();
  }, timeout);
  try {
    // A connection that breaks is one without an answer.
    const answer = await askControl(connection, "reload").catch(() => undefined);
    if (answer !== undefined) return answer;
    throw new CommandError(
      late
        ? `The program at ${socket} has not answered within ${
          formatDuration(timeout)
        }; its log says how it goes on`
        : `The program at ${socket} ended the connection without an answer: it has stopped, or too many ask it at once; ` +
          "look at its log and try again",
    );
  } finally {
    clearTimeout(timer);
    connection.close();
  }
}
