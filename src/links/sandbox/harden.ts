/**
 * What a filter must not have: taken off the isolate before its code loads.
 *
 * Deno's permissions are the wall. This takes away what permissions do not cover: threads of its own (they would
 * outlive a kill), the locks that make the kill work, and the doors to Deno's inside.
 *
 * @module
 */

import { boundCrypto } from "./crypto_bounds.ts";
import { type Refused, telling, tellingClass } from "./refusals.ts";

/** Globals a filter has no use for. `Worker` and friends start threads; `process` and `require` reach any built-in module. */
const GLOBALS = [
  "Worker",
  "SharedWorker",
  "process",
  "require",
  "global",
  "module",
  "nodeBootstrap",
  "postMessage",
  "onmessage",
  "close",
  "caches",
  "localStorage",
  "sessionStorage",
  "BroadcastChannel",
  "EventSource",
  "alert",
  "confirm",
  "prompt",
  // Their bytes are kept by the process, not by the isolate, and would stay when it is halted.
  "Blob",
  "File",
  "FileReader",
  "FormData",
  // Pictures are decoded in threads that cannot be halted.
  "createImageBitmap",
  "ImageBitmap",
  "ImageBitmapRenderingContext",
  "OffscreenCanvas",
  // There with --unstable-net only.
  "WebTransport",
];

/** Other doors to what was taken away. */
const METHODS: readonly (readonly [string, readonly string[]])[] = [
  ["Response", ["blob", "formData"]],
  ["Request", ["blob", "formData"]],
];

/** The parts of `Deno` that make sense in a filter; what each may do is up to the granted permissions. */
const DENO = [
  "readFile",
  "readTextFile",
  "readDir",
  "stat",
  "lstat",
  "realPath",
  "open",
  "writeFile",
  "writeTextFile",
  "mkdir",
  "remove",
  "rename",
  "connect",
  "connectTls",
  "startTls",
  "resolveDns",
  "createHttpClient",
  "env",
  "hostname",
  "osRelease",
  "errors",
  "permissions",
  "version",
  "build",
];

const CONSOLE = {
  debug: "debug",
  log: "info",
  info: "info",
  warn: "warn",
  error: "error",
  trace: "debug",
} as const;

/**
 * Takes the globals away for good. Call it once, after everything the runtime itself needs has been captured.
 *
 * @param refused Told what Deno's permissions hold back.
 * @param log Where `console` writes to from now on: the filter's log, with its limits, and not the process's output.
 */
export function harden(
  log: (level: "debug" | "info" | "warn" | "error", words: string) => void,
  refused: Refused,
): void {
  const scope = globalThis as unknown as Record<string, unknown>;
  const deno = scope.Deno as Record<string, unknown>;
  const reduced = Object.freeze(
    Object.fromEntries(
      DENO.filter((name) => name in deno).map((name) => [name, watched(name, deno[name], refused)]),
    ),
  );
  for (const name of GLOBALS) remove(scope, name);
  lock(scope, "fetch", telling(scope.fetch as () => unknown, refused));
  for (const name of ["WebSocket", "WebSocketStream"]) {
    if (name in scope) lock(scope, name, tellingClass(scope[name] as object, refused));
  }
  lock(scope, "Deno", reduced);
  const quiet = Object.fromEntries(
    Object.entries(CONSOLE).map((
      [name, level],
    ) => [name, (...values: unknown[]) => log(level, words(values))]),
  );
  lock(scope, "console", Object.freeze(quiet));
  // Without the locks nobody can steal the one by which Deno halts a thread that spins.
  for (const name of ["locks", "gpu", "hardwareConcurrency"]) remove(Object.getPrototypeOf(navigator), name);
  for (const name of ["LockManager", "Lock"]) remove(scope, name);
  for (const [name, methods] of METHODS) {
    const { prototype } = scope[name] as { prototype: object };
    for (const method of methods) remove(prototype, method);
  }
  for (const name of ["createObjectURL", "revokeObjectURL"]) remove(URL, name);
  boundCrypto();
}

/**
 * `Deno.connect` for TCP and Unix sockets. At a transport that wants an unstable flag (vsock), Deno 2.9.6 ends the whole
 * process before it looks at permissions.
 */
function connectOf(connect: (options: object) => unknown): (options: unknown) => unknown {
  return (options) => {
    // Read once: a second look at an object could find something else. The own property hides what a prototype says.
    const once = { ...options as { readonly transport?: unknown } };
    const { transport = "tcp" } = once;
    if (transport !== "tcp" && transport !== "unix") {
      throw new TypeError(
        `Cannot connect with transport ${words([transport])}: a filter has "tcp" and "unix"`,
      );
    }
    return connect({ ...once, transport });
  };
}

function watched(name: string, value: unknown, refused: Refused): unknown {
  if (name === "connect") return telling(connectOf(value as () => unknown), refused);
  if (typeof value === "function") return telling(value as () => unknown, refused);
  if (name !== "env") return value;
  const env = value as Readonly<Record<string, () => unknown>>;
  return Object.freeze(
    Object.fromEntries(
      ["get", "has", "set", "delete", "toObject"].map((key) => [key, telling(env[key], refused)]),
    ),
  );
}

function words(values: readonly unknown[]): string {
  return values.slice(0, 20).map((value) => {
    if (typeof value === "string") return value.slice(0, 1000);
    if (value instanceof Error) return `${value.name}: ${value.message}`;
    try {
      return JSON.stringify(value)?.slice(0, 1000) ?? String(value);
    } catch {
      return Object.prototype.toString.call(value);
    }
  }).join(" ");
}

function remove(from: object, name: string): void {
  if (!Reflect.deleteProperty(from, name)) lock(from, name, undefined);
  if (name in from) lock(from, name, undefined);
}

function lock(on: object, name: string, value: unknown): void {
  Object.defineProperty(on, name, { value, writable: false, configurable: false, enumerable: false });
}
