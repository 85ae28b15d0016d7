/** Filters that hang, fill memory, die, or answer what is no answer. */
import { type Attack, inHook } from "./attack.ts";

const spin = (name: string, tries: string, source: string): Attack => ({
  name,
  tries,
  source,
  ends: ["timeout"],
  dear: true,
});
const fill = (name: string, tries: string, source: string): Attack => ({
  name,
  tries,
  source,
  ends: ["memory"],
  // What ends it must be its memory, also on a busy machine.
  deadline: 10_000,
  dear: true,
});
const die = (name: string, tries: string, source: string, ...ends: Attack["ends"]): Attack => ({
  name,
  tries,
  source,
  ends,
  dear: true,
});
const fail = (name: string, tries: string, source: string, ...ends: Attack["ends"]): Attack => ({
  name,
  tries,
  source,
  ends,
  dear: false,
});

/** They hold their thread. */
export const SPINS: readonly Attack[] = [
  spin("spin", "for (;;) in a hook", inHook(`for (;;);`)),
  spin(
    "spin in microtasks",
    "a chain of promises without end",
    inHook(`const next = () => { Promise.resolve().then(next); }; next(); await new Promise(() => {});`),
  ),
  spin(
    "spin in a getter",
    "a verdict whose kind never comes",
    inHook(`return { get kind() { for (;;); } };`),
  ),
  spin("spin in toString", "an error that cannot be told", inHook(`throw { toString() { for (;;); } };`)),
  spin(
    "spin in toJSON",
    "a log field that never ends",
    inHook(`log.info("x", { x: { toJSON() { for (;;); } } });`),
  ),
  spin("spin in a regex", "catastrophic backtracking", inHook(`/^(a+)+$/.test("a".repeat(64) + "b");`)),
  spin(
    "spin in a sort",
    "a sort that is not interrupted by itself",
    inHook(
      `Array.from({ length: 1e4 }, Math.random).sort((a, b) => { let n = 0; while (n < 1e6) n++; return a - b; });`,
    ),
  ),
  spin(
    "spin in WebAssembly",
    "a loop in compiled code",
    inHook(
      `const code = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 9, 1, 7, 0, 3, 64, 12, 0, 11, 11);
     new WebAssembly.Instance(new WebAssembly.Module(code)).exports.f();`,
    ),
  ),
  spin(
    "sleeps",
    "Atomics.wait for ever",
    inHook(`Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);`),
  ),
  spin("never answers", "a promise that stays open", inHook(`await new Promise(() => {});`)),
  spin(
    "spin after the deadline",
    "answers the timeout with a loop",
    inHook(`context.signal?.addEventListener("abort", () => { for (;;); }); await new Promise(() => {});`),
  ),
  die(
    "spin at the top",
    "its module never finishes",
    `for (;;); export default { message() {} };`,
    "unavailable",
  ),
  die(
    "spin between mails",
    "a timer that holds the thread when nobody waits",
    inHook(`setTimeout(() => { for (;;); }, 1);`),
    "none",
    "timeout",
    "crash",
  ),
  die(
    "spins when closed",
    "abort and close never return",
    `export default { message() {}, close() { for (;;); } };`,
    "none",
    "timeout",
    "crash",
  ),
];

