/**
 * `permissions:`: what a filter may touch, as lists of what Deno takes behind `--allow-…`.
 *
 * @module
 */
import { z } from "zod";
import { nearest } from "../text/nearest.ts";
import { show } from "../text/show.ts";

/** The rights that can be granted. */
export const RIGHTS = ["net", "read", "write", "env", "sys"] as const;
/** A right that can be granted. */
export type Right = (typeof RIGHTS)[number];

/** What a filter may touch; a right without entries is not granted. */
export type Permissions = Readonly<Record<Right, readonly string[]>>;

/** What `--allow-sys` knows, without what changes the system. */
const SYS_KINDS = [
  "hostname",
  "osRelease",
  "osUptime",
  "loadavg",
  "networkInterfaces",
  "systemMemoryInfo",
  "uid",
  "gid",
  "username",
  "userInfo",
  "cpus",
  "homedir",
  "statfs",
  "getPriority",
] as const;

const EXAMPLES: Readonly<Record<Right, string>> = {
  net: '["127.0.0.1:3310"]',
  read: '["/etc/millrace/lists"]',
  write: '["/var/lib/millrace/seen"]',
  env: '["LANG"]',
  sys: '["hostname"]',
};

/** What is wrong with an entry; undefined if nothing is. */
const CHECKS: Readonly<Record<Right, (value: string) => string | undefined>> = {
  net(value) {
    if (/^[a-z]+:\/\//i.test(value)) {
      const host = /^[a-z]+:\/\/([^/\s]+)/i.exec(value)?.[1] ?? "HOST";
      return `${show(value)} is an address of a page: rights are for hosts; write ${show(host)} or ${
        show(`${host.replace(/:\d+$/, "")}:443`)
      }`;
    }
    if (value.startsWith("unix:")) {
      return value.startsWith("unix:/") ? undefined : `${show(value)} needs an absolute path behind unix:`;
    }
    if (/\/\d+$/.test(value)) {
      return `${
        show(value)
      } is a range of addresses, which Deno cannot grant to a single filter: write hosts`;
    }
    return /^[A-Za-z0-9_.:*[\]-]+$/.test(value) && value !== "*"
      ? undefined
      : `${show(value)} is not a host: write HOST or HOST:PORT, for example ${EXAMPLES.net}`;
  },
  read: () => undefined,
  write: () => undefined,
  env: (value) =>
    /^[A-Za-z_][A-Za-z0-9_]*\*?$/.test(value)
      ? undefined
      : `${show(value)} is not the name of an environment variable`,
  sys(value) {
    if ((SYS_KINDS as readonly string[]).includes(value)) return undefined;
    const meant = nearest(value, SYS_KINDS);
    return `${show(value)} is nothing that --allow-sys knows; ${
      meant ? `did you mean ${meant}?` : `known are ${SYS_KINDS.join(", ")}`
    }`;
  },
};

function entry(right: Right) {
  const error = (issue: { readonly input?: unknown }) =>
    `${show(issue.input)} is not an entry: write text, for example ${EXAMPLES[right]}`;
  return z.string({ error }).min(1, { error }).max(1024, { error }).check((context) => {
    const { value, issues } = context;
    const message = /[\p{Cc},]/u.test(value)
      ? `${show(value)} has a comma or a control character: give each entry as one of the list`
      : CHECKS[right](value);
    if (message !== undefined) issues.push({ code: "custom", message, input: value });
  });
}

function list(right: Right, description: string) {
  const error = (issue: { readonly input?: unknown }) =>
    issue.input === true
      ? `true would grant everything: list what the filter may touch, for example ${EXAMPLES[right]}`
      : `${show(issue.input)} is not a list: write for example ${EXAMPLES[right]}`;
  return z.array(entry(right), { error }).max(100).default([]).describe(description);
}

/** The schema of `permissions:`. */
export const PermissionsSchema = z.strictObject({
  net: list(
    "net",
    "Hosts to connect to, with or without port: 127.0.0.1:3310, clamd.example, unix:/run/clamd.sock.",
  ),
  read: list("read", "Files and folders to read; relative ones start at this file's folder."),
  write: list("write", "Files and folders to write; relative ones start at this file's folder."),
  env: list("env", "Environment variables to read."),
  sys: list("sys", "System information, as Deno's --allow-sys names it: hostname."),
}, {
  error: (issue) =>
    issue.code === "invalid_type" && issue.input === true
      ? "true would grant everything: list what the filter may touch, for example { net: [127.0.0.1:3310] }"
      : undefined,
});

/** Is anything granted? */
export function grantsAnything(permissions: Permissions): boolean {
  return RIGHTS.some((right) => permissions[right].length > 0);
}
