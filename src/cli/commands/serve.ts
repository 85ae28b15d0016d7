/**
 * `millrace serve`: runs the filter of a configuration until it is told to stop.
 *
 * @module
 */
import { Chain } from "../../chain/chain.ts";
import { printable } from "../../text/show.ts";
import { formatDuration } from "../../text/units.ts";
import { SandboxLink } from "../../links/sandbox/sandbox_link.ts";
import { serve, type ServerLog } from "../../server/serve.ts";
import { policyText } from "../../session/policy.ts";
import { type Address, formatAddress, parseAddress } from "../../transport/address.ts";
import { listen } from "../../transport/deno.ts";
import { TransportError } from "../../transport/errors.ts";
import type { Listener } from "../../transport/types.ts";
import { type Command, CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import { CONFIG_OPTION, type ReadConfig, readConfig } from "../load_config.ts";
import { openFilters } from "../open_filters.ts";
import { openLog } from "../log.ts";
import { onlyFilter, postfixLine, sendmailLine } from "../setup.ts";
import { importsAreOpen } from "../rights.ts";
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
SIGHUP: goes on as it is; restart to read the configuration anew.
The log goes to standard error, one line per mail: text on a terminal, JSON elsewhere (log.format).`,
  },
  async run(given, io) {
    refuseOldDeno(Deno.version.deno);
    const read = await readConfig(given.value("config")!, io);
    const log = openLog(read.config.log, io.stderr);
    try {
      await serveConfig(read, io, log.server, log.filter);
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

async function serveConfig(
  read: ReadConfig,
  io: Io,
  log: ServerLog,
  filterLog: ReturnType<typeof openLog>["filter"],
): Promise<void> {
  const stop = new AbortController();
  const undo = [...handleSignals(io, log, stop), handleUncaught(io, log)];
  try {
    log.event("info", `millrace ${VERSION} starts with ${printable(read.file)}`, { deno: Deno.version.deno });
    if (io.uid() === 0) {
      log.event("warn", "Running as root: a filter could do anything here; run as a user of its own");
    }
    if (
      read.config.filters.some((link) => link.kind === "filter" && link.isolation === "sandbox") &&
      importsAreOpen()
    ) {
      log.event(
        "warn",
        "Deno would let this program import code from the network; start it with --allow-import --deny-import, both " +
          "(millrace flags prints all that is needed)",
      );
    }
    await using open = await openFilters(read, { log: filterLog, event: log.event });
    const { link, config } = onlyFilter(open);
    const { name, timeout, onFailure } = config;
    log.event(
      "info",
      `Filter ${name}: ${formatDuration(timeout)} for a hook; if it fails, mail gets: ${
        policyText(onFailure)
      }`,
    );
    const listeners = await listenAll(read, log);
    for (const listener of listeners) announce(parseAddress(listener.address), log);
    const chain = new Chain([{ link, timeout }]);
    await serve({ listeners, chain, limits: read.config.limits, log, signal: stop.signal });
    if (link instanceof SandboxLink && link.refusals.size > 0) {
      log.event("info", `Filter ${name} was refused accesses`, {
        filter: name,
        ...Object.fromEntries(link.refusals),
      });
    }
    log.event("info", "Stopped");
  } finally {
    for (const end of undo) end();
  }
}

/** Opens all addresses of the configuration, or none. */
async function listenAll({ config }: ReadConfig, log: ServerLog): Promise<Listener[]> {
  const listeners: Listener[] = [];
  try {
    for (const address of config.listen) {
      const onError = (error: TransportError) =>
        log.event("error", error.message, { address: formatAddress(address) });
      listeners.push(await listen(address, { ...config.socket, onError }));
    }
    return listeners;
  } catch (error) {
    for (const listener of listeners) listener.close();
    if (error instanceof TransportError) throw new CommandError(error.message, 1, { cause: error });
    throw error;
  }
}

/** Says where it listens, and what exactly to write into the mail server's configuration. */
function announce(address: Address, log: ServerLog): void {
  const fields = { address: formatAddress(address) };
  log.event("info", `Listening on ${fields.address}`, fields);
  log.event("info", `Postfix, main.cf: ${postfixLine(address)}`, fields);
  log.event("info", `Sendmail, sendmail.mc: ${sendmailLine(address)}`, fields);
}

function handleSignals(io: Io, log: ServerLog, stop: AbortController): (() => void)[] {
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
  return [
    onStop("SIGTERM"),
    onStop("SIGINT"),
    // Unhandled it would end the process, and with it mail, at every rotation of logs.
    io.onSignal(
      "SIGHUP",
      () =>
        log.event(
          "warn",
          "SIGHUP: nothing to do; the log goes to standard error, and a changed configuration needs a restart",
        ),
    ),
  ];
}

/** A promise or timer that a filter left behind must not end the process for all mails. */
function handleUncaught(io: Io, log: ServerLog): () => void {
  return io.onUncaught((error) => {
    const message = error instanceof Error ? error.stack ?? error.message : String(error);
    log.event("error", "An error was not caught, probably in a promise or timer of a filter", {
      error: message,
    });
  });
}
