/**
 * Connections inside the program: no sockets, no runtime. For tests, and for links between two parts of one program.
 *
 * @module
 */
import { TransportError } from "./errors.ts";
import { byteStreams } from "./streams.ts";
import type { Connection, DirectConnection, Listener } from "./types.ts";

/** How an in-memory connection behaves. */
export interface MemoryOptions {
  /**
   * Bytes that one direction holds before a write waits.
   * @default {65536}
   */
  readonly bufferSize?: number;
  /**
   * Whether the connection also has `direct`. Without it, users are made to take the streams.
   * @default {false}
   */
  readonly direct?: boolean;
}

/**
 * Two ends of one connection: what is written to the first is read from the second, and the other way round.
 *
 * @throws {RangeError} If `bufferSize` is not a positive whole number.
 */
export function memoryPair(options: MemoryOptions = {}): [Connection, Connection] {
  const { bufferSize = 65536, direct = false } = options;
  if (!Number.isSafeInteger(bufferSize) || bufferSize < 1) {
    throw new RangeError(
      `Cannot make an in-memory connection: bufferSize is ${bufferSize}, expected 1 or more`,
    );
  }
  const there = new MemoryPipe(bufferSize);
  const back = new MemoryPipe(bufferSize);
  return [memoryEnd(back, there, direct), memoryEnd(there, back, direct)];
}

/** A listener that {@linkcode memoryListener} made. */
export interface MemoryListener extends Listener {
  /**
   * Opens a connection to the listener; it waits there until it is accepted.
   *
   * @throws {TransportError} Kind `refused`, if the listener is closed.
   */
  connect(): Connection;
}

/** A listener without a socket: `connect()` is its only door. */
export function memoryListener(options: MemoryOptions = {}): MemoryListener {
  const waiting: Connection[] = [];
  let closed = false;
  let walked = false;
  let wake = (): void => {};

  async function* accepted(): AsyncGenerator<Connection, void, void> {
    try {
      for (;;) {
        const next = waiting.shift();
        if (next !== undefined) yield next;
        else if (closed) return;
        else await new Promise<void>((resolve) => wake = resolve);
      }
    } finally {
      listener.close();
    }
  }

  const listener: MemoryListener = {
    address: "memory",
    connect() {
      if (closed) {
        throw new TransportError("refused", "Cannot connect to the in-memory listener: it is closed");
      }
      const [client, server] = memoryPair(options);
      waiting.push(server);
      wake();
      return client;
    },
    close() {
      closed = true;
      for (const connection of waiting.splice(0)) connection.close();
      wake();
    },
    [Symbol.asyncIterator]() {
      if (walked) {
        throw new TypeError("Cannot accept from the in-memory listener twice: it can be walked through once");
      }
      walked = true;
      return accepted();
    },
  };
  return listener;
}

function memoryEnd(incoming: MemoryPipe, outgoing: MemoryPipe, withDirect: boolean): Connection {
  const direct: DirectConnection = {
    read: (into) => incoming.read(into),
    write: (bytes) => outgoing.write(bytes),
  };
  function close(): void {
    outgoing.end();
    incoming.abandon();
  }
  const { readable, writable } = byteStreams(direct, {
    endWriting: () => Promise.resolve(outgoing.end()),
    close,
  });
  return { readable, writable, peer: "memory", delayedAck: false, ...(withDirect && { direct }), close };
}

/** One direction: a ring of bytes with a waiting reader or a waiting writer, never both for long. */
class MemoryPipe {
  readonly #ring: Uint8Array;
  #start = 0;
  #held = 0;
  /** `ended`: no more writes, what is held can be read. `abandoned`: the reader is gone, nothing can be read. */
  #state: "open" | "ended" | "abandoned" = "open";
  #wakeReader = (): void => {};
  #wakeWriter = (): void => {};

  constructor(size: number) {
    this.#ring = new Uint8Array(size);
  }

  async read(into: Uint8Array): Promise<number | null> {
    while (this.#held === 0 && this.#state === "open" && into.length > 0) {
      await new Promise<void>((resolve) => this.#wakeReader = resolve);
    }
    if (this.#state === "abandoned" || (this.#held === 0 && this.#state === "ended")) return null;
    const count = Math.min(into.length, this.#held, this.#ring.length - this.#start);
    into.set(this.#ring.subarray(this.#start, this.#start + count));
    this.#start = (this.#start + count) % this.#ring.length;
    this.#held -= count;
    this.#wakeWriter();
    return count;
  }

  async write(bytes: Uint8Array): Promise<number> {
    while (this.#held === this.#ring.length && this.#state === "open") {
      await new Promise<void>((resolve) => this.#wakeWriter = resolve);
    }
    if (this.#state !== "open") {
      throw new TransportError("other", "Cannot write to the in-memory connection: it is closed");
    }
    const end = (this.#start + this.#held) % this.#ring.length;
    const count = Math.min(bytes.length, this.#ring.length - this.#held, this.#ring.length - end);
    this.#ring.set(bytes.subarray(0, count), end);
    this.#held += count;
    this.#wakeReader();
    return count;
  }

  /** No more bytes follow. */
  end(): void {
    if (this.#state === "open") this.#state = "ended";
    this.#wakeReader();
    this.#wakeWriter();
  }

  /** Nobody will read any more. */
  abandon(): void {
    this.#state = "abandoned";
    this.#held = 0;
    this.#wakeReader();
    this.#wakeWriter();
  }
}
