/**
 * From the open filters of a configuration to the chain that the server serves.
 *
 * @module
 */
import { Chain } from "../../chain/chain.ts";
import type { OpenFilters } from "../open_filters.ts";
import { onlyFilter } from "../setup.ts";

/**
 * Makes the chain.
 *
 * @throws {CommandError} if this version cannot run these filters
 */
export function chainOf(open: OpenFilters): Chain {
  const { link, config } = onlyFilter(open.filters);
  return new Chain([{ link, timeout: config.timeout }]);
}
