/**
 * A filter in this isolate: for trusted code, tests and the edge. Direct calls, nothing in between.
 *
 * @module
 */
import type { Link, LinkSession } from "../chain/link.ts";
import { FilterSession } from "../session/filter_session.ts";
import type { Agreement, Options } from "../protocol/mod.ts";
import { foretold } from "../session/negotiation.ts";
import type { FilterPlan, SessionHost } from "../session/plan.ts";

/** A link without isolation: a hook that never returns stops the process. */
export class InlineLink implements Link {
  readonly #plan: FilterPlan;

  constructor(plan: FilterPlan) {
    this.#plan = plan;
  }

  get name(): string {
    return this.#plan.name;
  }

  open(host: SessionHost, answerData: boolean): LinkSession {
    return new FilterSession(this.#plan, host, answerData);
  }

  foretell(offer: Options): Agreement | undefined {
    return foretold(this.#plan.filter, offer);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
