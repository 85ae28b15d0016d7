/**
 * What `use:` of a filter may be, and which addresses may be asked for modules.
 *
 * @module
 */
import { LoadError, quote } from "./error.ts";

/** Where a filter comes from. */
export type Use =
  /** A filter that ships with the program. */
  | { readonly kind: "bundled"; readonly name: string }
  /** A file, as written; whoever knows the folder of the configuration makes a file: URL of it. */
  | { readonly kind: "path"; readonly path: string }
  /** A module on a server: `https:`, or `http:` on this machine. */
  | { readonly kind: "url"; readonly url: string }
  /** A module of a JSR package. */
  | { readonly kind: "jsr"; readonly jsr: JsrSpecifier };

/** `jsr:@scope/name@range/path`, in its parts. */
export interface JsrSpecifier {
  readonly scope: string;
  readonly name: string;
  /** A semver range; empty for the newest version. */
  readonly range: string;
  /** The key in the package's `exports`: `"."` or `"./path"`. */
  readonly export: string;
}

/** Longer addresses are refused: they stand in the lock, in messages and in memory. */
export const LONGEST_URL = 2048;

const JSR = /^jsr:\/?@([a-z0-9-]{2,40})\/([a-z0-9-]{1,60})(?:@([^/]{0,100}))?(?:\/(.*))?$/;
const PATH = /^(?:\.{0,2}[\\/]|[A-Za-z]:[\\/])/;

/**
 * Reads `use:`.
 *
 * @throws {LoadError} of kind `use`, with what to write instead
 */
export function parseUse(text: string): Use {
  const fail = (why: string): never => {
    throw new LoadError("use", `Cannot use ${quote(text)} as a filter: ${why}`);
  };
  const bundled = /^bundled:(.*)$/s.exec(text);
  if (bundled) {
    if (!/^[a-z0-9][a-z0-9_-]{0,63}$/.test(bundled[1])) {
      return fail(
        `${quote(bundled[1])} is not the name of a bundled filter; write for example bundled:footer`,
      );
    }
    return { kind: "bundled", name: bundled[1] };
  }
  if (PATH.test(text)) return { kind: "path", path: text };
  if (/^jsr:/i.test(text)) {
    const jsr = parseJsr(text);
    return jsr === undefined
      ? fail("expected jsr:@scope/name, jsr:@scope/name@1.2 or jsr:@scope/name@^1.2/path")
      : { kind: "jsr", jsr };
  }
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]+):/.exec(text)?.[1].toLowerCase();
  switch (scheme) {
    case "https":
    case "http": {
      if (!URL.canParse(text)) return fail("it is not a well-formed URL; expected https://HOST/PATH/mod.ts");
      const url = new URL(text);
      if (url.hash !== "") return fail(`leave out ${quote(url.hash)}: a module has no parts to point at`);
      const problem = urlProblem(url);
      if (problem !== undefined) return fail(problem);
      return { kind: "url", url: url.href };
    }
    case "file":
      return fail("write the plain path, without file:");
    case "npm":
      return fail("npm packages are not loaded as filters; publish it on JSR, or give the URL of its module");
    case undefined: {
      const advice = text === ""
        ? "it is empty; write https://HOST/PATH/mod.ts, ./filter.ts, jsr:@scope/name or bundled:NAME"
        : `write ./${text} for a file, bundled:${text} for a bundled filter, https://${text} for a URL`;
      return fail(advice);
    }
    default:
      return fail(
        `${quote(`${scheme}:`)} is not a way to load filters; expected https:, jsr:, bundled: or a path`,
      );
  }
}

/** The parts of a `jsr:` specifier; undefined if it is none. */
export function parseJsr(text: string): JsrSpecifier | undefined {
  if (text.length > LONGEST_URL) return undefined;
  const match = JSR.exec(text);
  if (match === null) return undefined;
  const [, scope, name, range = "", path = ""] = match;
  return { scope, name, range: decode(range), export: path === "" ? "." : `./${path}` };
}

/** `%5E1` is how some tools write `^1`. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Why a module may not be fetched from a URL; undefined if it may. */
export function urlProblem(url: URL): string | undefined {
  if (url.href.length > LONGEST_URL) {
    return `the URL has ${url.href.length} characters; at most ${LONGEST_URL} are taken`;
  }
  if (url.username !== "" || url.password !== "") {
    return "the URL has a user name or password, which would stand in millrace.lock and in logs; " +
      "fetch such a module to a file and use its path";
  }
  if (url.protocol === "https:") return undefined;
  if (url.protocol === "http:") {
    if (isLoopback(url)) return undefined;
    return "http: is taken on this machine only (127.0.0.1, localhost), since anybody on the way could change the " +
      "module; write https:";
  }
  return `${quote(url.protocol)} is not a way to fetch modules; expected https:`;
}

/**
 * Is it an address of this machine, by its spelling? Names that merely resolve to one are not looked up: what such a
 * server answers is still only taken as a module, and pinned.
 */
export function isLoopback(url: URL): boolean {
  const host = url.hostname.toLowerCase().replace(/\.$/, "");
  return host === "localhost" || host.endsWith(".localhost") || /^127(?:\.\d+){3}$/.test(host) ||
    host === "[::1]" || host === "0.0.0.0" || host === "[::]" || /^\[::ffff:7f[0-9a-f]{2}:/.test(host);
}
