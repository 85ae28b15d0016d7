/**
 * The file of a listening Unix socket: made with its owner and mode before anybody can connect, taken over from a
 * program that has ended, removed at the end.
 *
 * @module
 */
import { formatAddress, longestUnixPath, type UnixAddress } from "./address.ts";
import { messageOf, TransportError } from "./errors.ts";
import { directoryOf, fileKind, groupNumber, ownership } from "./deno_explain.ts";

/** Owner and mode of a socket file. */
export interface SocketFileOptions {
  /** Permission bits. Whoever may write may connect. */
  readonly mode: number;
  /** Group by name or number; undefined leaves the group that new files get. */
  readonly group: string | number | undefined;
}

/** A listening socket together with its file. */
export interface SocketFile {
  readonly listener: Deno.UnixListener;
  /** Removes the file if it is still the one that was made here. To be called while the listener is open. */
  remove(): void;
}

/** How often the lock of the directory is asked for, and the milliseconds between two attempts. */
const lockAttempts = 250;
const lockPause = 20;

/** A directory that only this program can enter, beside the socket, and the name the socket is born under. */
export function birthplace(path: string): { readonly directory: string; readonly path: string } {
  const parent = directoryOf(path);
  const directory = `${parent === "/" ? "" : parent}/.${nameOf(path)}.new`;
  return { directory, path: `${directory}/s` };
}

/**
 * Listens on a Unix socket.
 *
 * The socket is bound in a directory of mode 0700, gets its group and mode there, and is then renamed to where it
 * belongs, so that it never exists at its place with other rights, and a file left over from an earlier run is
 * replaced in one step. (Setting the umask would need `--allow-sys` as a whole.) Programs such as `ss` go on showing
 * the name it was bound to. A lock on the parent directory
 * keeps two programs that start at the same moment from both taking over the same leftover; the system drops it when
 * the program ends in whatever way.
 *
 * @throws What Deno throws, or {@linkcode TransportError}.
 */
export async function makeSocketFile(address: UnixAddress, options: SocketFileOptions): Promise<SocketFile> {
  const place = birthplace(address.path);
  const tooLong = new TextEncoder().encode(place.path).length - longestUnixPath;
  if (tooLong > 0) {
    throw refusal(
      "other",
      address,
      `its path is ${tooLong} bytes too long for a socket to listen on; shorten it`,
    );
  }
  const gid = options.group === undefined ? undefined : groupNumber(options.group);
  using _lock = await lockDirectory(address);
  await refuseIfTaken(address);
  // Nothing below awaits, so that no other part of this program comes in between.
  removeBirthplace(address, place);
  Deno.mkdirSync(place.directory, { mode: 0o700 });
  try {
    const listener = Deno.listen({ transport: "unix", path: place.path });
    try {
      if (gid !== undefined) giveToGroup(address, place.path, gid, options.group);
      Deno.chmodSync(place.path, options.mode);
      const made = Deno.lstatSync(place.path);
      Deno.renameSync(place.path, address.path);
      return { listener, remove: () => removeIfSame(address.path, made) };
    } catch (error) {
      listener.close();
      throw error;
    }
  } finally {
    removeBirthplace(address, place);
  }
}

async function lockDirectory(address: UnixAddress): Promise<Deno.FsFile> {
  const directory = directoryOf(address.path);
  const file = await Deno.open(directory, { read: true });
  try {
    for (let attempt = 0; attempt < lockAttempts; attempt++) {
      if (await file.tryLock(true)) return file;
      await new Promise((resolve) => setTimeout(resolve, lockPause));
    }
  } catch (error) {
    file.close();
    throw error;
  }
  file.close();
  throw refusal(
    "in-use",
    address,
    `another program holds the lock on ${directory}; give the socket a directory of its own`,
  );
}

/** Leaves if nothing is at the path, or a socket that nobody listens on. */
async function refuseIfTaken(address: UnixAddress): Promise<void> {
  const info = lstatIfThere(address.path);
  if (info === undefined) return;
  if (!info.isSocket) {
    throw refusal(
      "not-a-socket",
      address,
      `there is a ${fileKind(info)} of that name, and only left-over sockets are replaced; ` +
        `move it away, or choose another path`,
    );
  }
  try {
    const live = await Deno.connect({ transport: "unix", path: address.path });
    live.close();
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused || error instanceof Deno.errors.NotFound) return;
    if (error instanceof Deno.errors.PermissionDenied) {
      throw refusal(
        "denied",
        address,
        `there is a socket (${ownership(info)}) that this program may not connect to, so it cannot tell ` +
          `whether it is in use; remove it if it is not`,
        error,
      );
    }
    // WouldBlock: somebody listens, but the queue is full.
    if (!(error instanceof Deno.errors.WouldBlock)) {
      throw refusal("other", address, `the socket of that name did not answer: ${messageOf(error)}`, error);
    }
  }
  throw refusal(
    "in-use",
    address,
    `another program, or another line of the same configuration, already listens there; ` +
      `find it with "ss -lxp | grep ${nameOf(address.path)}" and stop it, or choose another path`,
  );
}

function giveToGroup(
  address: UnixAddress,
  path: string,
  gid: number,
  group: string | number | undefined,
): void {
  try {
    Deno.chownSync(path, null, gid);
  } catch (error) {
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    throw refusal(
      "denied",
      address,
      `the socket cannot be given to group ${group}: only root and members of that group may; ` +
        `add the user that runs this program to it (usermod -aG ${group} USER)`,
      error,
    );
  }
}

/** Removes what an earlier run may have left when it was killed, or what this one needs no more. */
function removeBirthplace(
  address: UnixAddress,
  place: { readonly directory: string; readonly path: string },
): void {
  const info = lstatIfThere(place.directory);
  if (info === undefined) return;
  if (!info.isDirectory) {
    throw refusal(
      "not-a-socket",
      address,
      `${place.directory} is needed for a moment, but there is a ${
        fileKind(info)
      } of that name; move it away`,
    );
  }
  if (lstatIfThere(place.path) !== undefined) Deno.removeSync(place.path);
  Deno.removeSync(place.directory);
}

/**
 * Deno itself, when a listener is closed, removes the path it was bound to, whoever has a file there by then. With
 * the rename that path is gone already, and the file is compared here. As long as the listener is open, the system
 * cannot give its inode number to another file, and nobody who asks first takes it for a leftover.
 */
function removeIfSame(path: string, made: Deno.FileInfo): void {
  const now = lstatIfThere(path);
  if (now !== undefined && now.ino === made.ino && now.dev === made.dev) Deno.removeSync(path);
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function lstatIfThere(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function refusal(
  kind: TransportError["kind"],
  address: UnixAddress,
  reason: string,
  cause?: unknown,
): TransportError {
  return new TransportError(kind, `Cannot listen on ${formatAddress(address)}: ${reason}`, { cause });
}
