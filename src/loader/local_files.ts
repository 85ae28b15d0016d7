/**
 * Modules of a filter that is a file.
 *
 * They are packed like fetched ones, under addresses of a scheme of their own: `local:///mod.ts` is the file `mod.ts`
 * in the filter's folder. So neither lock nor archive depend on where the folder is, and a filter does not learn it.
 *
 * The graph may not leave the folder, by `..` or by symbolic links: a file that came from elsewhere could otherwise
 * have any JSON file that the administrator may read packed for it, without any right to read.
 *
 * @module
 */
import { LoadError, quote, reasonOf } from "./error.ts";
import type { Files } from "./files.ts";

/** Where addresses of local modules start. */
export const LOCAL_ROOT = "local:///";

/** The folder of a local filter. */
export class LocalFiles {
  readonly #files: Files;
  readonly #folder: URL;
  readonly #entry: string;

  /**
   * @param entry file: URL of the filter's module.
   * @param folder file: URL, with a slash at its end, of the folder that its modules are in; default: the entry's own.
   */
  constructor(files: Files, entry: URL, folder: URL = new URL("./", entry)) {
    this.#files = files;
    this.#folder = folder;
    if (!entry.href.startsWith(folder.href)) {
      throw new LoadError(
        "use",
        `Cannot use ${quote(entry.href)} as a filter: it is not in ${quote(folder.href)}`,
      );
    }
    this.#entry = LOCAL_ROOT + entry.href.slice(folder.href.length);
  }

  /** Address of the filter's own module. */
  get entry(): string {
    return this.#entry;
  }

  /** The bytes of a module. */
  async read(address: string, most: number): Promise<Uint8Array<ArrayBuffer>> {
    const url = new URL(address.slice(LOCAL_ROOT.length), this.#folder);
    const fail = (why: string, cause?: unknown): never => {
      throw new LoadError("module", `Cannot load ${url.pathname}: ${why}`, {
        cause,
      });
    };
    if (!url.href.startsWith(this.#folder.href)) return fail("it is outside the filter's folder");
    let bytes: Uint8Array<ArrayBuffer> | undefined;
    try {
      const folder = await this.#files.realPath(this.#folder);
      const real = await this.#files.realPath(url);
      const within = folder !== undefined && real?.startsWith(`${folder.replace(/[\\/]$/, "")}/`);
      // The entry was named by the administrator and may be a link to anywhere.
      if (real !== undefined && !within && address !== this.#entry) {
        return fail(`it is a link to ${quote(real)}, outside the filter's folder; put the file itself there`);
      }
      bytes = await this.#files.read(url, most);
    } catch (error) {
      if (error instanceof LoadError) throw error;
      return fail(reasonOf(error), error);
    }
    return bytes ?? fail("there is no such file");
  }
}
