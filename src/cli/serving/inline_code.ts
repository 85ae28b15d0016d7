/**
 * The code of filters without a sandbox: Deno keeps a module, once imported, until the program ends.
 *
 * @module
 */
import { hashOf } from "../../loader/hash.ts";
import { CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import type { ReadConfig } from "../load_config.ts";
import { filterText, filterUrl } from "../load_filter.ts";
import { pathOfUrl } from "../rights.ts";

/**
 * Remembers what the files of such filters held, so that a change that cannot take effect is not passed over, and no
 * thread runs other code than the others.
 */
export class InlineCode {
  readonly #hashes = new Map<string, string>();

  /** The hashes of the files by their paths. */
  get hashes(): ReadonlyMap<string, string> {
    return this.#hashes;
  }

  /** What files have to hold that have not been looked at here. */
  expect(hashes: ReadonlyMap<string, string>): void {
    for (const [path, hash] of hashes) this.#hashes.set(path, this.#hashes.get(path) ?? hash);
  }

  /**
   * To be called before the filters of a configuration are opened. Of a filter of several modules only the first is
   * looked at.
   *
   * @throws {CommandError} if a file is not what it was when it was first loaded, here or in another thread
   */
  async check({ config, base }: ReadConfig, io: Io): Promise<void> {
    for (const filter of config.filters) {
      if (filter.kind !== "filter" || filter.isolation !== "none" || filter.use.kind !== "path") continue;
      const path = pathOfUrl(filterUrl(filter, base));
      const bytes = await io.readFile(path).catch(() => undefined);
      // That it cannot be read is said when it is loaded.
      if (bytes === undefined) continue;
      const hash = await hashOf(new Uint8Array(bytes));
      const before = this.#hashes.get(path);
      this.#hashes.set(path, before ?? hash);
      if (before === undefined || before === hash) continue;
      throw new CommandError(
        `Cannot load ${
          filterText(filter, base)
        } anew: its file has changed, and without a sandbox code stays what it ` +
          "was until the program ends; restart it, or leave out isolation: none",
        2,
      );
    }
  }
}
