/** Three scripted filters behind an MTA: each in a server of its own, or all in one chain; and on which carriers. */
import { deepEqual } from "node:assert/strict";
import type { Link } from "../../src/chain/link.ts";
import type { Log } from "../../src/filter/mod.ts";
import { transpile } from "../../src/loader/transpile.ts";
import { command, type Program, start } from "../helpers/program.ts";
import { sandboxOf } from "../redteam/sandboxes.ts";
import scripted, { type FilterScript, NOTE } from "./chain_filter.ts";
import { NAMES } from "./chain_scenario.ts";
import { type Mta, type MtaKind, postfixGroup, startMta } from "./mta.ts";
import { inlineLink, type ServedEvent, serveLinks } from "./serve_filter.ts";

/** Starts an MTA that asks filters on these sockets, waits for them as long as it takes, and refuses one recipient. */
export function startPatient(kind: MtaKind, sockets: readonly string[]): Promise<Mta> {
  return startMta(kind, {
    milter: sockets.map((socket) => ({
      socket,
      postfix: "connect_timeout=30s, command_timeout=60s, content_timeout=60s",
      sendmail: "F=T, T=C:30s;S:60s;R:60s;E:2m",
    })),
    mainCf: "smtpd_recipient_restrictions = " +
      "check_recipient_access inline:{{refused@lab.example = 550 5.1.1 nobody here}}, permit_mynetworks, reject",
    // in a rule left and right side are parted by tabs
    mc: 'LOCAL_RULE_0\nR refused < @ lab.example. > $*\t$#error $@ 5.1.1 $: "550 nobody here"\n',
  });
}

/** Running filters. */
export interface ServedScripts {
  /**
   * Stops them, and gives what each noted, by its place.
   *
   * @throws {AssertionError} if one failed, or a server complained.
   */
  end(): Promise<readonly (readonly string[])[]>;
}

/** Serves the three filters where an MTA looks for them. */
export type ServeScripts = (filters: readonly FilterScript[]) => Promise<ServedScripts>;

/** Each in a server of its own, on a socket of its own. */
export function separately(sockets: readonly string[]): ServeScripts {
  return async (filters) => {
    const servers: ServedScripts[] = [];
    for (const [n, filter] of filters.entries()) servers.push(await served(sockets[n], [inline(n, filter)]));
    return {
      async end() {
        const told: (readonly string[])[] = [];
        for (const [n, server] of servers.entries()) told.push((await server.end())[n]);
        return told;
      },
    };
  };
}

/** All in a chain in one server. */
export function chained(socket: string): ServeScripts {
  return (filters) => served(socket, filters.map((filter, n) => inline(n, filter)));
}

/** All in a chain in one server, each in a sandbox of its own. */
export function chainedInSandboxes(socket: string): ServeScripts {
  return async (filters) => {
    const source = await Deno.readFile(new URL("chain_filter.ts", import.meta.url));
    const code = (await transpile("chain_filter.ts", source, "ts")).source;
    const sandboxes = filters.map((filter, n) =>
      sandboxOf(code, { name: NAMES[n], options: { ...filter }, limits: LIMITS, startTimeout: START_TIMEOUT })
    );
    const close = () => Promise.all(sandboxes.map(({ link }) => link.close()));
    try {
      // one after the other: the types of what all run are checked for the first one only
      for (const { link } of sandboxes) await link.start();
      const server = await served(socket, sandboxes.map(({ link }) => link));
      return {
        async end() {
          await server.end();
          await close();
          return sandboxes.map(({ events }, n) => notesOf(n, events as readonly ServedEvent[]));
        },
      };
    } catch (error) {
      await close();
      throw error;
    }
  };
}

/** Each in a process of its own; configurations are written to files whose paths begin so. */
export function inProcesses(sockets: readonly string[], path: string): ServeScripts {
  return (filters) =>
    programs(filters.map((filter, n) => ({
      config: `${path}-${NAMES[n]}.yaml`,
      listen: sockets[n],
      filters: [{ name: NAMES[n], options: filter }],
    })));
}

/** All in a chain in one process. */
export function chainedInProcess(socket: string, path: string): ServeScripts {
  return (filters) =>
    programs([{
      config: `${path}-chain.yaml`,
      listen: socket,
      filters: filters.map((options, n) => ({ name: NAMES[n], options })),
    }]);
}

/** What `millrace serve` is to run. */
interface ProgramPlan {
  /** Path of its configuration, which is written. */
  readonly config: string;
  readonly listen: string;
  readonly filters: readonly { readonly name: string; readonly options: FilterScript }[];
}

async function programs(plans: readonly ProgramPlan[]): Promise<ServedScripts> {
  const use = new URL("chain_filter.ts", import.meta.url).pathname;
  const running: Program[] = [];
  for (const { config, listen, filters } of plans) {
    const text = {
      listen,
      socket: { mode: "0660", group: postfixGroup },
      filters: filters.map((filter) => ({ use, isolation: "none", ...filter })),
      log: { format: "json" },
    };
    // JSON is YAML
    await Deno.writeTextFile(config, JSON.stringify(text));
    running.push(start(command(["--no-prompt", "-A"], ["serve", "-c", config])));
  }
  const stop = () => Promise.all(running.map((program) => program.stop()));
  try {
    await Promise.all(running.map((program, n) => program.until(`Listening on ${plans[n].listen}`)));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    async end() {
      deepEqual(await stop(), plans.map(() => 0));
      const events = running.flatMap((program) => program.log().trimEnd().split("\n")).map(
        (line): ServedEvent => {
          const { level, message, ...fields } = JSON.parse(line);
          return { level, message, fields };
        },
      ).filter(({ message }) => !message.startsWith("Running as root"));
      return NAMES.map((_name, n) => notesOf(n, events));
    },
  };
}

/** Time for a sandbox to start, ms: where its modules were never run before, Deno checks their types first. */
const START_TIMEOUT = 300_000;

/** Limits of a sandbox that no scenario reaches. */
const LIMITS = { headers: 1 << 20, body: 64 << 20, recipients: 1000, frame: 1 << 21 };

/** A filter in this isolate, that logs into the connection's log. */
function inline(place: number, options: FilterScript): Link {
  const { signal } = new AbortController();
  const none: Log = { debug() {}, info() {}, warn() {}, error() {} };
  return inlineLink(NAMES[place], scripted({ options: { ...options }, log: none, signal }));
}

async function served(socket: string, links: readonly Link[]): Promise<ServedScripts> {
  const server = await serveLinks([socket], links);
  return {
    async end() {
      await server[Symbol.asyncDispose]();
      deepEqual([...server.failures], []);
      return NAMES.map((_name, n) => notesOf(n, server.events));
    },
  };
}

/**
 * What the filter in this place noted.
 *
 * @throws {AssertionError} if there is a warning or an error among the events.
 */
function notesOf(place: number, events: readonly ServedEvent[]): string[] {
  deepEqual(events.filter(({ level }) => level === "warn" || level === "error"), []);
  return events.filter(({ fields }) => fields[NOTE] === true && fields.filter === NAMES[place])
    .map(({ message }) => message);
}
