/**
 * Reads and writes on a connection that has only web streams.
 *
 * @module
 */
import type { Connection, DirectConnection } from "./types.ts";

/** The connection's own shortcut, or the same on top of its streams. */
export function directOf(connection: Connection): DirectConnection {
  return connection.direct ?? new StreamIo(connection);
}

class StreamIo implements DirectConnection {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  /** What a chunk brought beyond the room of the last read. */
  #rest: Uint8Array = new Uint8Array(0);

  constructor(connection: Connection) {
    this.#reader = connection.readable.getReader();
    this.#writer = connection.writable.getWriter();
  }

  async read(into: Uint8Array): Promise<number | null> {
    while (this.#rest.length === 0) {
      const { value, done } = await this.#reader.read();
      if (done) return null;
      this.#rest = value;
    }
    const part = this.#rest.subarray(0, into.length);
    into.set(part);
    this.#rest = this.#rest.subarray(part.length);
    return part.length;
  }

  async write(bytes: Uint8Array): Promise<number> {
    // A copy: the stream may keep the chunk after the write is done, and the buffer is used again.
    await this.#writer.write(bytes.slice());
    return bytes.length;
  }
}
