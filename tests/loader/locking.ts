// Short words for what the tests of the loader do again and again.
import assert from "node:assert/strict";
import { decodeArchive } from "../../src/loader/archive.ts";
import { denoFiles } from "../../src/loader/deno_files.ts";
import { LoadError, type LoadErrorKind } from "../../src/loader/error.ts";
import type { ModuleGraph } from "../../src/loader/graph.ts";
import { lockFilter, type LockOptions, type NewlyLocked } from "../../src/loader/lock_filter.ts";

/** Locks the module at a URL. */
export function lockUrl(url: string, options: Partial<LockOptions> = {}): Promise<NewlyLocked> {
  return lockFilter({ kind: "url", url }, { fetch, files: denoFiles, ...options });
}

/** The graph in an archive. */
export function graphOf({ archive }: NewlyLocked): ModuleGraph {
  return decodeArchive(archive);
}

/** A check for `assert.rejects`: the kind of error, and what its message must say. */
export function loadError(
  kind: LoadErrorKind,
  ...parts: readonly (string | RegExp)[]
): (error: unknown) => true {
  return (error) => {
    assert(error instanceof LoadError, `not a LoadError: ${error instanceof Error ? error.stack : error}`);
    assert.equal(error.kind, kind, error.message);
    for (const part of parts) {
      assert(
        typeof part === "string" ? error.message.includes(part) : part.test(error.message),
        `${part} is not in:\n${error.message}`,
      );
    }
    return true;
  };
}
