/**
 * Errors that nobody caught: a promise or timer that a filter left behind must not end a thread for all its mails.
 *
 * @module
 */
import type { ServerLog } from "../../server/serve.ts";
import type { Io } from "../io.ts";

/** Logs them from now on; gives a function that ends this. */
export function handleUncaught(io: Io, log: ServerLog): () => void {
  return io.onUncaught((error) => {
    const message = error instanceof Error ? error.stack ?? error.message : String(error);
    log.event("error", "An error was not caught, probably in a promise or timer of a filter", {
      error: message,
    });
  });
}
