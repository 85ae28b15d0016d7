/**
 * The few things that the loader does with files, so that the rest of it needs no runtime.
 *
 * @module
 */

/** Files of a runtime. Paths are absolute, or relative to the process's folder; URLs are file: URLs. */
export interface Files {
  /**
   * The bytes of a regular file; undefined if there is none.
   *
   * @param most Longest content; a longer file is an error, and so is anything that is no regular file
   * @throws {Error} in words that name the reason, not the file
   */
  read(file: string | URL, most: number): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /**
   * Writes a file as a whole or not at all; makes its folder, for its owner only, if need be.
   *
   * @param mode Permission bits of the file.
   * @throws {Error}
   */
  replace(file: string, bytes: Uint8Array, mode: number): Promise<void>;
  /**
   * The file or folder that a path leads to when all symbolic links are followed; undefined if there is none.
   *
   * @throws {Error}
   */
  realPath(file: string | URL): Promise<string | undefined>;
}
