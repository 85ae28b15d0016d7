/**
 * What a command touches of the process: its outputs, files and signals. Commands get it as an argument, so that
 * tests can run them in the same process.
 *
 * @module
 */

/** An output stream of the process. */
export interface Output {
  /** Writes at once and waits for it: for results and messages. A reader that went away is no error. */
  write(text: string): void;
  /** Writes without holding up the event loop: for logs. Rejects if the stream is gone. */
  writeLater(bytes: Uint8Array): Promise<void>;
  readonly isTerminal: boolean;
  /** Whether to colour: on a terminal, unless NO_COLOR is set. */
  readonly color: boolean;
}

/** Signals that `serve` listens to. */
export type Signal = "SIGTERM" | "SIGINT" | "SIGHUP";

/** The process as a command sees it. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  /** Reads a whole file; `-` is standard input. */
  readFile(path: string): Promise<Uint8Array>;
  /** The folder that relative paths start at. */
  cwd(): string;
  /** Calls `handler` at each such signal instead of ending the process; gives a function that ends this. */
  onSignal(signal: Signal, handler: () => void): () => void;
  /**
   * Calls `handler` for errors that nobody caught, in a promise or timer of a filter, instead of ending the process;
   * gives a function that ends this.
   */
  onUncaught(handler: (error: unknown) => void): () => void;
  /** The user id that the process runs as; undefined where it may not be asked. */
  uid(): number | undefined;
  /** Ends the process at once. For the second SIGTERM; otherwise a command returns its exit code. */
  exit(code: number): void;
}

type DenoStream = typeof Deno.stdout;

function output(stream: DenoStream): Output {
  const encoder = new TextEncoder();
  const isTerminal = stream.isTerminal();
  return {
    isTerminal,
    // Deno looks at NO_COLOR itself, which needs no env permission.
    color: isTerminal && !Deno.noColor,
    write(text) {
      let bytes = encoder.encode(text);
      try {
        while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
      } catch (error) {
        // `millrace try … | head`: nobody reads on.
        if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
      }
    },
    async writeLater(bytes) {
      while (bytes.length > 0) bytes = bytes.subarray(await stream.write(bytes));
    },
  };
}

/** The real process. */
export function denoIo(): Io {
  return {
    stdout: output(Deno.stdout),
    stderr: output(Deno.stderr),
    readFile: async (path) =>
      path === "-"
        ? new Uint8Array(await new Response(Deno.stdin.readable).arrayBuffer())
        : await Deno.readFile(path),
    cwd: () => Deno.cwd(),
    onSignal(signal, handler) {
      Deno.addSignalListener(signal, handler);
      return () => Deno.removeSignalListener(signal, handler);
    },
    onUncaught(handler) {
      const rejected = (event: PromiseRejectionEvent) => {
        event.preventDefault();
        handler(event.reason);
      };
      const thrown = (event: ErrorEvent) => {
        event.preventDefault();
        handler(event.error);
      };
      globalThis.addEventListener("unhandledrejection", rejected);
      globalThis.addEventListener("error", thrown);
      return () => {
        globalThis.removeEventListener("unhandledrejection", rejected);
        globalThis.removeEventListener("error", thrown);
      };
    },
    uid() {
      // Only looked at where it is allowed already: no permission is worth a warning.
      const { state } = Deno.permissions.querySync({ name: "sys", kind: "uid" });
      return state === "granted" ? Deno.uid() ?? undefined : undefined;
    },
    exit: (code) => Deno.exit(code),
  };
}
