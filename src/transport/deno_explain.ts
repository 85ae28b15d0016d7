/**
 * Why the system refused a socket, in sentences that say who owns what and what to do.
 *
 * @module
 */
import { type Address, bracketed, formatAddress, type InetAddress, type UnixAddress } from "./address.ts";
import { messageOf, TransportError, type TransportErrorKind } from "./errors.ts";

/** Makes the error of `listen` out of what Deno threw. */
export function explainListen(address: Address, flags: readonly string[], error: unknown): TransportError {
  if (error instanceof TransportError) return error;
  const [kind, reason] = error instanceof Deno.errors.NotCapable
    ? missingFlags(flags, error)
    : address.kind === "unix"
    ? whyNoSocketFile(address, error)
    : whyNoPort(address, error);
  return new TransportError(kind, `Cannot listen on ${formatAddress(address)}: ${reason}`, { cause: error });
}

/** Makes the error of `dial` out of what Deno threw. */
export function explainDial(address: Address, flags: readonly string[], error: unknown): TransportError {
  if (error instanceof TransportError) return error;
  const [kind, reason] = error instanceof Deno.errors.NotCapable
    ? missingFlags(flags, error)
    : address.kind === "unix"
    ? whyNoUnixPeer(address, error)
    : whyNoInetPeer(address, error);
  return new TransportError(kind, `Cannot connect to ${formatAddress(address)}: ${reason}`, { cause: error });
}

/** Number of a group given by name or number. Names are looked up in `/etc/group`. */
export function groupNumber(group: string | number): number {
  if (typeof group === "number" || /^[0-9]+$/.test(group)) {
    const id = Number(group);
    if (Number.isSafeInteger(id) && id >= 0 && id < 2 ** 32 - 1) return id;
    throw new TransportError("missing", `Cannot use the group ${group}: expected a name or a number from 0`);
  }
  const found = databaseLines("/etc/group").find(([name]) => name === group);
  if (found !== undefined) return Number(found[2]);
  throw new TransportError(
    "missing",
    `Cannot use the group ${JSON.stringify(group)}: /etc/group does not have it; ` +
      `create it (groupadd), or give the number of a group from another directory service`,
  );
}

/** `owner postfix (105), group mail (8), mode 0750`; names where `/etc/passwd` and `/etc/group` may be read. */
export function ownership(info: Deno.FileInfo): string {
  const owner = named("/etc/passwd", info.uid);
  const group = named("/etc/group", info.gid);
  const mode = ((info.mode ?? 0) & 0o7777).toString(8).padStart(4, "0");
  return `owner ${owner}, group ${group}, mode ${mode}`;
}

/** What kind of thing a name stands for, other than a socket. */
export function fileKind(info: Deno.FileInfo): string {
  if (info.isSocket) return "socket";
  if (info.isDirectory) return "directory";
  if (info.isSymlink) return "symbolic link";
  return info.isFile ? "regular file" : "device or pipe";
}

/** The folder that holds a socket file. */
export function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

/** Like `Deno.lstatSync`, but undefined where nothing can be seen. */
function look(path: string): Deno.FileInfo | undefined {
  // Asked before, as in `thisUser`.
  if (Deno.permissions.querySync({ name: "read", path }).state !== "granted") return undefined;
  try {
    return Deno.lstatSync(path);
  } catch {
    return undefined;
  }
}

type Reason = readonly [TransportErrorKind, string];

function missingFlags(flags: readonly string[], error: Error): Reason {
  return [
    "flag",
    `Deno was started without a right that this needs (${error.message}); add ${flags.join(" ")}`,
  ];
}

function whyNoPort({ host, port }: InetAddress, error: unknown): Reason {
  if (error instanceof Deno.errors.AddrInUse) {
    return [
      "in-use",
      `another program, or another line of the same configuration, already listens on port ${port}; ` +
      `find it with "ss -ltnp sport = :${port}" and stop it, or choose another port`,
    ];
  }
  if (error instanceof Deno.errors.AddrNotAvailable) {
    return ["missing", `this machine has no address ${host}; "ip address" lists those it has`];
  }
  if (error instanceof Deno.errors.PermissionDenied && port < 1024) {
    return ["denied", `only root may use ports below 1024; choose a higher one, such as 8891`];
  }
  if (unknownHost(error)) return ["missing", unknownHostReason(host)];
  return ["other", messageOf(error)];
}

