/**
 * Packages from JSR, by its own HTTP interface: `meta.json` lists versions, `VERSION_meta.json` the exports and a
 * checksum for each file.
 *
 * @module
 */
// @ts-types="@types/semver"
import semver from "semver";
import { LoadError, quote } from "./error.ts";
import type { Fetcher } from "./fetch.ts";
import { type JsrSpecifier, urlProblem } from "./specifier.ts";

/** Where JSR is unless `JSR_URL` says otherwise. */
export const JSR_BASE = "https://jsr.io/";

/** A module's checksum as its package lists it. */
const CHECKSUM = /^sha256-[0-9a-f]{64}$/;
const ACCEPT = "application/json";

interface VersionMeta {
  readonly exports: ReadonlyMap<string, string>;
  /** Path from the package's root, with a slash at its start, to checksum. */
  readonly files: ReadonlyMap<string, string>;
}

/**
 * The base address from a setting such as `JSR_URL`, with a slash at its end.
 *
 * @throws {LoadError} of kind `use`
 */
export function jsrBase(setting: string): string {
  const fail = (why: string): never => {
    throw new LoadError("use", `Cannot use ${quote(setting)} as JSR's address: ${why}`);
  };
  if (!URL.canParse(setting)) return fail("expected a URL such as https://jsr.io");
  const url = new URL(setting);
  if (url.search !== "" || url.hash !== "") return fail("expected a URL without ? and #");
  const problem = urlProblem(url);
  if (problem !== undefined) return fail(problem);
  return url.href.endsWith("/") ? url.href : `${url.href}/`;
}

/** JSR, asked once for each package and version. */
export class Jsr {
  readonly base: string;
  readonly #fetcher: Fetcher;
  readonly #versions = new Map<string, Promise<readonly string[]>>();
  readonly #metas = new Map<string, Promise<VersionMeta>>();

  constructor(fetcher: Fetcher, base: string) {
    this.#fetcher = fetcher;
    this.base = base;
  }

  /**
   * The URL of the module that a specifier means now: of the newest version in the range, yanked ones aside, and
   * pre-releases aside unless the range names one.
   *
   * @throws {LoadError}
   */
  async resolve(specifier: JsrSpecifier): Promise<string> {
    const name = `@${specifier.scope}/${specifier.name}`;
    const fail = (why: string): never => {
      throw new LoadError(
        "module",
        `Cannot load jsr:${name}${specifier.range && `@${specifier.range}`}: ${why}`,
      );
    };
    const range = specifier.range === "latest" ? "" : specifier.range;
    if (semver.validRange(range) === null) {
      return fail(
        `${quote(specifier.range)} is not a version range; expected for example 1.2.3, ^1.2 or ~1.2`,
      );
    }
    const versions = await once(this.#versions, name, () => this.#versionsOf(name));
    const version = semver.maxSatisfying([...versions], range);
    if (version === null) {
      const newest = semver.rsort([...versions])[0];
      return fail(newest === undefined ? "it has no version" : `no version matches; the newest is ${newest}`);
    }
    const { exports } = await this.#metaOf(name, version);
    const path = exports.get(specifier.export);
    if (path === undefined) {
      const known = [...exports.keys()].slice(0, 20).map(quote).join(", ");
      return fail(`version ${version} has no export ${quote(specifier.export)}; it has ${known || "none"}`);
    }
    const root = `${this.base}${name}/${version}/`;
    const url = new URL(path, root).href;
    return url.startsWith(root) && this.#placeOf(url) !== undefined
      ? url
      : fail(`its export ${quote(specifier.export)} leaves the package`);
  }

  /**
   * The checksum that JSR lists for a URL of its own; undefined for URLs elsewhere.
   *
   * @throws {LoadError} if it is in a package that does not list it
   */
  async checksumOf(url: string): Promise<string | undefined> {
    const place = this.#placeOf(url);
    if (place === undefined) return undefined;
    const { files } = await this.#metaOf(place.name, place.version);
    const checksum = files.get(place.path);
    if (checksum === undefined) {
      throw new LoadError("module", `Cannot load ${url}: ${place.name}@${place.version} lists no such file`);
    }
    return checksum;
  }

  #placeOf(
    url: string,
  ): { readonly name: string; readonly version: string; readonly path: string } | undefined {
    if (!url.startsWith(this.base)) return undefined;
    const match = /^(@[a-z0-9-]+\/[a-z0-9-]+)\/([^/?]+)(\/[^?]*)(\?.*)?$/.exec(url.slice(this.base.length));
    if (match === null || semver.valid(match[2]) !== match[2]) return undefined;
    const fail = (why: string): never => {
      throw new LoadError("module", `Cannot load ${url}: ${why}`);
    };
    if (match[4] !== undefined) return fail(`files of a JSR package have no ${quote(match[4])}`);
    try {
      return { name: match[1], version: match[2], path: decodeURIComponent(match[3]) };
    } catch {
      return fail("its name has a % that is no escape");
    }
  }

  async #versionsOf(name: string): Promise<readonly string[]> {
    const meta = await this.#json(`${this.base}${name}/meta.json`);
    const versions = isMap(meta) && isMap(meta.versions) ? meta.versions : {};
    return Object.entries(versions)
      // In its normal spelling, since it becomes part of a URL.
      .filter(([version, about]) =>
        semver.valid(version) === version && !(isMap(about) && about.yanked === true)
      )
      .map(([version]) => version);
  }

  #metaOf(name: string, version: string): Promise<VersionMeta> {
    return once(this.#metas, `${name}@${version}`, async () => {
      const meta = await this.#json(`${this.base}${name}/${version}_meta.json`);
      const exports = new Map<string, string>();
      const files = new Map<string, string>();
      if (isMap(meta) && isMap(meta.exports)) {
        for (const [key, path] of Object.entries(meta.exports)) {
          if (typeof path === "string") exports.set(key, path);
        }
      }
      if (isMap(meta) && isMap(meta.manifest)) {
        for (const [path, about] of Object.entries(meta.manifest)) {
          const checksum = isMap(about) ? about.checksum : undefined;
          if (typeof checksum === "string" && CHECKSUM.test(checksum)) files.set(path, checksum);
        }
      }
      return { exports, files };
    });
  }

  async #json(url: string): Promise<unknown> {
    const answer = await this.#fetcher.get(url, ACCEPT);
    if (answer.kind === "redirect") {
      throw new LoadError(
        "network",
        `Cannot fetch ${url}: it redirects to ${answer.to}, which JSR does not do; set JSR_URL to where it really is`,
      );
    }
    try {
      return JSON.parse(new TextDecoder().decode(answer.bytes));
    } catch (error) {
      throw new LoadError("network", `Cannot read ${url}: it is not JSON; is JSR_URL right?`, {
        cause: error,
      });
    }
  }
}

function once<T>(known: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const found = known.get(key);
  if (found !== undefined) return found;
  const made = make();
  known.set(key, made);
  return made;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
