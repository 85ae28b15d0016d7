/**
 * Sockets on Deno: the only module with {@linkcode listen} and {@linkcode dial}.
 *
 * The rights that Deno must have been started with, and no others ({@linkcode listenFlags} and
 * {@linkcode dialFlags} print them for an address):
 *
 * | | TCP | Unix socket `D/s` |
 * | --- | --- | --- |
 * | `listen` | `--allow-net=HOST:PORT` | `--allow-read=D --allow-write=D/s,D/.s.new --allow-net=unix:D/s,unix:D/.s.new/s` |
 * | `listen` with a group name | | `--allow-read=/etc/group` as well |
 * | `dial` | `--allow-net=HOST:PORT` | `--allow-read=D/s --allow-write=D/s --allow-net=unix:D/s` |
 *
 * With `--allow-sys=uid` and `--allow-read=/etc/passwd,/etc/group` messages about file permissions have names.
 *
 * @module
 */
import { acceptLoop, wait } from "./accept_loop.ts";
import { type Address, formatAddress, type InetAddress } from "./address.ts";
import { DenoConnection } from "./deno_connection.ts";
import { directoryOf, explainDial, explainListen, netFlag } from "./deno_explain.ts";
import { birthplace, makeSocketFile } from "./deno_socket_file.ts";
import { refuseListenOnly } from "./dialable.ts";
import { messageOf, TransportError } from "./errors.ts";
import type { Connection, Listener } from "./types.ts";

/** How to listen. */
export interface ListenOptions {
  /**
   * Permission bits of a Unix socket; whoever may write may connect.
   * @default {0o660}
   */
  readonly mode?: number;
  /** Group of a Unix socket, by name or number. Without it, the group that new files get. */
  readonly group?: string | number;
  /**
   * Connections that may wait to be accepted, TCP only (Deno gives Unix sockets 1024).
   * @default {511}
   */
  readonly backlog?: number;
  /**
   * TCP only: the address may have several listeners, among which the system spreads connections (SO_REUSEPORT).
   * `first` is refused where anybody listens already, `further` joins those of the same user. Needs Deno's flag
   * {@linkcode SHARED_FLAG}. Default: nobody else may listen there.
   */
  readonly shared?: "first" | "further";
  /**
   * Told what went wrong after the start: kind `accept`, when waiting connections could not be taken (it tries
   * again by itself), and `leftover`, when the socket file could not be removed.
   */
  readonly onError?: (error: TransportError) => void;
}

/** How to connect. */
export interface DialOptions {
  /** Gives up when aborted; `dial` then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * Milliseconds until the connection must be open.
   * @default {30000}
   */
  readonly timeout?: number;
}

/** The flag without which Deno ends the program at an attempt to share an address. */
export const SHARED_FLAG = "--unstable-net";

/** Has this process {@linkcode SHARED_FLAG}? It brings this function, and has no trace else. */
export function maySharePorts(): boolean {
  return "listenDatagram" in Deno;
}

/** What Linux lets a program ask of a queue of waiting connections at most, by default (net.core.somaxconn). */
const defaultBacklog = 511;
/** Pauses while the queue of a Unix listener is full, in milliseconds; the first is doubled up to the longest. */
const firstRetry = 5;
const longestRetry = 500;

/**
 * Listens on a socket. Connections that arrive wait until the listener is walked through.
 *
 * A Unix socket has its group and mode before anybody can connect. A socket file left over from a program that has
 * ended is replaced; one that somebody listens on, and anything that is not a socket, is not. `close()` removes the
 * file, unless another one has taken its place.
 *
 * @throws {TransportError} If the system or Deno's permissions do not let it.
 * @throws {RangeError} If `mode` is not between 0 and 0o777, or `backlog` is less than 1.
 */
export async function listen(address: Address, options: ListenOptions = {}): Promise<Listener> {
  const { mode = 0o660, group, backlog = defaultBacklog, shared, onError = () => {} } = options;
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o777) {
    throw new RangeError(`Cannot listen on ${formatAddress(address)}: mode is ${mode}, expected 0 to 0o777`);
  }
  if (!Number.isInteger(backlog) || backlog < 1) {
    throw new RangeError(
      `Cannot listen on ${formatAddress(address)}: backlog is ${backlog}, expected 1 or more`,
    );
  }
  try {
    if (address.kind === "unix") {
      const { listener, remove } = await makeSocketFile(address, { mode, group });
      return new DenoListener(formatAddress(address), listener, remove, onError);
    }
    const { bound, listener } = listenInet(address, backlog, shared);
    return new DenoListener(formatAddress(bound), listener, () => {}, onError);
  } catch (error) {
    throw explainListen(address, listenFlags(address, options), error);
  }
}

/**
 * Connects to a milter.
 *
 * @throws {TransportError} If nobody answers there or in time, or this program has no right to connect.
 * @throws {AddressError} If the address is one to listen on only: no host, or port 0.
 */
