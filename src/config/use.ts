/**
 * `use:`: where a filter module is; and how links are called that have no name.
 *
 * @module
 */
import { nearest } from "../text/nearest.ts";
import { show } from "../text/show.ts";
import type { Address } from "../transport/address.ts";

/** Where a filter module is. */
export type FilterUse =
  /** A bundled filter: the folder `filters/NAME` of the program. */
  | { readonly kind: "bundled"; readonly name: string }
  /** A file, as written: absolute, or relative to the folder of the configuration file. */
  | { readonly kind: "path"; readonly path: string }
  /** A module on the network, normalised: https, or http on loopback. */
  | { readonly kind: "url"; readonly url: string }
  /** A JSR specifier as written: `jsr:@scope/name@range/path`. */
  | { readonly kind: "jsr"; readonly specifier: string };

const JSR = /^jsr:\/?@[a-z0-9-]{1,64}\/[a-z0-9-]{1,64}(?:@[^\s/@]{1,64})?(?:\/[^\s?#]*)?$/;

/**
 * Reads `use:`.
 *
 * @throws {RangeError} that says what is wrong and what to write
 */
export function readUse(value: string): FilterUse {
  const bundled = /^bundled:(.*)$/.exec(value);
  if (bundled) {
    if (!/^[a-z0-9][a-z0-9_-]*$/.test(bundled[1])) {
      throw new RangeError(
        `${show(bundled[1])} is not the name of a bundled filter: write for example bundled:footer`,
      );
    }
    return { kind: "bundled", name: bundled[1] };
  }
  if (/^(\.{0,2}[\\/]|[A-Za-z]:[\\/])/.test(value)) return { kind: "path", path: value };
  if (/^https?:/i.test(value)) return { kind: "url", url: readModuleUrl(value) };
  if (/^jsr:/.test(value)) {
    if (!JSR.test(value)) {
      throw new RangeError(
        `${show(value)} is not a JSR specifier: write jsr:@scope/name@range/path, for example ` +
          "jsr:@example/greylist@^1.2/mod.ts",
      );
    }
    return { kind: "jsr", specifier: value };
  }
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]+):/.exec(value)?.[1];
  if (scheme === "file") throw new RangeError(`${show(value)}: write the plain path, without file:`);
  if (scheme === "npm") {
    throw new RangeError(
      `${show(value)} cannot be a filter: npm packages are not pinned module by module; ` +
        "write the https: address of a module, or a jsr: specifier",
    );
  }
  const meant = scheme === undefined ? undefined : nearest(scheme, ["bundled", "https", "jsr"]);
  if (scheme && meant) {
    throw new RangeError(`${show(value)}: did you mean ${meant}:${value.slice(scheme.length + 1)}?`);
  }
  if (scheme) {
    throw new RangeError(
      `${show(value)} cannot be loaded: filters come from files (./filter.ts, /etc/millrace/filter.ts), ` +
        "bundled:NAME, https: and jsr:",
    );
  }
  const advice = value === ""
    ? "write ./filter.ts, bundled:NAME, https://HOST/PATH or jsr:@SCOPE/NAME"
    : `write ./${value} for a file, bundled:${value} for a bundled filter`;
  throw new RangeError(`${show(value)} is neither a path nor a bundled filter nor an address: ${advice}`);
}

/**
 * Reads the address of a module, or of a registry of modules: https, or http on loopback, where nobody can change
 * what is fetched.
 *
 * @throws {RangeError}
 */
export function readModuleUrl(value: string): string {
  let url: URL;
  try {
    url = new URL(value);
  } catch {
    throw new RangeError(`${show(value)} is not an address: write https://HOST/PATH`);
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new RangeError(`${show(value)} is not an https: address`);
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    throw new RangeError(
      `${show(value)} cannot be used: over http: anybody on the way can change the code; write https:, ` +
        "or http: with a loopback host such as 127.0.0.1",
    );
  }
  if (url.username !== "" || url.password !== "") {
    throw new RangeError(
      `${
        show(value.replace(/\/\/[^@]*@/, "//…@"))
      } has a user name or password: it would stand in the lock file ` +
        "and in logs; leave it out",
    );
  }
  if (url.hash !== "") throw new RangeError(`${show(value)} has a fragment: leave out ${show(url.hash)}`);
  return url.href;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** `use:` as it was, or could have been, written. */
export function useText(use: FilterUse): string {
  switch (use.kind) {
    case "bundled":
      return `bundled:${use.name}`;
    case "path":
      return use.path;
    case "url":
      return use.url;
    case "jsr":
      return use.specifier;
  }
}

/** The name of a filter that was given none: `bundled:footer` and `./footer.ts` are both `footer`. */
export function nameOf(use: FilterUse): string {
  switch (use.kind) {
    case "bundled":
      return use.name;
    case "jsr":
      return fitting(use.specifier.split("/")[1 + Number(use.specifier.startsWith("jsr:/"))]);
    case "path":
      return nameOfPath(use.path);
    case "url": {
      const { pathname, hostname } = new URL(use.url);
      return pathname === "/" ? fitting(hostname) : nameOfPath(pathname);
    }
  }
}

/** The name of an upstream milter that was given none: `127.0.0.1_8891`, `opendkim.sock`. */
export function nameOfUpstream(address: Address): string {
  return address.kind === "unix"
    ? fitting(address.path.split("/").at(-1)!)
    : fitting(`${address.host}_${address.port}`);
}

function nameOfPath(path: string): string {
  const parts = path.split(/[\\/]/).filter((part) => part !== "");
  const file = (parts.at(-1) ?? "").replace(/\.[cm]?[jt]sx?$/, "");
  // A module called mod or main is known by its folder.
  const best = /^(mod|main|index)$/.test(file) && parts.length > 1 && !/^\.+$/.test(parts.at(-2)!)
    ? parts.at(-2)!
    : file;
  return fitting(best);
}

/** Without a version behind `@`, and with the letters that a name may have. */
function fitting(text: string): string {
  return text.replace(/(?<=.)@.*$/, "").replaceAll(/[^A-Za-z0-9._-]/g, "_").replace(/^[^A-Za-z0-9]+/, "")
    .slice(0, 64) || "filter";
}
