/** The runtime in this process, on the sockets where MTAs look for it. */
import { Chain } from "../../src/chain/chain.ts";
import type { Link } from "../../src/chain/link.ts";
import type { Filter } from "../../src/filter/mod.ts";
import { InlineLink } from "../../src/links/inline.ts";
import { DEFAULT_LIMITS, type Limits } from "../../src/server/limits.ts";
import { serve } from "../../src/server/serve.ts";
import type { MailReport } from "../../src/session/plan.ts";
import { type Failure, type Outcome, uniformPolicy } from "../../src/session/policy.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { listen } from "../../src/transport/deno.ts";
import type { Listener } from "../../src/transport/types.ts";
import { postfixGroup } from "./mta.ts";

/** How to serve. */
export interface ServeFilterOptions {
  /** @default {"tempfail"} */
  readonly onFailure?: Outcome;
  readonly limits?: Partial<Limits>;
  /** Deadline of a hook, ms. @default {20_000} */
  readonly timeout?: number;
  readonly now?: () => number;
}

/** What a server logs besides mails and failures. */
export interface ServedEvent {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A running millrace. */
export interface Served extends AsyncDisposable {
  readonly mails: readonly MailReport[];
  readonly failures: readonly Failure[];
  /** All that it logged besides. */
  readonly events: readonly ServedEvent[];
  /** What it logged as a warning or an error. */
  readonly complaints: readonly string[];
  /** Tells it to stop, and does not wait. */
  stop(): void;
}

/** Serves a filter on sockets such as `inet:PORT@127.0.0.1` and `unix:/path`. Disposing stops it, and waits. */
export function serveFilter(
  sockets: readonly string[],
  filter: Filter,
  options: ServeFilterOptions = {},
): Promise<Served> {
  return serveLinks(sockets, [inlineLink(filter.name ?? "test", filter, options)], options);
}

/** A filter as a link in this isolate. */
export function inlineLink(name: string, filter: Filter, options: ServeFilterOptions = {}): Link {
  return new InlineLink({
    name,
    filter,
    policy: uniformPolicy(options.onFailure),
    limits: { ...DEFAULT_LIMITS, ...options.limits },
  });
}

/** Serves a chain of links. Disposing stops the server, waits for it, and lets the links be. */
export async function serveLinks(
  sockets: readonly string[],
  links: readonly Link[],
  options: ServeFilterOptions = {},
): Promise<Served> {
  const mails: MailReport[] = [];
  const failures: Failure[] = [];
  const events: ServedEvent[] = [];
  const complaints: string[] = [];
  const listeners: Listener[] = [];
  // Sendmail connects as root, Postfix as an account of its own
  for (const socket of sockets) {
    listeners.push(await listen(parseAddress(socket), { mode: 0o660, group: postfixGroup }));
  }
  const abort = new AbortController();
  const timeout = options.timeout ?? 20_000;
  const running = serve({
    listeners,
    chain: new Chain(links.map((link) => ({ link, timeout }))),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.now === undefined ? {} : { now: options.now }),
    log: {
      mail: (report) => void mails.push(report),
      failure: (failure) => void failures.push(failure),
      event(level, message, fields = {}) {
        events.push({ level, message, fields });
        if (level === "warn" || level === "error") complaints.push(message);
      },
    },
    signal: abort.signal,
  });
  return {
    mails,
    failures,
    events,
    complaints,
    stop: () => abort.abort(),
    async [Symbol.asyncDispose]() {
      abort.abort();
      await running;
    },
  };
}

/** A folder for Unix sockets that MTAs can reach. */
export async function socketFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "millrace-sockets-" });
  // Postfix must pass; nobody but the owner may write, or Sendmail calls it unsafe
  await Deno.chmod(path, 0o755);
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