function whyNoSocketFile({ path }: UnixAddress, error: unknown): Reason {
  const directory = directoryOf(path);
  const parent = look(directory);
  if (parent !== undefined && !parent.isDirectory && !parent.isSymlink) {
    return ["missing", `${directory} is a ${fileKind(parent)}, not a directory; correct the path`];
  }
  if (error instanceof Deno.errors.NotFound && parent === undefined) {
    return [
      "missing",
      `the directory ${directory} does not exist; create it for the user that runs this program ` +
      `(install -d -o USER -g GROUP -m 0750 ${directory}), or name it in RuntimeDirectory= of the systemd unit`,
    ];
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return [
      "denied",
      `no permission to create a file in ${lastVisible(directory)}${thisUser()}; make that user the owner ` +
      `of a directory for the socket (install -d -o USER -g GROUP -m 0750 DIRECTORY)`,
    ];
  }
  return ["other", messageOf(error)];
}

function whyNoInetPeer({ host, port }: InetAddress, error: unknown): Reason {
  if (error instanceof Deno.errors.ConnectionRefused) {
    return ["refused", `nothing listens on port ${port} there; start the milter, or correct host and port`];
  }
  if (unknownHost(error)) return ["missing", unknownHostReason(host)];
  return ["other", messageOf(error)];
}

function whyNoUnixPeer({ path }: UnixAddress, error: unknown): Reason {
  const info = look(path);
  if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
    return ["missing", `there is no such socket; start the milter, or correct the path`];
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    const what = info === undefined
      ? `no permission to look into ${lastVisible(directoryOf(path))}`
      : `no permission to write to the socket (${ownership(info)})`;
    return [
      "denied",
      `${what}${thisUser()}; add that user to the group (usermod -aG GROUP USER), ` +
      `or give the socket a group and mode that include it`,
    ];
  }
  if (error instanceof Deno.errors.ConnectionRefused) {
    if (info !== undefined && !info.isSocket) {
      return ["not-a-socket", `that is a ${fileKind(info)}, not a socket; correct the path`];
    }
    return ["refused", "the socket file is left over from a program that has ended; start the milter again"];
  }
  return ["other", messageOf(error)];
}

/** The deepest directory of a path that can be seen, with its owner: there the way ends for this program. */
function lastVisible(directory: string): string {
  for (let path = directory;; path = directoryOf(path)) {
    const info = look(path);
    if (info !== undefined) return `${path} (${ownership(info)})`;
    if (path === "/") return directory;
  }
}

function thisUser(): string {
  // Asked before, so that Deno does not prompt for a right that only makes a message nicer.
  const right = { name: "sys", kind: "uid" } as const;
  if (Deno.permissions.querySync(right).state !== "granted") return " for the user that runs this program";
  const uid = Deno.uid();
  return uid === null ? "" : ` for the user that runs this program, ${named("/etc/passwd", uid)}`;
}

function named(database: string, id: number | null): string {
  if (id === null) return "unknown";
  const readable = Deno.permissions.querySync({ name: "read", path: database }).state === "granted";
  const found = readable ? databaseLines(database).find((fields) => fields[2] === String(id)) : undefined;
  return found === undefined ? String(id) : `${found[0]} (${id})`;
}

/** The lines of `/etc/passwd` or `/etc/group`, each cut into its fields: name, password, number, … */
function databaseLines(path: string): string[][] {
  return Deno.readTextFileSync(path).split("\n").map((line) => line.split(":"));
}

function unknownHost(error: unknown): boolean {
  // Deno has no class of its own for a failed look-up.
  return messageOf(error).includes("failed to lookup address");
}

function unknownHostReason(host: string): string {
  return `the host name ${JSON.stringify(host)} is not known; correct it, or write its IP address`;
}

/** A host and port as Deno's net permission names them. */
export function netFlag({ host, port }: InetAddress): string {
  return `--allow-net=${bracketed(host)}:${port}`;
}
