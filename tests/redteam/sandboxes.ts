/** Sandboxes for tests: a filter given as source text, short pauses, everything logged kept. */
import { workerPermissions } from "../../src/links/sandbox/permissions.ts";
import { SandboxLink, type SandboxOptions } from "../../src/links/sandbox/sandbox_link.ts";
import type { PinnedGraph } from "../../src/links/sandbox/messages.ts";
import type { Cell, CellSetup } from "../../src/links/sandbox/cell.ts";
import { uniformPolicy } from "../../src/session/policy.ts";

/** Where the runtime's own modules are: what a sandbox must be able to read. */
export const SOURCE: string = new URL("../../src", import.meta.url).pathname;

/** Waits until a sandbox of the filter is up. @throws {Error} if none is in time. */
export async function ready(link: SandboxLink, ms = 10_000): Promise<Cell> {
  for (const until = performance.now() + ms; performance.now() < until;) {
    const cell = link.cell();
    if (cell instanceof Promise) await cell.catch(() => {});
    else if ("ready" in cell) return cell;
    else await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error(`no sandbox of ${link.name} came up within ${ms} ms`);
}

/** A log line. */
export interface Event {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Makes a link for a filter in one module. */
export function sandboxOf(
  source: string | PinnedGraph,
  setup: Partial<CellSetup> = {},
  options: Partial<Omit<SandboxOptions, "setup">> = {},
): { readonly link: SandboxLink; readonly events: Event[] } {
  const events: Event[] = [];
  const url = "https://filter.example/mod.js";
  const link = new SandboxLink({
    instances: 1,
    now: () => performance.now(),
    log: { event: (level, message, fields = {}) => void events.push({ level, message, fields }) },
    ...options,
    setup: {
      name: "f",
      code: typeof source === "string"
        ? { entry: url, modules: [{ url, kind: "js", source }], redirects: {} }
        : source,
      options: {},
      policy: uniformPolicy(),
      limits: { headers: 1 << 20, body: 64 << 20, recipients: 100, frame: 1 << 20 },
      bufferLimit: 64 << 20,
      permissions: workerPermissions({}, [SOURCE]),
      heapMiB: 64,
      startTimeout: 10_000,
      ...setup,
    },
  });
  return { link, events };
}
