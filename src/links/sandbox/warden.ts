/**
 * The outer half of a sandbox: a Web Worker that has the filter's Deno permissions and starts the inner thread in them.
 *
 * It exists because Deno gives permissions only to Web Workers, and memory limits and a real kill only to Node's
 * (deno-facts.md). It runs no code of the filter.
 *
 * @module
 */
import { Worker as Thread } from "node:worker_threads";
import type { WardenOrder, WardenReport } from "./messages.ts";

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<WardenOrder | "kill">) => void) | null;
  postMessage(report: WardenReport): void;
  close(): void;
};

let inmate: Thread | undefined;

scope.onmessage = ({ data }) => {
  if (data === "kill") {
    // Resolves once the thread is gone, a spinning one too.
    void inmate?.terminate().then(() => scope.postMessage({ kind: "exit", message: "stopped" }));
    return;
  }
  inmate = new Thread(new URL("./inmate.ts", import.meta.url), {
    workerData: data.setup,
    resourceLimits: { maxOldGenerationSizeMb: data.heapMiB, maxYoungGenerationSizeMb: 3 },
  });
  inmate.on("message", (report: unknown) => {
    const { kind } = Object(report);
    // What the end of the thread is, only this side says: a filter that got hold of the port must not be taken for gone.
    if (kind === "ready" || kind === "load-failed") scope.postMessage(report as WardenReport);
  });
  inmate.on("error", (error: Error & { code?: string }) => {
    if (error.code === "ERR_WORKER_OUT_OF_MEMORY") {
      scope.postMessage({ kind: "memory", message: error.message });
    } else scope.postMessage({ kind: "exit", message: `${error.name}: ${error.message}`.slice(0, 1000) });
  });
  inmate.on(
    "exit",
    (code: number) => scope.postMessage({ kind: "exit", message: `the thread ended with ${code}` }),
  );
};
