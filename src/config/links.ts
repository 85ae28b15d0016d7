/**
 * The entries of `filters:` with their defaults, and what the schema cannot see of them.
 *
 * @module
 */
import type { z } from "zod";
import { FAILURE_KINDS, type FailurePolicy, type Outcome } from "../session/policy.ts";
import { show } from "../text/show.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import type { ConfigIssue } from "./error.ts";
import { entryKeys, issueAt, type Source, unknownKey } from "./issues.ts";
import type { LinkConfig } from "./link_schema.ts";
import { grantsAnything } from "./permissions.ts";
import type { ConfigSchema } from "./schema.ts";
import { nameOf, nameOfUpstream } from "./use.ts";
import { isMap } from "./values.ts";

type Checked = z.output<typeof ConfigSchema>;
type Entry = Checked["filters"][number];

/** The links as configured. */
export function linksOf({ filters, defaults }: Pick<Checked, "filters" | "defaults">): LinkConfig[] {
  const general = policyOf(defaults.on_failure, undefined);
  return filters.map((entry): LinkConfig => {
    const common = {
      timeout: entry.timeout ?? defaults.timeout,
      onFailure: entry.on_failure === undefined ? general : policyOf(entry.on_failure, general),
      when: entry.when,
      mode: entry.mode,
      canary: entry.canary,
    };
    if ("upstream" in entry) {
      const { upstream, name = nameOfUpstream(upstream), connect_timeout: connectTimeout } = entry;
      return { kind: "upstream", upstream, name, connectTimeout, ...common };
    }
    return {
      kind: "filter",
      use: entry.use,
      name: entry.name ?? nameOf(entry.use),
      options: entry.options,
      permissions: entry.permissions,
      isolation: entry.isolation,
      memory: entry.memory ?? defaults.memory,
      instances: entry.instances ?? 1,
      startTimeout: entry.start_timeout ?? defaults.start_timeout,
      ...common,
    };
  });
}

type OnFailure = Outcome | Readonly<Partial<Record<keyof FailurePolicy | "default", Outcome>>>;

/** The outcome of each kind of failure; what is not said is as in `general`, or tempfail. */
function policyOf(said: OnFailure, general: FailurePolicy | undefined): FailurePolicy {
  const outcome = (kind: keyof FailurePolicy): Outcome =>
    typeof said === "string" ? said : said[kind] ?? said.default ?? general?.[kind] ?? "tempfail";
  return Object.fromEntries(FAILURE_KINDS.map((kind) => [kind, outcome(kind)])) as FailurePolicy;
}

/** Entries that are neither a filter nor an upstream milter, or both, by their index: the schema has no words for them. */
export function withoutKind(source: Source): Map<number, ConfigIssue[]> {
  const found = new Map<number, ConfigIssue[]>();
  const entries = isMap(source.value) && Array.isArray(source.value.filters) ? source.value.filters : [];
  for (const [index, entry] of entries.entries()) {
    if (!isMap(entry)) continue;
    const path = ["filters", index];
    const [filter, upstream] = ["use", "upstream"].map((key) => Object.hasOwn(entry, key));
    if (filter && upstream) {
      found.set(index, [
        issueAt(
          [...path, "upstream"],
          "stands beside use: an entry is one of the two; make two entries of it",
          source,
        ),
      ]);
    } else if (!filter && !upstream) {
      const known = entryKeys();
      const unknown = Object.keys(entry).filter((key) => !known.includes(key));
      found.set(index, [
        issueAt(
          path,
          "neither use nor upstream: write use: and a filter module, or upstream: and the address of a running milter",
          source,
        ),
        ...unknown.map((key) => unknownKey(key, path, known, source)),
      ]);
    }
  }
  return found;
}

/** What is wrong with links, each by itself or beside the others and the rest. */
export function linkIssues(checked: Checked, links: readonly LinkConfig[], source: Source): ConfigIssue[] {
  const { filters, listen } = checked;
  const own = Array.isArray(listen) ? listen : [listen];
  return [
    ...duplicates(links, source),
    ...filters.flatMap((entry, index) => "upstream" in entry ? [] : unenforceable(entry, index, source)),
    ...filters.flatMap((entry, index) => {
      if (!("upstream" in entry) || !own.some((address) => leadsTo(entry.upstream, address))) return [];
      const message = "is where this program listens itself: mail would go round in circles";
      return [issueAt(["filters", index, "upstream"], message, source)];
    }),
  ];
}

/** Logs and reports tell links apart by name. */
function duplicates(links: readonly LinkConfig[], source: Source): ConfigIssue[] {
  return links.flatMap(({ name }, index) => {
    const first = links.findIndex((link) => link.name === name);
    if (first === index) return [];
    const message = `the name ${show(name)} is taken by filters[${first}]; give this one a name: of its own`;
    return [issueAt(["filters", index, "name"], message, source, ["filters", index])];
  });
}

/** What a sandbox enforces means nothing without one: better refused than believed. */
function unenforceable(
  filter: Exclude<Entry, { upstream: unknown }>,
  index: number,
  source: Source,
): ConfigIssue[] {
  if (filter.isolation !== "none") return [];
  const at = (key: string, message: string): ConfigIssue => issueAt(["filters", index, key], message, source);
  const found: ConfigIssue[] = [];
  if (grantsAnything(filter.permissions)) {
    found.push(at(
      "permissions",
      "with isolation: none a filter has all rights of the program, so these would hold nothing back; leave out one of the two",
    ));
  }
  for (const key of ["memory", "instances"] as const) {
    if (filter[key] === undefined) continue;
    found.push(at(key, "is for sandboxes, and isolation: none has none; leave out one of the two"));
  }
  if (filter.use.kind === "url" || filter.use.kind === "jsr") {
    found.push(at(
      "isolation",
      "none is for files and bundled filters: code from elsewhere runs in a sandbox; leave it out",
    ));
  }
  return found;
}

/** Does who connects to an address come to what listens on the other? Only what can be seen without asking the network. */
function leadsTo(upstream: Address, listen: Address): boolean {
  if (upstream.kind === "unix" || listen.kind === "unix") {
    return formatAddress(upstream) === formatAddress(listen);
  }
  if (upstream.port !== listen.port) return false;
  const local = /^(?:127\.|::1$|localhost$)/i;
  if (listen.host === "0.0.0.0" || listen.host === "::") return local.test(upstream.host);
  const named = (host: string) => host.toLowerCase() === "localhost" ? "127.0.0.1" : host;
  return named(upstream.host) === named(listen.host);
}
