/**
 * From a filter's entry in the configuration to a running link: in a sandbox, or in this isolate.
 *
 * @module
 */
import type { Link } from "../chain/link.ts";
import type { FilterConfig } from "../config/schema.ts";
import type { Filter, Log, WishedPermissions } from "../filter/mod.ts";
import { InlineLink } from "../links/inline.ts";
import type { PinnedGraph } from "../links/sandbox/messages.ts";
import { workerPermissions } from "../links/sandbox/permissions.ts";
import { SandboxLink, type SandboxLog } from "../links/sandbox/sandbox_link.ts";
import { DEFAULT_LIMITS, type Limits } from "../server/limits.ts";
import { readDescription } from "../session/filter_module.ts";
import { FilterError, type ManifestData, trimManifest } from "../session/manifest.ts";
import { printable } from "../text/show.ts";
import { CommandError } from "./command.ts";
import { filterText, filterUrl, loadFilter } from "./load_filter.ts";
import { grantsOf, refuseMissingRights, runtimeSource } from "./rights.ts";

/** What filters are opened with. */
export interface OpenContext {
  /** URL of the folder that relative paths start at. */
  readonly base: URL;
  readonly limits: Limits;
  /** Aborted when the filters are unloaded. */
  readonly signal: AbortSignal;
  /** The log of a filter in this isolate. */
  log(name: string): Log;
  /** What becomes of sandboxes, and what filters in them log. */
  readonly event: SandboxLog["event"];
  /** The pinned modules of a filter that is not bundled. */
  pinned(config: FilterConfig): Promise<PinnedGraph>;
}

/** A filter that answers mail. */
export interface OpenFilter {
  readonly config: FilterConfig;
  readonly link: Link;
  /** The filter; of one in a sandbox, another with the same hooks and declarations, whose hooks do nothing. */
  readonly filter: Filter;
  readonly manifest: ManifestData | undefined;
}

/**
 * Loads and starts a filter as its entry says.
 *
 * @throws {CommandError} that names the filter, where it comes from, and what is wrong
 */
export async function openFilter(config: FilterConfig, context: OpenContext): Promise<OpenFilter> {
  const { base, limits, signal } = context;
  const { name, onFailure: policy } = config;
  if (config.isolation === "none") {
    const loaded = await loadFilter(config, { base, log: context.log(name), signal });
    return { ...loaded, config, link: new InlineLink({ name, filter: loaded.filter, policy, limits }) };
  }
  refuseMissingRights(config, base);
  const code = config.use.kind === "bundled" ? filterUrl(config, base).href : await context.pinned(config);
  signal.throwIfAborted();
  // Until it has started, the failure itself says what there is to say.
  const waiting: Parameters<SandboxLog["event"]>[] = [];
  let event: SandboxLog["event"] = (...args) => void waiting.push(args);
  const link = new SandboxLink({
    setup: {
      name,
      code,
      options: config.options,
      policy,
      limits,
      bufferLimit: config.memory,
      permissions: workerPermissions(grantsOf(config, base), runtimeSource(config)),
      heapMiB: Math.floor(config.memory / 1024 ** 2),
      startTimeout: config.startTimeout,
    },
    instances: config.instances,
    log: { event: (...args) => event(...args) },
    now: () => performance.now(),
  });
  let closed: Promise<void> | undefined;
  const close = () => closed ??= link.close();
  // It may be told to give up before it has started.
  signal.addEventListener("abort", close);
  try {
    const loaded = readDescription(await link.start());
    link.described = loaded.filter;
    event = context.event;
    for (const args of waiting) event(...args);
    return { ...loaded, config, link };
  } catch (error) {
    await close();
    const problem = startProblem(error, config);
    throw new CommandError(`Cannot load ${filterText(config, base)}: ${problem}`, 2, { cause: error });
  } finally {
    signal.removeEventListener("abort", close);
  }
}

/** A sandbox that may nothing, for code that nobody has looked at yet. */
const STRANGER = { memory: 64 * 1024 ** 2, startTimeout: 10_000 };

/**
 * The rights that a filter's manifest wishes for. Its module is run for that, in a sandbox without any right.
 *
 * @throws {CommandError} if the module does not load
 */
export async function readWishes(
  config: FilterConfig,
  base: URL,
  graph: PinnedGraph,
): Promise<WishedPermissions> {
  const nothing = { ...config, permissions: { net: [], read: [], write: [], env: [], sys: [] } };
  refuseMissingRights(nothing, base);
  const link = new SandboxLink({
    setup: {
      name: config.name,
      code: graph,
      options: {},
      manifestOnly: true,
      policy: config.onFailure,
      limits: DEFAULT_LIMITS,
      bufferLimit: STRANGER.memory,
      permissions: workerPermissions({}, runtimeSource(config)),
      heapMiB: STRANGER.memory / 1024 ** 2,
      startTimeout: STRANGER.startTimeout,
    },
    instances: 1,
    log: { event: () => {} },
    now: () => performance.now(),
  });
  try {
    const { manifest } = await link.start();
    return trimManifest(manifest)?.permissions ?? {};
  } catch (error) {
    throw new CommandError(`its module cannot be loaded: ${startProblem(error, config)}`, 1, {
      cause: error,
    });
  } finally {
    await link.close();
  }
}

function startProblem(error: unknown, { use }: FilterConfig): string {
  if (error instanceof Deno.errors.NotCapable) {
    return `Deno does not let the sandbox have its rights: ${error.message}; millrace flags prints those that the ` +
      "program has to be started with";
  }
  const text = error instanceof Error ? error.message : String(error);
  if (use.kind === "bundled" && /Module not found/.test(text)) return "no such filter is bundled";
  const lines = text.slice(0, 4000).split("\n").map((line) => printable(line, 500));
  return error instanceof FilterError ? `it describes itself wrongly: ${lines[0]}` : lines.join("\n");
}
