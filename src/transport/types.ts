/**
 * Byte pipes: what the server needs of a socket, and nothing of any runtime.
 *
 * @module
 */

/** One connection from an MTA: a pair of web streams, with a shortcut past them where the runtime has one. */
export interface Connection {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  /** Who is at the other end, for logs: `127.0.0.1:40318`, `unix`, `memory`. */
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

/** Reads and writes into the caller's own buffers. */
export interface DirectConnection {
  /** Fills the start of `into`; resolves to the number of bytes, or null at the end. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes from the start of `bytes`; resolves to the number of bytes taken, at least 1. */
  write(bytes: Uint8Array): Promise<number>;
}

/** A listening socket: connections as they come, until it is closed. */
export interface Listener extends AsyncIterable<Connection> {
  /** Where it listens, in the milter spelling, with the port really bound: `inet:8891@127.0.0.1`, `unix:/run/m.sock`. */
  readonly address: string;
  /** Stops accepting and removes what it made (a socket file). Connections stay open. May be called again. */
  close(): void;
}
