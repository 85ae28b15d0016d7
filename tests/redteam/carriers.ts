/** The carriers of filters, each made from a filter's source text. */
import { InlineLink } from "../../src/links/inline.ts";
import type { Link } from "../../src/chain/link.ts";
import type { Filter } from "../../src/filter/mod.ts";
import type { MailLimits } from "../../src/session/plan.ts";
import type { FailurePolicy } from "../../src/session/policy.ts";
import { sandboxOf } from "./sandboxes.ts";

/** Limits that tests can reach. */
export const LIMITS: MailLimits = { headers: 2000, body: 16 << 20, recipients: 3, frame: 1 << 20 };

/** A way to run a filter. */
export interface Carrier {
  readonly name: string;
  open(source: string, policy: FailurePolicy): Promise<Link>;
}

/** All of them. */
export const carriers: readonly Carrier[] = [
  {
    name: "inline",
    async open(source, policy) {
      const { default: filter } = await import(
        // A module of its own each time, as each sandbox has.
        `data:text/javascript,${encodeURIComponent(`${source}//${crypto.randomUUID()}`)}`
      );
      return new InlineLink({ name: "f", filter: filter as Filter, policy, limits: LIMITS });
    },
  },
  {
    name: "sandbox",
    async open(source, policy) {
      const { link } = sandboxOf(source, { policy, limits: LIMITS });
      await link.start();
      return link;
    },
  },
];
