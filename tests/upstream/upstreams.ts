/**
 * Upstream milters for tests: links to them with everything logged kept, and another millrace as one.
 *
 * @module
 */
import { Chain } from "../../src/chain/chain.ts";
import type { Link } from "../../src/chain/link.ts";
import { UpstreamLink, type UpstreamOptions } from "../../src/links/upstream/upstream_link.ts";
import { serve } from "../../src/server/serve.ts";
import { type Failure, uniformPolicy } from "../../src/session/policy.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { memoryListener } from "../../src/transport/memory.ts";
import type { Connection, Listener } from "../../src/transport/types.ts";
import type { Command } from "../../src/protocol/mod.ts";
import type { Driver } from "../redteam/driver.ts";
import type { Event } from "../redteam/sandboxes.ts";

/** A link to a milter, and its log. */
export function upstreamOf(
  dial: UpstreamOptions["dial"],
  options: Partial<UpstreamOptions> = {},
): { readonly link: UpstreamLink; readonly events: Event[] } {
  const events: Event[] = [];
  const link = new UpstreamLink({
    name: "f",
    address: parseAddress("inet:8892@127.0.0.1"),
    policy: uniformPolicy(),
    dial,
    now: () => performance.now(),
    log: { event: (level, message, fields = {}) => void events.push({ level, message, fields }) },
    ...options,
  });
  return { link, events };
}

/** Another millrace: serves a link until it is stopped. */
export class Millrace {
  readonly failures: Failure[] = [];
  readonly #memory = memoryListener({ direct: true });
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;

  /** @param timeout Deadline of a hook, ms. */
  constructor(link: Link, timeout = 60_000, listeners: readonly Listener[] = []) {
    this.#ended = serve({
      listeners: [this.#memory, ...listeners],
      chain: new Chain([{ link, timeout }]),
      limits: { drain: 100 },
      log: { mail() {}, failure: (failure) => void this.failures.push(failure), event() {} },
      signal: this.#stop.signal,
    });
  }

  /** Opens a connection in memory. */
  connect(): Connection {
    return this.#memory.connect();
  }

  /** Drains for a moment, then cuts. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }
}

/** Says commands in turn; all replies in words. */
export async function sayAll(driver: Driver, ...commands: readonly Command[]): Promise<string[]> {
  const words: string[] = [];
  for (const command of commands) words.push(...await driver.say(command));
  return words;
}

/** What was told of failures: kind, hook, outcome. */
export function told(driver: Driver): string[] {
  return driver.notes.failures.map(({ kind, hook, outcome }) => `${kind} ${hook || "-"} ${outcome}`);
}

/** Lets everything happen that is under way in memory. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 2; i++) await new Promise((resolve) => setTimeout(resolve));
}
