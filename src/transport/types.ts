/**
 * Byte pipes: what the server needs of a socket, and nothing of any runtime.
 *
 * @module
 */

/**
 * One connection from an MTA: a pair of web streams, with a shortcut past them where the runtime has one.
 *
 * Every implementation keeps the same rules (`contract_test.ts`):
 *
 * - Bytes arrive in order. Where one write ends and the next begins is not kept.
 * - A write waits while the other side does not read.
 * - When the other side closes, or its machine resets the connection, reading ends, after the bytes that
 *   arrived before. Writing then fails, at the latest with the second write.
 * - After `close()` on this side a waiting read ends, a waiting or later write fails.
 * - Closing `writable` sends what was written, then the end; reading goes on until the other side ends as well.
 * - Cancelling `readable` or aborting `writable` gives up the whole connection, like `close()`.
 */
export interface Connection {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  /** Who is at the other end, for logs: `127.0.0.1:40318`, `[::1]:40318`, `unix`, `memory`. */
  readonly peer: string;
  /** True where small writes can wait for a delayed acknowledgement (TCP); the negotiation then avoids such waits. */
  readonly delayedAck: boolean;
  /**
   * The same bytes without stream objects in between: several times as fast on Deno. Used instead of the streams,
   * never beside them.
   */
  readonly direct?: DirectConnection;
  /** Closes both directions at once; may be called again. */
  close(): void;
}

/** Reads and writes into the caller's own buffers. One read and one write may wait at a time. */
export interface DirectConnection {
  /** Fills the start of `into`; resolves to the number of bytes, or null at the end. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes from the start of `bytes`; resolves to the number of bytes taken, at least 1 (0 if there were none). */
  write(bytes: Uint8Array): Promise<number>;
}

/**
 * A listening socket: connections as they come, until it is closed. It can be walked through once; leaving the
 * loop early closes it.
 */
export interface Listener extends AsyncIterable<Connection> {
  /** Where it listens, in the milter spelling, with the port really bound: `inet:8891@127.0.0.1`, `unix:/run/m.sock`. */
  readonly address: string;
  /** Stops accepting and removes what it made (a socket file). Connections stay open. May be called again. */
  close(): void;
}
