/**
 * Archives in a folder, each under its hash. Nothing is believed because it is there: whatever is read is hashed first.
 *
 * @module
 */
import { LONGEST_ARCHIVE } from "./archive.ts";
import { LoadError, reasonOf } from "./error.ts";
import type { Files } from "./files.ts";
import { HASH, hashOf } from "./hash.ts";

/** Archives by hash. */
export class ArchiveCache {
  readonly #files: Files;
  readonly #folder: string;

  /** @param folder Its path; it is made when the first archive is written. */
  constructor(files: Files, folder: string) {
    this.#files = files;
    this.#folder = folder.replace(/\/+$/, "") || "/";
  }

  /** The file that holds an archive. */
  pathOf(hash: string): string {
    if (!HASH.test(hash)) throw new TypeError(`"${hash}" is not a hash`);
    return `${this.#folder}/${hash}.json`;
  }

  /**
   * The archive with a hash; undefined if it is not there.
   *
   * @throws {LoadError} of kind `cache` if it cannot be read or is not what its name says
   */
  async read(hash: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const path = this.pathOf(hash);
    let bytes: Uint8Array<ArrayBuffer> | undefined;
    try {
      bytes = await this.#files.read(path, LONGEST_ARCHIVE);
    } catch (error) {
      throw new LoadError("cache", `Cannot read the archive ${path}: ${reasonOf(error)}`, { cause: error });
    }
    if (bytes === undefined) return undefined;
    const found = await hashOf(bytes);
    if (found !== hash) {
      throw new LoadError(
        "cache",
        `Cannot use the archive ${path}: its hash is ${found}, pinned is ${hash}; it was changed or damaged after ` +
          "millrace lock wrote it. Find out how, then delete the file and run millrace lock",
      );
    }
    return bytes;
  }

  /**
   * Keeps an archive; a damaged one under its hash is replaced.
   *
   * @returns its hash
   * @throws {LoadError} of kind `cache`
   */
  async write(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
    const hash = await hashOf(bytes);
    const path = this.pathOf(hash);
    try {
      await this.#files.replace(path, bytes, 0o600);
    } catch (error) {
      throw new LoadError("cache", `Cannot write the archive ${path}: ${reasonOf(error)}`, { cause: error });
    }
    return hash;
  }
}
