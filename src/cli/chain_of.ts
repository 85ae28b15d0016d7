/**
 * From the open links of a configuration to the chain that is served.
 *
 * @module
 */
import { Chain } from "../chain/chain.ts";
import { DEFAULT_LIMITS } from "../server/limits.ts";
import type { ReadConfig } from "./load_config.ts";
import { pathUrl } from "./load_filter.ts";
import type { OpenLink } from "./open_filters.ts";
import { pathOfUrl } from "./rights.ts";
import { selectorOf } from "./selector.ts";
import { spoolFolder } from "./spool_folder.ts";

/**
 * Makes the chain.
 *
 * @throws {CommandError} if the spool's folder cannot be used
 */
export async function chainOf(links: readonly OpenLink[], { config, base }: ReadConfig): Promise<Chain> {
  const { memory, folder, over } = config.spool;
  const open = folder === undefined ? undefined : await spoolFolder(pathOfUrl(pathUrl(folder, base)));
  const entries = links.map(({ link, config: { timeout, when, mode, canary } }) => ({
    link,
    timeout,
    when: when && selectorOf(when),
    mode,
    canary,
  }));
  return new Chain(entries, {
    spool: { memory, open },
    over,
    limits: { ...DEFAULT_LIMITS, ...config.limits },
  });
}
