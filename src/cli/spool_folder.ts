/**
 * Files for bodies that are too large for memory: nobody else sees them, and nothing is left of them after a crash.
 *
 * @module
 */
import type { SpoolFile } from "../chain/spool.ts";
import { CommandError } from "./command.ts";

/**
 * Makes spool files in a folder.
 *
 * @throws {CommandError} if none can be made there: better known now than when a mail needs one.
 */
export async function spoolFolder(path: string): Promise<() => Promise<SpoolFile>> {
  const open = () => FolderFile.open(path);
  try {
    (await open()).close();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new CommandError(
      `Cannot use the folder ${path} (spool.folder): ${text}; it must be there, and writable for the user that runs ` +
        "the program (millrace flags prints the rights that Deno needs)",
      2,
      { cause: error },
    );
  }
  return open;
}

class FolderFile implements SpoolFile {
  readonly #file: Deno.FsFile;
  #end = 0;
  /** One thing at a time: the position belongs to the file, not to who uses it. */
  #busy: Promise<unknown> = Promise.resolve();

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  static async open(folder: string): Promise<FolderFile> {
    const path = `${folder}/millrace-${crypto.randomUUID()}`;
    const file = await Deno.open(path, { read: true, write: true, createNew: true, mode: 0o600 });
    try {
      // Without a name it goes with whoever has it open, however that one ends.
      await Deno.remove(path);
    } catch (error) {
      file.close();
      throw error;
    }
    return new FolderFile(file);
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      await this.#file.seek(this.#end, Deno.SeekMode.Start);
      for (let rest = bytes; rest.length > 0;) {
        const count = await this.#file.write(rest);
        this.#end += count;
        rest = rest.subarray(count);
      }
    });
  }

  read(at: number, into: Uint8Array): Promise<number> {
    return this.#inTurn(async () => {
      await this.#file.seek(at, Deno.SeekMode.Start);
      let length = 0;
      while (length < into.length) {
        const count = await this.#file.read(into.subarray(length));
        if (count === null) break;
        length += count;
      }
      return length;
    });
  }

  close(): void {
    // What is under way ends first; the number of a closed file may be another's by then.
    void this.#busy.finally(() => this.#file.close());
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#busy.then(work);
    this.#busy = done.catch(() => {});
    return done;
  }
}
