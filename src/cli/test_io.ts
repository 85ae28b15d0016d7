/**
 * A process for tests: outputs kept as text, signals sent by the test.
 *
 * @module
 */
import type { Io, Output, Signal } from "./io.ts";

/** An {@linkcode Io} whose outputs can be read and whose signals can be sent. */
export interface TestIo extends Io {
  out(): string;
  err(): string;
  send(signal: Signal): void;
  /** Acts as if nobody had caught an error. */
  uncaught(error: unknown): void;
  /** Exit codes given to `exit`. */
  readonly exits: number[];
  /** Resolves when the text appears on standard error. */
  errHas(text: string): Promise<void>;
}

/** What may differ from a pipe, a plain user and real files. */
export interface TestIoOptions {
  readonly isTerminal?: boolean;
  readonly color?: boolean;
  readonly uid?: number;
  /** Files by path; others are read from the disk. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

/** Makes a process for a test. */
export function testIo(options: TestIoOptions = {}): TestIo {
  const { isTerminal = false, color = false, files = {} } = options;
  const texts = { out: "", err: "" };
  const watchers = new Set<() => void>();
  const handlers = new Map<Signal, Set<() => void>>();
  const uncaught = new Set<(error: unknown) => void>();
  const exits: number[] = [];
  const output = (name: "out" | "err"): Output => {
    const add = (text: string) => {
      texts[name] += text;
      for (const watcher of watchers) watcher();
    };
    return {
      isTerminal,
      color,
      write: add,
      writeLater: (bytes) => {
        add(new TextDecoder().decode(bytes));
        return Promise.resolve();
      },
    };
  };
  return {
    stdout: output("out"),
    stderr: output("err"),
    readFile: (path) => {
      const file = Object.hasOwn(files, path) ? files[path] : undefined;
      if (file === undefined) return Deno.readFile(path);
      return Promise.resolve(typeof file === "string" ? new TextEncoder().encode(file) : file);
    },
    cwd: () => Deno.cwd(),
    onSignal: (signal, handler) => add(handlers, signal, handler),
    onUncaught: (handler) => {
      uncaught.add(handler);
      return () => uncaught.delete(handler);
    },
    uid: () => options.uid,
    exit: (code) => void exits.push(code),
    exits,
    out: () => texts.out,
    err: () => texts.err,
    send: (signal) => {
      const all = [...handlers.get(signal) ?? []];
      if (all.length === 0) throw new Error(`${signal} would have ended the process`);
      for (const handler of all) handler();
    },
    uncaught: (error) => {
      if (uncaught.size === 0) throw error;
      for (const handler of uncaught) handler(error);
    },
    errHas: (text) =>
      new Promise((resolve) => {
        const look = () => {
          if (!texts.err.includes(text)) return;
          watchers.delete(look);
          resolve();
        };
        watchers.add(look);
        look();
      }),
  };
}

function add<K, V>(map: Map<K, Set<V>>, key: K, value: V): () => void {
  const set = map.get(key) ?? new Set();
  map.set(key, set.add(value));
  return () => set.delete(value);
}
