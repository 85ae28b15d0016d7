/** What a hostile filter is, for the arena. */
import type { FailureKind } from "../../src/session/policy.ts";

/** A hostile filter. */
export interface Attack {
  readonly name: string;
  /** What it tries, for the table. */
  readonly tries: string;
  readonly source: string;
  /** The failures that it may end in; `none`: it gets nothing, and the mail goes on. */
  readonly ends: readonly (FailureKind | "none")[];
  /** Deadline of its hooks, ms, where it needs another: filling memory takes its time. */
  readonly deadline?: number;
  /** Each round costs a sandbox, or a deadline: fewer rounds by default. */
  readonly dear: boolean;
}

/** A filter that does something in its message hook. */
export function inHook(body: string, before = ""): string {
  return `${before}\nexport default { async message(mail, context) { const { addHeader, accept, log } = context; ${body} } };`;
}

/**
 * A filter that tries several things, and reports in a header those that worked. Each is an expression; what throws,
 * or gives undefined or false, did not work.
 */
export function trying(tries: Readonly<Record<string, string>>): string {
  const list = Object.entries(tries).map(([name, code]) =>
    `[${JSON.stringify(name)}, async () => (${code})]`
  );
  return inHook(`
    for (const [name, run] of [${list.join(",\n")}]) {
      try { const got = await run(); if (got !== undefined && got !== false) addHeader("X-Got", name + ": " + String(got).slice(0, 60)); } catch {}
    }
    addHeader("X-Tried", "${list.length}");`);
}
