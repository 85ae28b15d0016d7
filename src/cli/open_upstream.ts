/**
 * From an upstream milter's entry in the configuration to a link.
 *
 * @module
 */
import type { Link } from "../chain/link.ts";
import type { UpstreamConfig } from "../config/schema.ts";
import type { LinkLog } from "../links/relay/carrier.ts";
import { UpstreamLink } from "../links/upstream/upstream_link.ts";
import { dial } from "../transport/deno.ts";

/** The link to a milter that runs elsewhere; it is dialled when there is mail. */
export function openUpstream(config: UpstreamConfig, event: LinkLog["event"]): Link {
  const { name, upstream: address, onFailure: policy, connectTimeout: connect } = config;
  return new UpstreamLink({
    name,
    address,
    policy,
    dial,
    log: { event },
    now: () => performance.now(),
    times: { connect },
  });
}
