/** The carriers of filters, each made from a filter's source text. */
import { InlineLink } from "../../src/links/inline.ts";
import type { Link } from "../../src/chain/link.ts";
import type { Filter } from "../../src/filter/mod.ts";
import type { MailLimits } from "../../src/session/plan.ts";
import type { FailurePolicy } from "../../src/session/policy.ts";
import { Millrace, upstreamOf } from "../upstream/upstreams.ts";
import { sandboxOf } from "./sandboxes.ts";

/** Limits that tests can reach. */
export const LIMITS: MailLimits = { headers: 2000, body: 16 << 20, recipients: 3, frame: 1 << 20 };

/** A way to run a filter. */
export interface Carrier {
  readonly name: string;
  /** The runtime itself sees the hooks; else their failures and deadlines are the business of who runs them. */
  readonly seesHooks: boolean;
  open(source: string, policy: FailurePolicy): Promise<Link>;
}

async function inline(source: string, policy: FailurePolicy): Promise<Link> {
  const { default: filter } = await import(
    // A module of its own each time, as each sandbox has.
    `data:text/javascript,${encodeURIComponent(`${source}//${crypto.randomUUID()}`)}`
  );
  return new InlineLink({ name: "f", filter: filter as Filter, policy, limits: LIMITS });
}

const INLINE: Carrier = { name: "inline", seesHooks: true, open: inline };

const SANDBOX: Carrier = {
  name: "sandbox",
  seesHooks: true,
  async open(source, policy) {
    const { link } = sandboxOf(source, { policy, limits: LIMITS });
    await link.start();
    return link;
  },
};

/** The filter runs in another millrace, which has the same policy. */
const UPSTREAM: Carrier = {
  name: "upstream",
  seesHooks: false,
  async open(source, policy) {
    const millrace = new Millrace(await inline(source, policy));
    const { link } = upstreamOf(() => Promise.resolve(millrace.connect()), { policy });
    return {
      name: link.name,
      open: (host, answerData) => link.open(host, answerData),
      close: async () => {
        await link.close();
        await millrace.stop();
      },
    };
  },
};

/** All of them. */
export const carriers: readonly Carrier[] = [INLINE, SANDBOX, UPSTREAM];

/** Those that see every hook of the filter, and so tell the same of it. */
export const hookCarriers: readonly Carrier[] = carriers.filter(({ seesHooks }) => seesHooks);
