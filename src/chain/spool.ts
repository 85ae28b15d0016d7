/**
 * Where a body waits for the links after the first: in memory, past a limit in a file.
 *
 * @module
 */
import { DATA_SIZE, type Frame, frameHead, OwnFrame, SMFIC } from "../protocol/mod.ts";
import type { Steps } from "./steps.ts";

/** A file that nobody else sees, gone when it is closed. */
export interface SpoolFile {
  /** Appends bytes; they may be used again once the promise has settled. */
  write(bytes: Uint8Array): Promise<void>;
  /** Reads from a position into the whole of `into`, or as much as there is; gives the number of bytes. */
  read(at: number, into: Uint8Array): Promise<number>;
  close(): void;
}

/** How much of a body is kept, and where. */
export interface SpoolOptions {
  /** Bytes of one mail's body kept in memory. */
  readonly memory: number;
  /** Makes a file for what is beyond; without it such a mail is refused. */
  readonly open?: () => Promise<SpoolFile>;
}

/** The body is over what may be kept of it. */
export class SpoolFull extends Error {
  override readonly name = "SpoolFull";
}

/** Bytes before a payload: the length and the command byte. */
const HEAD = 5;

/** A body as SMFIC_BODY frames. Several may read it; the last one who releases it removes the file. */
export class SpooledBody {
  readonly #options: SpoolOptions;
  readonly #chunks: OwnFrame[] = [];
  #inMemory = 0;
  #inFile = 0;
  #file: SpoolFile | undefined;
  #users = 1;

  constructor(options: SpoolOptions) {
    this.#options = options;
  }

  /** Length in bytes. */
  get size(): number {
    return this.#inMemory + this.#inFile;
  }

  /** Takes a chunk, the payload of a frame; waits only for a file. @throws {SpoolFull} */
  *append(frame: Frame): Steps {
    const length = frame.end - frame.start;
    if (length === 0) return;
    if (this.#file === undefined && this.#inMemory + length <= this.#options.memory) {
      const chunk = OwnFrame.of(SMFIC.BODY, length);
      chunk.bytes.set(frame.bytes.subarray(frame.start, frame.end), HEAD);
      this.#chunks.push(chunk);
      this.#inMemory += length;
      return;
    }
    const { open, memory } = this.#options;
    if (open === undefined) {
      throw new SpoolFull(
        `the body is over ${memory} bytes, as much as is kept in memory for later links; ` +
          "raise spool.memory, or name a spool.folder",
      );
    }
    const work = this.#write(open, frame.bytes.subarray(frame.start, frame.end));
    yield { promise: work, timeout: Infinity };
  }

  async #write(open: () => Promise<SpoolFile>, bytes: Uint8Array): Promise<void> {
    try {
      this.#file ??= await open();
      await this.#file.write(bytes);
    } catch (error) {
      throw new SpoolFull(`the spool cannot be written: ${error instanceof Error ? error.message : error}`);
    }
    this.#inFile += bytes.length;
    // Let go while the file was being made.
    if (this.#users === 0) this.#close();
  }

  /** Gives each chunk as a frame to `take`, which has it until it is done. Stops early where that gives false. */
  *read(take: (frame: Frame) => Steps<boolean>): Steps {
    for (const chunk of this.#chunks) if (!(yield* take(chunk))) return;
    const file = this.#file;
    if (file === undefined) return;
    const buffer = new Uint8Array(HEAD + DATA_SIZE);
    for (let at = 0; at < this.#inFile;) {
      const wanted = Math.min(DATA_SIZE, this.#inFile - at);
      let count = 0;
      const reading = file.read(at, buffer.subarray(HEAD, HEAD + wanted)).then((read) => count = read);
      try {
        yield { promise: reading, timeout: Infinity };
      } catch (error) {
        throw new SpoolFull(`the spool cannot be read: ${error instanceof Error ? error.message : error}`);
      }
      if (count === 0) {
        throw new SpoolFull("the spool cannot be read: its file is shorter than what was written");
      }
      frameHead(buffer, SMFIC.BODY, count);
      if (!(yield* take(new OwnFrame(buffer.subarray(0, HEAD + count))))) return;
      at += count;
    }
  }

  /** One more reads it. */
  share(): this {
    this.#users++;
    return this;
  }

  /** One less reads it. */
  release(): void {
    if (--this.#users === 0) this.#close();
  }

  #close(): void {
    this.#chunks.length = 0;
    this.#file?.close();
    this.#file = undefined;
  }
}
