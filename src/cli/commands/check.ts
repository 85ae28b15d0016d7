/**
 * `millrace check`: checks a configuration, loads its filters, shows what each wants from the MTA.
 *
 * @module
 */
import { HOOKS } from "../../session/filter_check.ts";
import { policyText } from "../../session/policy.ts";
import { type Permissions, type Right, RIGHTS } from "../../config/permissions.ts";
import { useText } from "../../config/use.ts";
import { printable } from "../../text/show.ts";
import { formatDuration } from "../../text/units.ts";
import type { EditName, WishedPermissions } from "../../filter/mod.ts";
import { editsOf, STAGES, wantsOf } from "../../session/wants.ts";
import { formatAddress } from "../../transport/address.ts";
import { table } from "../args.ts";
import type { Command } from "../command.ts";
import { CONFIG_OPTION, type ReadConfig, readConfig } from "../load_config.ts";
import { openFilters } from "../open_filters.ts";
import { directEvents, directLog } from "../log.ts";
import type { OpenFilter } from "../open_filter.ts";
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
    await using open = await openFilters(read, {
      log: (name) => directLog(io.stderr, name),
      event: directEvents(io.stderr),
    });
    const report = reportOf(read, open.filters);
    io.stdout.write(given.has("json") ? `${JSON.stringify(report, null, 2)}\n` : textOf(report));
    onlyFilter(open.filters);
    return 0;
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
  readonly isolation: string;
  /** What the module says of itself. */
  readonly manifest: { readonly name: string; readonly version: string } | undefined;
  /** Undefined without a sandbox: then the filter has all rights of the program. */
  readonly permissions: readonly PermissionReport[] | undefined;
}

/** A right that is wished or granted. */
interface PermissionReport {
  readonly right: Right;
  readonly value: string;
  readonly wished: boolean;
  readonly granted: boolean;
}

interface CheckReport {
  readonly file: string;
  readonly listen: readonly ListenReport[];
  readonly filters: readonly FilterReport[];
}

function reportOf({ file, config }: ReadConfig, open: readonly OpenFilter[]): CheckReport {
  const overTcp = config.listen.some(({ kind }) => kind === "inet");
  return {
    file,
    listen: config.listen.map((address) => ({
      address: formatAddress(address),
      postfix: postfixLine(address),
      sendmail: sendmailLine(address),
    })),
    filters: open.map((filter) => filterReport(filter, overTcp)),
  };
}

function filterReport({ config, filter, manifest }: OpenFilter, overTcp: boolean): FilterReport {
  const { protocol } = wantsOf(filter, overTcp);
  const stages = STAGES.map(({ hook, not, noReply }) => ({
    hook,
    how: (protocol & not) !== 0 ? "unsent" : (protocol & noReply) !== 0 ? "sent" : "answered",
  }));
  const named = (how: string) => stages.filter((stage) => stage.how === how).map(({ hook }) => hook);
  return {
    name: config.name,
    use: useText(config.use),
    hooks: HOOKS.filter((hook) => filter[hook] !== undefined),
    answered: [...named("answered"), "endOfMessage"],
    sent: named("sent"),
    unsent: named("unsent"),
    edits: editsOf(filter),
    macros: filter.macros as Readonly<Record<string, readonly string[]>> | undefined,
    negotiates: filter.negotiate !== undefined,
    timeout: config.timeout,
    onFailure: policyText(config.onFailure),
    isolation: config.isolation,
    manifest: manifest && { name: manifest.name, version: manifest.version },
    permissions: config.isolation === "none"
      ? undefined
      : permissionsOf(config.permissions, manifest?.permissions),
  };
}

/** What the manifest wishes beside what the configuration grants, entry by entry as both are written. */
function permissionsOf(granted: Permissions, wished: WishedPermissions = {}): PermissionReport[] {
  return RIGHTS.flatMap((right) => {
    const wishes = wished[right] ?? [];
    const values = [...new Set([...wishes, ...granted[right]])];
    return values.map((value) => ({
      right,
      value,
      wished: wishes.includes(value),
      granted: granted[right].includes(value),
    }));
  });
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
  const { manifest } = filter;
  const module = manifest && `: ${printable(manifest.name)} ${printable(manifest.version)}`;
  return `filter ${filter.name} (${printable(filter.use)})${module ?? ""}\n` + table([
    ["hooks", list(filter.hooks)],
    ["MTA waits at", list(filter.answered)],
    ["MTA only sends", list(filter.sent)],
    ["not sent", list(filter.unsent)],
    ["may edit", list(filter.edits)],
    ["macros", printable(macros.join("; ")) || "as the MTA is configured"],
    ["one hook may take", formatDuration(filter.timeout)],
    ["if it fails", filter.onFailure],
    ["runs in", filter.isolation === "none" ? "the program itself, with all its rights" : "a sandbox"],
    ...(filter.permissions ?? []).map((entry) => ["right", permissionText(entry)] as const),
    ...(filter.negotiates ? [["negotiate", "its hook may change this for a connection"] as const] : []),
  ]);
}

function permissionText({ right, value, wished, granted }: PermissionReport): string {
  const state = granted ? wished ? "wished and granted" : "granted, not wished" : "wished, not granted";
  return `${right} ${printable(value)}: ${state}`;
}
