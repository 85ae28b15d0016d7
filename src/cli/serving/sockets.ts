/**
 * The listening sockets of a configuration: which stay when it changes, which are opened, which are closed.
 *
 * @module
 */
import type { Config } from "../../config/schema.ts";
import type { ServerLog } from "../../server/serve.ts";
import { type Address, formatAddress, parseAddress } from "../../transport/address.ts";
import { listen, type ListenOptions } from "../../transport/deno.ts";
import { TransportError } from "../../transport/errors.ts";
import type { Listener } from "../../transport/types.ts";
import { CommandError } from "../command.ts";

/** An address of the configuration with its open socket. */
export interface OpenSocket {
  /** As configured; the listener has the port that was bound. */
  readonly address: Address;
  readonly listener: Listener;
}

/** From one set of sockets to the next. */
export interface SocketChange {
  readonly kept: readonly OpenSocket[];
  /** Open already. */
  readonly added: readonly OpenSocket[];
  /** Still open. */
  readonly removed: readonly OpenSocket[];
}

/** The part of a configuration that sockets are made of. */
export type SocketConfig = Pick<Config, "listen" | "socket">;

/** The sockets that are open, and the configuration that they came from. */
export interface OpenSockets {
  readonly open: readonly OpenSocket[];
  readonly config: SocketConfig;
}

/**
 * Opens the sockets that a configuration has and `before` does not. Those that are open are left as they are.
 *
 * @param shared How TCP addresses are shared with other threads.
 * @throws {CommandError} if one cannot be opened, or one that stays would have to be another; then none is opened
 */
export async function changeSockets(
  after: SocketConfig,
  log: ServerLog,
  before: OpenSockets,
  shared?: ListenOptions["shared"],
): Promise<SocketChange> {
  const removed = [...before.open];
  const kept: OpenSocket[] = [];
  const missing: Address[] = [];
  for (const address of after.listen) {
    const at = removed.findIndex((socket) => formatAddress(socket.address) === formatAddress(address));
    if (at < 0) missing.push(address);
    else kept.push(...removed.splice(at, 1));
  }
  refuseOthers(kept, before.config.socket, after.socket);
  const added: OpenSocket[] = [];
  try {
    for (const address of missing) {
      const options = { ...after.socket, shared };
      added.push({ address, listener: await openSocket(address, options, log, removed) });
    }
  } catch (error) {
    closeSockets(added);
    throw error;
  }
  return { kept, added, removed };
}

/** Closes sockets; connections stay open. */
export function closeSockets(sockets: readonly OpenSocket[]): void {
  for (const { listener } of sockets) listener.close();
}

/**
 * Opens one socket.
 *
 * @param ours Sockets that are still open now and will be closed: if one is in the way, the message says so.
 * @throws {CommandError}
 */
export async function openSocket(
  address: Address,
  options: Pick<ListenOptions, "mode" | "group" | "shared">,
  log: ServerLog,
  ours: readonly OpenSocket[] = [],
): Promise<Listener> {
  const onError = (error: TransportError) =>
    log.event("error", error.message, { address: formatAddress(address) });
  try {
    return await listen(address, { ...options, onError });
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    const own = ours.map(({ listener }) => listener.address).find((text) =>
      samePort(parseAddress(text), address)
    );
    const message = error.kind !== "in-use" || own === undefined
      ? error.message
      : `Cannot listen on ${
        formatAddress(address)
      } beside ${own}, which this program has open: both are the same ` +
        "port; restart it to go from one to the other";
    throw new CommandError(message, 1, { cause: error });
  }
}

function samePort(one: Address, other: Address): boolean {
  return one.kind === "inet" && other.kind === "inet" && one.port === other.port;
}

/** The file of a socket that stays open keeps the mode and group that it was made with. */
function refuseOthers(
  kept: readonly OpenSocket[],
  before: SocketConfig["socket"],
  after: SocketConfig["socket"],
): void {
  const file = kept.find(({ address }) => address.kind === "unix");
  const key = (["mode", "group"] as const).find((key) => before[key] !== after[key]);
  if (file === undefined || key === undefined) return;
  throw new CommandError(
    `Cannot change socket.${key} while ${file.listener.address} stays open: restart the program, or give the socket ` +
      "another path as well",
    2,
  );
}
