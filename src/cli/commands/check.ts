/**
 * `millrace check`: checks a configuration, loads its filters, shows what each wants from the MTA.
 *
 * @module
 */
import { HOOKS } from "../../session/filter_check.ts";
import { policyText } from "../../session/policy.ts";
import { type Permissions, type Right, RIGHTS } from "../../config/permissions.ts";
import type { LinkConfig, UpstreamConfig } from "../../config/schema.ts";
import { useText } from "../../config/use.ts";
import { conditionText } from "../../conditions/mod.ts";
import { printable } from "../../text/show.ts";
import { formatDuration } from "../../text/units.ts";
import type { EditName, WishedPermissions } from "../../filter/mod.ts";
import { editsOf, STAGES, wantsOf } from "../../session/wants.ts";
import { formatAddress } from "../../transport/address.ts";
import { table } from "../args.ts";
import type { Command } from "../command.ts";
import { CONFIG_OPTION, type ReadConfig, readConfig } from "../load_config.ts";
import { type OpenFilters, openFilters } from "../open_filters.ts";
import { directEvents, directLog } from "../log.ts";
import type { OpenFilter } from "../open_filter.ts";
import { postfixLine, sendmailLine } from "../setup.ts";

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
    const report = reportOf(read, open);
    io.stdout.write(given.has("json") ? `${JSON.stringify(report, null, 2)}\n` : textOf(report));
    return 0;
  },
};

/** Where millrace listens, and what to tell the mail servers. */
interface ListenReport {
  readonly address: string;
  readonly postfix: string;
  readonly sendmail: string;
}

/** What is said of every link. */
interface LinkReport {
  readonly name: string;
  /** Milliseconds for one hook, or one reply. */
  readonly timeout: number;
  readonly onFailure: string;
  /** The condition in words; undefined if all mails go through it. */
  readonly when: string | undefined;
  readonly mode: LinkConfig["mode"];
  /** The share of these mails, over 0 up to 1. */
  readonly canary: number;
}

/** A milter that runs elsewhere. */
interface UpstreamReport extends LinkReport {
  readonly kind: "upstream";
  readonly upstream: string;
  /** Milliseconds to connect. */
  readonly connectTimeout: number;
}

/** What one filter wants, in the words of the filter API. */
interface FilterReport extends LinkReport {
  readonly kind: "filter";
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
  /** Filters and upstream milters, in the order of the configuration. */
  readonly filters: readonly (FilterReport | UpstreamReport)[];
}

function reportOf({ file, config }: ReadConfig, open: OpenFilters): CheckReport {
  const overTcp = config.listen.some(({ kind }) => kind === "inet");
  return {
    file,
    listen: config.listen.map((address) => ({
      address: formatAddress(address),
      postfix: postfixLine(address),
      sendmail: sendmailLine(address),
    })),
    filters: config.filters.map((link) =>
      link.kind === "upstream"
        ? upstreamReport(link)
        : filterReport(open.filters.find(({ config }) => config === link)!, overTcp)
    ),
  };
}

function linkReport({ name, timeout, onFailure, when, mode, canary }: LinkConfig): LinkReport {
  return {
    name,
    timeout,
    onFailure: policyText(onFailure),
    when: when && conditionText(when),
    mode,
    canary,
  };
}

function upstreamReport(config: UpstreamConfig): UpstreamReport {
  const { upstream, connectTimeout } = config;
  return { kind: "upstream", ...linkReport(config), upstream: formatAddress(upstream), connectTimeout };
}

function filterReport({ config, filter, manifest }: OpenFilter, overTcp: boolean): FilterReport {
  const { protocol } = wantsOf(filter, overTcp);
  const stages = STAGES.map(({ hook, not, noReply }) => ({
    hook,
    how: (protocol & not) !== 0 ? "unsent" : (protocol & noReply) !== 0 ? "sent" : "answered",
  }));
  const named = (how: string) => stages.filter((stage) => stage.how === how).map(({ hook }) => hook);
  return {
    kind: "filter",
    ...linkReport(config),
    use: useText(config.use),
    hooks: HOOKS.filter((hook) => filter[hook] !== undefined),
    answered: [...named("answered"), "endOfMessage"],
    sent: named("sent"),
    unsent: named("unsent"),
    edits: editsOf(filter),
    macros: filter.macros as Readonly<Record<string, readonly string[]>> | undefined,
    negotiates: filter.negotiate !== undefined,
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
  for (const link of filters) blocks.push(link.kind === "upstream" ? upstreamText(link) : filterText(link));
  return blocks.join("\n");
}

function upstreamText(upstream: UpstreamReport): string {
  return `upstream ${upstream.name} (${printable(upstream.upstream)})\n` + table([
    ["connects within", formatDuration(upstream.connectTimeout)],
    ["one reply may take", formatDuration(upstream.timeout)],
    ["if it fails", upstream.onFailure],
    ...concernText(upstream),
  ]);
}

/** Which mails a link gets and what its words are worth, where that is not the usual. */
function concernText({ when, mode, canary }: LinkReport): (readonly [string, string])[] {
  return [
    ...(when === undefined ? [] : [["only mails with", when] as const]),
    ...(canary === 1 ? [] : [["share of them", `${Number((canary * 100).toFixed(3))}%`] as const]),
    ...(mode === "enforce" ? [] : [["mode", "shadow: what it would do is only logged"] as const]),
  ];
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
    ...concernText(filter),
    ["runs in", filter.isolation === "none" ? "the program itself, with all its rights" : "a sandbox"],
    ...(filter.permissions ?? []).map((entry) => ["right", permissionText(entry)] as const),
    ...(filter.negotiates ? [["negotiate", "its hook may change this for a connection"] as const] : []),
  ]);
}

function permissionText({ right, value, wished, granted }: PermissionReport): string {
  const state = granted ? wished ? "wished and granted" : "granted, not wished" : "wished, not granted";
  return `${right} ${printable(value)}: ${state}`;
}
