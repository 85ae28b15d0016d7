/**
 * {@linkcode Files} by Deno. Needs read permission for what it reads, write permission for the cache and lock.
 *
 * @module
 */
import type { Files } from "./files.ts";

/** The files of this machine. */
export const denoFiles: Files = {
  async read(file, most) {
    const opened = await orNone(() => openRegular(file));
    if (opened === undefined) return undefined;
    try {
      const { size } = await opened.stat();
      if (size > most) throw new RangeError(`it has ${size} bytes, more than ${most}`);
      // It may grow while it is read: one byte of room tells.
      const bytes = new Uint8Array(size + 1);
      let length = 0;
      for (let read; length < bytes.length && (read = await opened.read(bytes.subarray(length))) !== null;) {
        length += read;
      }
      if (length > size) throw new RangeError("it changed while it was read; try again");
      return bytes.slice(0, length);
    } finally {
      opened.close();
    }
  },

  async replace(file, bytes, mode) {
    const folder = file.replace(/[\\/][^\\/]*$/, "");
    if (folder !== file && folder !== "") await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    const draft = `${file}.${crypto.randomUUID()}.tmp`;
    try {
      const opened = await Deno.open(draft, { write: true, createNew: true, mode });
      try {
        for (let at = 0; at < bytes.length;) at += await opened.write(bytes.subarray(at));
        // Renamed before its content is on disk, a crash could leave an empty file under the right name.
        await opened.sync();
      } finally {
        opened.close();
      }
      await Deno.rename(draft, file);
    } catch (error) {
      await Deno.remove(draft).catch(() => {});
      throw error;
    }
  },

  realPath: (file) => orNone(() => Deno.realPath(file)),
};

/** Looks before it opens: opening a named pipe would wait for a writer. */
async function openRegular(file: string | URL): Promise<Deno.FsFile> {
  if (!(await Deno.stat(file)).isFile) throw new TypeError("it is not a regular file");
  return await Deno.open(file);
}

async function orNone<T>(action: () => Promise<T>): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}
