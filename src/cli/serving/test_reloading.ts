/**
 * `serve` in the test's own process, from one configuration to the next.
 *
 * @module
 */
import { useText } from "../../config/use.ts";
import { denoFiles } from "../../loader/deno_files.ts";
import { type LockedFilter, writeLock } from "../../loader/lock.ts";
import { MtaClient } from "../../testing/mta_client.ts";
import { parseAddress } from "../../transport/address.ts";
import { dial } from "../../transport/deno.ts";
import { readConfig } from "../load_config.ts";
import { cacheOf, lockAnew, lockPath } from "../pins.ts";
import { testIo } from "../test_io.ts";
import { logged, type Running, serving } from "../test_serve.ts";

/** A filter that marks mails with an option, and starts as it says. */
export const FILTER = `
export default async ({ options, log, signal }) => {
  if (options.mark === "broken") throw new Error("this filter does not start");
  if (options.mark === "slow") {
    log.info("it waits");
    await new Promise((resolve) => {
      globalThis.release = resolve;
      signal.addEventListener("abort", () => log.info("it is told to give up"));
    });
  }
  return {
    async message(mail, { addHeader }) {
      if (mail.headers.get("X-Wait")) {
        log.info("it works");
        await new Promise((resolve) => globalThis.release = resolve);
      }
      addHeader("X-Mark", options.mark);
    },
  };
};
`;

/** Has the filter go on that waits. */
export const release = () => (Reflect.get(globalThis, "release") as () => void)();

/** The text of a configuration; `more` are further lines. */
export const config = (mark: string, { listen = "inet:0@127.0.0.1", more = "" } = {}) =>
  `listen: ${listen}\nlog: { level: debug }\n${more}\n` +
  `filters: [{ use: ./f.ts, isolation: none, start_timeout: 10m, options: { mark: ${mark} } }]\n`;

/** A `serve` under test that is told to reload. */
export interface Reloading extends Running {
  write(text: string): Promise<void>;
  /** Sends SIGHUP and waits for what comes of it. */
  reload(): Promise<Record<string, unknown>>;
  /** Writes a configuration, then SIGHUP. */
  change(text: string): Promise<Record<string, unknown>>;
  /** Waits for that many outcomes in all. */
  outcomes(count: number): Promise<Record<string, unknown>[]>;
  /** Opens a connection as an MTA; by default to where it listened first. */
  connect(address?: string): Promise<MtaClient>;
}

/** Serves {@linkcode FILTER} in this process. */
export async function reloading(
  use: (running: Reloading) => Promise<void>,
  first: string = config("one"),
): Promise<void> {
  await serving(FILTER, async (running) => {
    const { io, folder, address } = running;
    const write = (text: string) => Deno.writeTextFile(`${folder}/m.yaml`, text.replaceAll("FOLDER", folder));
    const outcomes = async (count: number) => {
      for (;;) {
        const found = logged(io, /^Reload/);
        if (found.length >= count) return found;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    const reload = async () => {
      // Before it serves, a signal would end it, as it would end any program that has only begun.
      await address();
      const count = logged(io, /^Reload/).length + 1;
      io.send("SIGHUP");
      return (await outcomes(count))[count - 1];
    };
    await use({
      ...running,
      write,
      outcomes,
      reload,
      change: async (text) => {
        await write(text);
        return await reload();
      },
      connect: async (where) => MtaClient.connect(await dial(parseAddress(where ?? await address()))),
    });
  }, { config: first });
}

/** Sends a mail; gives the filter's mark. */
export async function mark(client: MtaClient, message = "A: 1\n\nx\n"): Promise<string | undefined> {
  const sent = await client.sendMail({ message });
  return /^X-Mark: (.*)\r$/m.exec(sent.message ?? "")?.[1];
}

/** The mark that a new connection gets. */
export async function markOfNew({ connect }: Reloading, address?: string): Promise<string | undefined> {
  const client = await connect(address);
  const found = await mark(client);
  await client.quit();
  return found;
}

/** Pins the filters of a configuration as `millrace lock` does, but without a sandbox that asks what they wish for. */
export async function pin(file: string): Promise<void> {
  const read = await readConfig(file, testIo());
  const filters: Record<string, LockedFilter> = {};
  for (const filter of read.config.filters) {
    if (filter.kind !== "filter") continue;
    const { locked, archive } = await lockAnew(filter, read);
    await cacheOf(read).write(archive);
    filters[useText(filter.use)] = locked;
  }
  await writeLock(denoFiles, lockPath(read), { filters });
}