/** They take memory. */
export const FILLS: readonly Attack[] = [
  {
    ...fill(
      "heap",
      "arrays without end",
      inHook(`const a = []; for (;;) a.push(new Array(1e5).fill(Math.random()));`),
    ),
    // 2 of 100 were not ended by V8's limit but by their deadline (src/links/sandbox/README.md).
    ends: ["memory", "timeout"],
    deadline: 3000,
  },
  fill(
    "strings",
    "texts without end",
    inHook(
      `const a = []; for (let i = 0;; i++) a.push(JSON.stringify([String(i).repeat(1e5)]));`,
    ),
  ),
  fill(
    "buffers",
    "ArrayBuffers, with pauses",
    inHook(
      `const a = []; await new Promise(() => setInterval(() => a.push(new Uint8Array(2e7).fill(1)), 5));`,
    ),
  ),
  fill(
    "buffers in a loop",
    "ArrayBuffers, never returning",
    inHook(`const a = []; for (let i = 0; i < 60; i++) a.push(new Uint8Array(2e7).fill(1)); for (;;);`),
  ),
  fill(
    "shared buffers",
    "SharedArrayBuffers, never returning",
    inHook(
      `const a = []; for (let i = 0; i < 60; i++) a.push(new Uint8Array(new SharedArrayBuffer(2e7)).fill(1)); for (;;);`,
    ),
  ),
  fill(
    "WebAssembly memory",
    "memories of compiled code, never returning",
    inHook(
      `const a = []; for (let i = 0; i < 60; i++) { const m = new WebAssembly.Memory({ initial: 300 }); new Uint8Array(m.buffer).fill(1); a.push(m); } for (;;);`,
    ),
  ),
  fill(
    "posted messages",
    "messages that nobody takes, never returning",
    inHook(
      `const { port1 } = new MessageChannel(); for (let i = 0; i < 60; i++) port1.postMessage(new Uint8Array(2e7).fill(1)); for (;;);`,
    ),
  ),
  die(
    "crypto jobs",
    "work in threads that cannot be halted",
    inHook(
      `const key = await crypto.subtle.importKey("raw", new Uint8Array(16), "PBKDF2", false, ["deriveBits"]);
     for (let i = 0; i < 50; i++) crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-512", salt: new Uint8Array(16), iterations: 2e8 }, key, 512).catch(() => {});
     for (let i = 0; i < 20; i++) crypto.subtle.generateKey({ name: "RSA-PSS", modulusLength: 16384, publicExponent: Uint8Array.of(1, 0, 1), hash: "SHA-256" }, true, ["sign"]).catch(() => {});`,
    ),
    "none",
  ),
];

