/**
 * From the open links of a configuration to the chain that is served.
 *
 * @module
 */
import { Chain } from "../chain/chain.ts";
import type { OpenFilter } from "./open_filter.ts";

/** Makes the chain. */
export function chainOf(open: readonly OpenFilter[]): Chain {
  return new Chain(open.map(({ link, config }) => ({ link, timeout: config.timeout })));
}
