/**
 * A socket of Deno as a connection.
 *
 * @module
 */
import { bracketed } from "./address.ts";
import { FairReads } from "./deno_fair_reads.ts";
import { byteStreams } from "./streams.ts";
import type { Connection, DirectConnection } from "./types.ts";

const reads = new FairReads();

/** An open TCP or Unix socket. It owns the socket: nobody else may read, write or close it. */
export class DenoConnection implements Connection {
  readonly peer: string;
  readonly delayedAck: boolean;
  readonly direct: DirectConnection;
  readonly #socket: Deno.Conn;
  #closed = false;
  #streams: ReturnType<typeof byteStreams> | undefined;

  constructor(socket: Deno.Conn) {
    this.#socket = socket;
    reads.open++;
    const { remoteAddr } = socket;
    this.peer = remoteAddr.transport === "tcp"
      ? `${bracketed(remoteAddr.hostname)}:${remoteAddr.port}`
      : "unix";
    this.delayedAck = remoteAddr.transport === "tcp";
    if (isTcp(socket)) setTcpOptions(socket);
    const endOrThrow = (error: unknown): null => {
      // A reset takes only bytes with it that this side sent: for the reader it is an end like any other.
      if (this.#closed || error instanceof Deno.errors.ConnectionReset) return null;
      throw error;
    };
    this.direct = {
      read: (into) => reads.read(socket, into).catch(endOrThrow),
      write: (bytes) => socket.write(bytes),
    };
  }

  get readable(): ReadableStream<Uint8Array> {
    return this.#makeStreams().readable;
  }

  get writable(): WritableStream<Uint8Array> {
    return this.#makeStreams().writable;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    reads.open--;
    this.#socket.close();
  }

  #makeStreams(): ReturnType<typeof byteStreams> {
    return this.#streams ??= byteStreams(this.direct, {
      endWriting: () => this.#closed ? Promise.resolve() : this.#socket.closeWrite(),
      close: () => this.close(),
    });
  }
}

function isTcp(socket: Deno.Conn): socket is Deno.TcpConn {
  return socket.remoteAddr.transport === "tcp";
}

function setTcpOptions(socket: Deno.TcpConn): void {
  try {
    // A milter's replies are small and waited for: never hold them back.
    socket.setNoDelay(true);
    // Ends connections whose MTA vanished without a word; milter connections may be silent for hours.
    socket.setKeepAlive(true);
  } catch {
    // The peer is gone already; the first read will say so.
  }
}