/** They end their thread. */
export const DEATHS: readonly Attack[] = [
  die(
    "throws in a timer",
    "an error nobody catches",
    inHook(`setTimeout(() => { throw new Error("from a timer"); }, 0); await new Promise(() => {});`),
    "crash",
  ),
  die(
    "rejects",
    "a rejection nobody handles",
    inHook(`Promise.reject(new Error("unhandled")); await new Promise(() => {});`),
    "crash",
  ),
  die(
    "rejects with nothing",
    "an unhandled rejection without an error",
    inHook(`Promise.reject(null); await new Promise(() => {});`),
    "crash",
  ),
  die(
    "reports an error",
    "reportError",
    inHook(`reportError(new Error("reported")); await new Promise(() => {});`),
    "crash",
    "timeout",
  ),
  die(
    "throws in a microtask",
    "queueMicrotask",
    inHook(`queueMicrotask(() => { throw new Error("micro"); }); await new Promise(() => {});`),
    "crash",
  ),
  fail("exits", "Deno.exit and process.exit", inHook(`Deno.exit(3);`), "error"),
  fail(
    "exits by escape",
    "the process object, by a constructor",
    inHook(`(function () {}).constructor("return process")().exit(1);`),
    "error",
  ),
  fail("deep recursion", "a stack without end", inHook(`const f = () => f() + 1; return f();`), "error"),
  fail("throws", "an error in a hook", inHook(`throw new TypeError("thrown");`), "error"),
  fail("throws null", "nothing thrown", inHook(`throw null;`), "error"),
  fail("throws undefined", "undefined thrown", inHook(`throw undefined;`), "error"),
  fail("throws a symbol", "a symbol thrown", inHook(`throw Symbol("x");`), "error", "crash", "timeout"),
  die(
    "throws without prototype",
    "an object that is no text",
    inHook(`throw Object.create(null);`),
    "error",
    "crash",
    "timeout",
  ),
  die(
    "throws a proxy",
    "an object that throws at every touch",
    inHook(
      `throw new Proxy({}, { get() { throw throwing; }, getPrototypeOf() { throw throwing; }, has() { throw throwing; } });`,
      "const throwing = new Error('touched');",
    ),
    "error",
    "crash",
    "timeout",
  ),
  die(
    "throws in every hook",
    "connect to close",
    `const t = () => { throw new Error("every"); };
    export default { connect: t, helo: t, mail: t, rcpt: t, data: t, header: t, endOfHeaders: t, body: t, endOfMessage: t, message: t, abort: t, close: t, unknown: t };`,
    "error",
  ),
  fail(
    "returns garbage",
    "what is no verdict",
    inHook(
      `return [() => 1, 42, "accept", { kind: "shutdown" }, { kind: { toString: null } }, new Date(), [], /x/, 1n, Symbol.iterator, NaN][n++ % 11];`,
      "let n = 0;",
    ),
    "bad-verdict",
    "error",
  ),
  die(
    "returns a proxy",
    "a verdict that throws when it is read",
    inHook(`return new Proxy({}, { get(_, key) { if (key === "then") return; throw new Error("no"); } });`),
    "error",
    "bad-verdict",
  ),
  fail(
    "injects a reply",
    "line ends in a reply text",
    inHook(`return { kind: "reject", reply: { code: 550, enhanced: "5.0.0", lines: ["a\\r\\n250 ok"] } };`),
    "bad-verdict",
  ),
  fail(
    "answers twice",
    "a verdict now and another later",
    inHook(
      `let r; const p = new Promise((resolve) => r = resolve); r(accept()); setTimeout(() => r({ kind: "reject" }), 1); return p;`,
    ),
    "none",
  ),
  fail(
    "edits late",
    "edits after its verdict",
    inHook(`setTimeout(() => { try { addHeader("X-Got", "late"); } catch {} }, 1); return accept();`),
    "none",
  ),
  fail(
    "hidden then",
    "a thenable that settles again and again",
    inHook(
      `return { then(resolve) { resolve(accept()); resolve({ kind: "reject" }); throw new Error("x"); } };`,
    ),
    "none",
  ),
  fail(
    "floods the log",
    "thousands of lines a mail",
    inHook(
      `for (let i = 0; i < 5000; i++) { log.info("flood " + i, { i, deep: { a: [1, 2, 3] } }); console.log("x".repeat(1000)); }`,
    ),
    "none",
  ),
  fail(
    "logs garbage",
    "log lines that are no plain data",
    inHook(
      `const a = {}; a.a = a; log.info("x", a); log.info("y", { f() {}, n: 1n }); log.info({ toString() { return "z"; } }); console.log(a, Symbol("x"), () => 1);`,
    ),
    "none",
    "error",
  ),
  die(
    "breaks the globals",
    "every built-in replaced by a thrower",
    inHook(
      `for (const owner of [Map, Set, Array, Promise, String, Uint8Array, Object, Function, RegExp, TextEncoder, TextDecoder, DataView, JSON, Math, Atomics, Reflect, Number]) {
       for (const target of [owner, owner.prototype]) { if (!target) continue; for (const key of Reflect.ownKeys(target)) { try { if (key !== "constructor") target[key] = () => { throw new Error("broken"); }; } catch {} } }
     }`,
    ),
    "crash",
    "timeout",
    "error",
    "protocol",
    "bad-verdict",
    "unavailable",
  ),
  die(
    "leftovers",
    "timers, finalizers and generators that stay",
    inHook(
      `const registry = new FinalizationRegistry(() => { for (let i = 0; i < 1e6; i++); }); for (let i = 0; i < 1000; i++) registry.register({}, i);
     (async function* () { for (;;) { await new Promise((resolve) => setTimeout(resolve)); yield; } })().next(); for (let i = 0; i < 100; i++) setInterval(() => {}, 1);`,
    ),
    "none",
  ),
];
