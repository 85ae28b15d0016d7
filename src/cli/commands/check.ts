/**
 * `millrace check`: checks a configuration, loads its filters, shows what each wants from the MTA.
 *
 * @module
 */
import type { FilterUse } from "../../config/schema.ts";
import { printable } from "../../text/show.ts";
import { formatDuration } from "../../config/units.ts";
import type { EditName } from "../../filter/mod.ts";
import { editsOf, STAGES, wantsOf } from "../../session/wants.ts";
import { formatAddress } from "../../transport/address.ts";
import { table } from "../args.ts";
import type { Command } from "../command.ts";
import {
  CONFIG_OPTION,
  type LoadedFilter,
  loadFilters,
  type ReadConfig,
  readConfig,
} from "../load_config.ts";
import { HOOK_NAMES } from "../load_filter.ts";
import { directLog } from "../log.ts";
import { onlyFilter, postfixLine, sendmailLine } from "../setup.ts";

/** The command. */
export const command: Command = {
  spec: {
    name: "check",
    summary: "Check a configuration, load its filters, show what each wants from the MTA",
    operands: "",
    operandCount: [0, 0],
    options: [CONFIG_OPTION, { name: "json", summary: "Print the report as JSON" }],
    notes: "Exit codes: 0 the configuration can be served, 2 it cannot.",
  },
  async run(given, io) {
    const read = await readConfig(given.value("config")!, io);
    const unloaded = new AbortController();
    try {
      const loaded = await loadFilters(read, (name) => directLog(io.stderr, name), unloaded.signal);
      const report = reportOf(read, loaded);
      io.stdout.write(given.has("json") ? `${JSON.stringify(report, null, 2)}\n` : textOf(report));
      onlyFilter(loaded);
      return 0;
    } finally {
      unloaded.abort();
    }
  },
};

/** Where millrace listens, and what to tell the mail servers. */
interface ListenReport {
  readonly address: string;
  readonly postfix: string;
  readonly sendmail: string;
}

/** What one filter wants, in the words of the filter API. */
interface FilterReport {
  readonly name: string;
  readonly use: string;
  readonly hooks: readonly string[];
  /** Stages that the MTA sends and waits for an answer to. */
  readonly answered: readonly string[];
  /** Stages that the MTA sends without waiting. */
  readonly sent: readonly string[];
  /** Stages that the MTA does not send. */
  readonly unsent: readonly string[];
  readonly edits: readonly EditName[];
  /** Macros by stage; undefined where the MTA's own choice is taken. */
  readonly macros: Readonly<Record<string, readonly string[]>> | undefined;
  /** True if a `negotiate` hook may decide otherwise for a connection. */
  readonly negotiates: boolean;
  /** Milliseconds for one hook. */
  readonly timeout: number;
  readonly onFailure: string;
}

interface CheckReport {
  readonly file: string;
  readonly listen: readonly ListenReport[];
  readonly filters: readonly FilterReport[];
}

function reportOf({ file, config }: ReadConfig, loaded: readonly LoadedFilter[]): CheckReport {
  const overTcp = config.listen.some(({ kind }) => kind === "inet");
  return {
    file,
    listen: config.listen.map((address) => ({
      address: formatAddress(address),
      postfix: postfixLine(address),
      sendmail: sendmailLine(address),
    })),
    filters: loaded.map((filter) => filterReport(filter, overTcp)),
  };
}

function filterReport({ config, filter }: LoadedFilter, overTcp: boolean): FilterReport {
  const { protocol } = wantsOf(filter, overTcp);
  const stages = STAGES.map(({ hook, not, noReply }) => ({
    hook,
    how: (protocol & not) !== 0 ? "unsent" : (protocol & noReply) !== 0 ? "sent" : "answered",
  }));
  const named = (how: string) => stages.filter((stage) => stage.how === how).map(({ hook }) => hook);
  return {
    name: config.name,
    use: useText(config.use),
    hooks: HOOK_NAMES.filter((hook) => filter[hook] !== undefined),
    answered: [...named("answered"), "endOfMessage"],
    sent: named("sent"),
    unsent: named("unsent"),
    edits: editsOf(filter),
    macros: filter.macros as Readonly<Record<string, readonly string[]>> | undefined,
    negotiates: filter.negotiate !== undefined,
    timeout: config.timeout,
    onFailure: config.onFailure,
  };
}

function useText(use: FilterUse): string {
  return use.kind === "bundled" ? `bundled:${use.name}` : use.path;
}

function textOf({ file, listen, filters }: CheckReport): string {
  const blocks = [`${printable(file)} is fine.\n`];
  for (const { address, postfix, sendmail } of listen) {
    blocks.push(
      `listen ${address}\n${table([["Postfix, main.cf", postfix], ["Sendmail, sendmail.mc", sendmail]])}`,
    );
  }
  for (const filter of filters) blocks.push(filterText(filter));
  return blocks.join("\n");
}

function filterText(filter: FilterReport): string {
  const list = (names: readonly string[]) => names.join(", ") || "nothing";
  const macros = Object.entries(filter.macros ?? {}).map(([stage, names]) => `${stage} ${names.join(" ")}`);
  return `filter ${filter.name} (${printable(filter.use)})\n` + table([
    ["hooks", list(filter.hooks)],
    ["MTA waits at", list(filter.answered)],
    ["MTA only sends", list(filter.sent)],
    ["not sent", list(filter.unsent)],
    ["may edit", list(filter.edits)],
    ["macros", printable(macros.join("; ")) || "as the MTA is configured"],
    ["one hook may take", formatDuration(filter.timeout)],
    ["if it fails", filter.onFailure],
    ...(filter.negotiates ? [["negotiate", "its hook may change this for a connection"] as const] : []),
  ]);
}
