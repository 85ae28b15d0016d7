/**
 * `millrace serve`: runs the filter of a configuration until it is told to stop.
 *
 * @module
 */
import { printable } from "../../text/show.ts";
import type { ServerLog } from "../../server/serve.ts";
import { type Command, CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import { CONFIG_OPTION, type ReadConfig, readConfig } from "../load_config.ts";
import { type OpenLog, openLog } from "../log.ts";
import { Runtime } from "../serving/runtime.ts";
import { handleUncaught } from "../serving/uncaught.ts";
import { isOlder, OLDEST_DENO, VERSION } from "../version.ts";

/** The command. */
export const command: Command = {
  spec: {
    name: "serve",
    summary: "Run the filters of a configuration for Postfix and Sendmail",
    operands: "",
    operandCount: [0, 0],
    options: [CONFIG_OPTION],
    notes:
      `SIGTERM or SIGINT: accept no more, let open mails finish (limits.drain), exit 0. A second one: exit at once.
SIGHUP, or millrace reload: read the configuration anew. New connections get the new filters, open ones finish
on the old; a configuration that cannot be used changes nothing, and the log says why.
The log goes to standard error, one line per mail: text on a terminal, JSON elsewhere (log.format).`,
  },
  async run(given, io) {
    refuseOldDeno(Deno.version.deno);
    const read = await readConfig(given.value("config")!, io);
    const log = openLog(read.config.log, io.stderr);
    try {
      await serveConfig(read, io, log);
    } finally {
      await log.close();
    }
    return 0;
  },
};

/**
 * Refuses a Deno that is too old.
 *
 * @throws {CommandError} with how to get a newer one
 */
export function refuseOldDeno(version: string): void {
  if (!isOlder(version, OLDEST_DENO)) return;
  throw new CommandError(
    `Cannot serve on Deno ${version}: ${OLDEST_DENO} or later is needed; update it with \`deno upgrade\`, ` +
      "or run `npx -y deno@latest` in its place",
  );
}

async function serveConfig(read: ReadConfig, io: Io, log: OpenLog): Promise<void> {
  const stop = new AbortController();
  const runtime = new Runtime({ read, io, log, signal: stop.signal });
  const undo = [...handleSignals(io, log.server, stop, runtime), handleUncaught(io, log.server)];
  try {
    log.server.event("info", `millrace ${VERSION} starts with ${printable(read.file)}`, {
      deno: Deno.version.deno,
    });
    if (io.uid() === 0) {
      log.server.event("warn", "Running as root: a filter could do anything here; run as a user of its own");
    }
    await runtime.run();
    log.server.event("info", "Stopped");
  } finally {
    for (const end of undo) end();
  }
}

function handleSignals(io: Io, log: ServerLog, stop: AbortController, runtime: Runtime): (() => void)[] {
  const onStop = (signal: "SIGTERM" | "SIGINT") =>
    io.onSignal(signal, () => {
      if (stop.signal.aborted) {
        io.stderr.write(
          `millrace: second signal (${signal}), stopping at once; the mail server keeps its mails\n`,
        );
        io.exit(1);
        return;
      }
      log.event("info", `${signal}: accepting no more; waiting for open mails to finish`, { signal });
      stop.abort();
    });
  return [onStop("SIGTERM"), onStop("SIGINT"), io.onSignal("SIGHUP", () => void runtime.reload())];
}