export async function dial(address: Address, options: DialOptions = {}): Promise<Connection> {
  const { signal, timeout = 30_000 } = options;
  refuseListenOnly(address);
  signal?.throwIfAborted();
  const attempt = new AbortController();
  function abort(): void {
    attempt.abort(signal?.reason);
  }
  signal?.addEventListener("abort", abort);
  const timer = setTimeout(() => {
    const reason = `no answer within ${timeout} ms; is the milter overloaded, or a firewall in between?`;
    attempt.abort(new TransportError("timeout", `Cannot connect to ${formatAddress(address)}: ${reason}`));
  }, timeout);
  try {
    return new DenoConnection(await connect(address, attempt.signal));
  } catch (error) {
    if (attempt.signal.aborted) throw attempt.signal.reason;
    throw explainDial(address, dialFlags(address), error);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/** The Deno flags that {@linkcode listen} needs for an address: these and no others. */
export function listenFlags(address: Address, options: Pick<ListenOptions, "group"> = {}): string[] {
  if (address.kind === "inet") return [netFlag(withLoopback(address))];
  const { path } = address;
  const place = birthplace(path);
  const named = typeof options.group === "string" && !/^[0-9]+$/.test(options.group);
  return [
    `--allow-read=${directoryOf(path)}${named ? ",/etc/group" : ""}`,
    `--allow-write=${path},${place.directory}`,
    `--allow-net=unix:${path},unix:${place.path}`,
  ];
}

/** The Deno flags that {@linkcode dial} needs for an address: these and no others. */
export function dialFlags(address: Address): string[] {
  if (address.kind === "inet") return [netFlag(withLoopback(address))];
  const { path } = address;
  return [`--allow-read=${path}`, `--allow-write=${path}`, `--allow-net=unix:${path}`];
}

class DenoListener implements Listener {
  readonly address: string;
  readonly #listener: Deno.Listener;
  readonly #removeFile: () => void;
  readonly #onError: (error: TransportError) => void;
  readonly #closing = new AbortController();
  #walked = false;

  constructor(
    address: string,
    listener: Deno.Listener,
    removeFile: () => void,
    onError: (error: TransportError) => void,
  ) {
    this.address = address;
    this.#listener = listener;
    this.#removeFile = removeFile;
    this.#onError = onError;
  }

  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    try {
      // Before the socket is closed: while it is open, nobody takes the file for a leftover.
      this.#removeFile();
    } catch (error) {
      const message = `Cannot remove the socket file of ${this.address}: ${messageOf(error)}`;
      this.#onError(new TransportError("leftover", message, { cause: error }));
    }
    this.#listener.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Connection, void, void> {
    if (this.#walked) {
      throw new TypeError(`Cannot accept from ${this.address} twice: a listener can be walked through once`);
    }
    this.#walked = true;
    const connections = acceptLoop({
      accept: () => this.#listener.accept(),
      signal: this.#closing.signal,
      discard: (connection) => connection.close(),
      onFailure: (error, pause) => {
        const message =
          `Cannot accept a connection on ${this.address}: ${messageOf(error)}; next attempt in ` +
          `${pause} ms; if this goes on, raise the limit of open files (LimitNOFILE= in the systemd unit) or ` +
          `lower the limit of connections`;
        this.#onError(new TransportError("accept", message, { cause: error }));
      },
    });
    try {
      for await (const connection of connections) yield new DenoConnection(connection);
    } finally {
      this.close();
    }
  }
}

function listenInet(
  address: InetAddress,
  backlog: number,
  shared: ListenOptions["shared"],
): { readonly bound: InetAddress; readonly listener: Deno.TcpListener } {
  const { host, port, family } = withLoopback(address);
  // Shared from the beginning, it would silently join another program of this user.
  if (shared === "first") Deno.listen({ hostname: host, port }).close();
  const listener = Deno.listen({
    hostname: host,
    port,
    tcpBacklog: backlog,
    reusePort: shared !== undefined,
  });
  const { hostname, port: boundPort } = listener.addr;
  if (hostname.includes(":") !== (family === 6)) {
    listener.close();
    const kind = family === 6 ? "inet" : "inet6";
    throw new TransportError(
      "missing",
      `Cannot listen on ${
        formatAddress(address)
      }: ${host} is ${hostname} on this machine; write ${kind}: instead`,
    );
  }
  return { bound: { ...address, port: boundPort }, listener };
}

async function connect(address: Address, signal: AbortSignal): Promise<Deno.Conn> {
  if (address.kind === "inet") {
    const { host, port } = withLoopback(address);
    return await Deno.connect({ hostname: host, port, signal });
  }
  for (let pause = firstRetry;; pause = Math.min(pause * 2, longestRetry)) {
    try {
      const connection = await Deno.connect({ transport: "unix", path: address.path });
      if (!signal.aborted) return connection;
      connection.close();
    } catch (error) {
      // EAGAIN: the queue of waiting connections is full. TCP waits here by itself, Unix sockets do not.
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      await wait(pause, signal);
    }
    signal.throwIfAborted();
  }
}

/** `localhost` as the address of the family that was asked for; other names are left to the system. */
function withLoopback(address: InetAddress): InetAddress {
  if (address.host.toLowerCase() !== "localhost") return address;
  return { ...address, host: address.family === 4 ? "127.0.0.1" : "::1" };
}
