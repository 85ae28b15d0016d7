// The rows of the tests beside this file (rules as an administrator writes them, a mail, what comes of it), and what runs them.
import assert from "node:assert/strict";
import { runFilter, type RunOptions, type TestMail } from "../../src/testing/run_filter.ts";
import type { Filter } from "../../src/filter/mod.ts";
import rulesFilter from "./mod.ts";

/** One record of the log, in short. */
export type Logged = { readonly rule: string; readonly stage: string; readonly recipient?: string };

/** Loads the filter; what it logs goes into `logged`. */
export function load(rules: unknown, logged: Logged[] = []): Filter {
  const nothing = () => {};
  return rulesFilter({
    options: { rules },
    log: {
      debug: nothing,
      warn: nothing,
      error: nothing,
      info(message, fields = {}) {
        assert.equal(message, "rule matched");
        const { rule, stage, recipient } = fields;
        logged.push({
          rule: String(rule),
          stage: String(stage),
          ...(recipient === undefined ? {} : { recipient: String(recipient) }),
        });
      },
    },
    signal: new AbortController().signal,
  });
}

/** The hooks that a filter has, in the order of the protocol. */
function hooksOf(filter: Filter): string {
  return Object.entries(filter).filter(([, value]) => typeof value === "function").map(([name]) => name).join(
    " ",
  );
}

/** What the row does not name is what a mail that no rule touches gives. */
export type Row = {
  readonly name: string;
  readonly rules: readonly unknown[];
  readonly mail?: TestMail;
  readonly run?: RunOptions;
  /** Hooks with blanks between them; what is read besides; the declared edits. */
  readonly hooks: string;
  readonly needs?: string;
  readonly edits?: string;
  /** `done` is an accept of the whole connection, after which the mail passes unseen. */
  readonly verdict: string;
  readonly stage?: string;
  readonly reply?: string;
  /** Recipients refused, as `<address> reply`. */
  readonly refused?: readonly string[];
  /** Recipients of the mail as it goes on. */
  readonly recipients?: readonly string[];
  readonly header?: string;
  readonly quarantine?: string;
  readonly logged?: readonly Logged[];
};

/** Makes a test of each row. */
export function testRows(rows: readonly Row[]): void {
  for (const row of rows) {
    Deno.test(`rules: ${row.name}`, async () => {
      const logged: Logged[] = [];
      const filter = load(row.rules, logged);
      assert.equal(hooksOf(filter), row.hooks);
      assert.equal(filter.needs?.join(" "), row.needs ?? "");
      assert.equal(filter.edits?.join(" "), row.edits ?? "");
      let done = false;
      const { connect } = filter;
      if (connect !== undefined) {
        filter.connect = async (client, context) => {
          const verdict = await connect(client, context);
          done = verdict?.kind === "accept";
          return verdict;
        };
      }
      const run = await runFilter(filter, row.mail, row.run);
      assert.equal(done, row.verdict === "done");
      if (done) assert.notEqual(run.mail, undefined);
      else assert.equal(run.verdict, row.verdict);
      if (row.stage !== undefined) assert.equal(run.stage, row.stage);
      if (row.reply !== undefined) assert.equal(run.reply, row.reply);
      assert.deepEqual(run.refused.map(({ recipient, reply }) => `${recipient} ${reply}`), row.refused ?? []);
      if (row.recipients !== undefined) assert.deepEqual(run.mail?.recipients, row.recipients);
      if (row.header !== undefined) {
        assert.equal(run.message?.split("\r\n\r\n")[0].replaceAll("\r\n", "|"), row.header);
      }
      assert.equal(run.mail?.quarantine, row.quarantine);
      if (row.logged !== undefined) assert.deepEqual(logged, row.logged);
    });
  }
}
