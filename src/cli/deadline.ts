/**
 * A filter whose hooks must answer in time, where no server watches the clock.
 *
 * @module
 */
import type { Filter } from "../filter/mod.ts";
import { HOOK_NAMES } from "./load_filter.ts";

/** The same filter; a hook that takes longer than `ms` milliseconds fails. One that never awaits is not stopped. */
export function withDeadline(filter: Filter, ms: number): Filter {
  const timed: Record<string, unknown> = Object.create(filter);
  for (const name of HOOK_NAMES) {
    const hook: unknown = filter[name];
    if (typeof hook !== "function") continue;
    timed[name] = (...args: unknown[]) => {
      const answer: unknown = hook.apply(filter, args);
      return answer instanceof Promise ? inTime(answer, name, ms) : answer;
    };
  }
  return timed as Filter;
}

async function inTime(answer: Promise<unknown>, name: string, ms: number): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${name} did not answer within ${ms} ms (timeout)`)), ms);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
