// The carriers against each other: the same commands, the same bytes.
import fc from "fast-check";
import assert from "node:assert/strict";
import { hookCarriers } from "../../tests/redteam/carriers.ts";
import { connectFrom, Driver, mailCommands, repliesIn } from "../../tests/redteam/driver.ts";
import { HOOKS, SCRIPTED } from "../../tests/redteam/filters.ts";
import type { Command } from "../protocol/mod.ts";
import type { MailReport } from "../session/plan.ts";
import { uniformPolicy } from "../session/policy.ts";

const encoder = new TextEncoder();

Deno.test("the carriers answer any series of commands with the same bytes, failures and reports", async () => {
  const action = fc.constantFrom(
    ...[
      "continue",
      "accept",
      "discard",
      "skip",
      "reject",
      "tempfailText",
      "rejectText",
      "async",
      "asyncReject",
    ],
    ...["throw", "rejected", "string", "null", "object", "edits", "editsThenThrow", "macros"],
  );
  const script = fc.dictionary(fc.constantFrom(...HOOKS), action, { maxKeys: 3, noNullPrototype: true })
    .map((entries) => Object.entries(entries).map(([hook, what]) => `${hook}=${what}`).join(";"));
  const macros: fc.Arbitrary<Command> = fc.constantFrom(67, 77, 82, 69).map((stage): Command => ({
    kind: "macros",
    stage,
    pairs: [[encoder.encode("i"), encoder.encode(`Q${stage}`)] as const],
  }));
  const series: fc.Arbitrary<Command[]> = fc.oneof(
    {
      weight: 4,
      arbitrary: script.map((words) => mailCommands(`${words}@client.example`, [encoder.encode("body")])),
    },
    {
      weight: 1,
      arbitrary: script.chain((words) =>
        fc.nat({ max: 5 }).map((n) => mailCommands(`${words}@x.example`, []).slice(0, n))
      ),
    },
    { weight: 1, arbitrary: macros.map((command) => [command]) },
    {
      weight: 1,
      arbitrary: fc.constantFrom<Command[]>([{ kind: "abort" }], [
        { kind: "quitNewConnection" },
        connectFrom("x"),
      ], [{
        kind: "helo",
        name: encoder.encode("again"),
      }], [{ kind: "unknown", command: encoder.encode("FROB") }]),
    },
  );
  const offers = fc.constantFrom({}, { version: 2, actions: 0x3f, protocol: 0x7f }, { protocol: 0x3ff }, {
    actions: 1,
  });
  const [inline, sandbox] = await Promise.all(
    hookCarriers.map(({ open }) => open(SCRIPTED, uniformPolicy())),
  );
  let verdicts = 0;
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.array(series, { maxLength: 6 }),
        script,
        offers,
        fc.boolean(),
        async (list, first, offer, answerData) => {
          const [a, b] = [new Driver(inline, 5000, answerData), new Driver(sandbox, 5000, answerData)];
          const commands: Command[] = [
            { kind: "negotiate", version: 6, actions: 0x1ff, protocol: 0x1fffff, ...offer },
            connectFrom(first === "" ? "client" : first),
            ...list.flat(),
          ];
          for (const command of commands) {
            const [left, right] = await Promise.all([outcomeOf(a, command), outcomeOf(b, command)]);
            assert.deepEqual(
              right,
              left,
              `${command.kind}: ${JSON.stringify(left)} inline, ${JSON.stringify(right)} in the sandbox`,
            );
            if (left.some((words) => /^(?:reject|tempfail|replyCode|discard)/.test(words))) verdicts++;
            if (left[0]?.startsWith("broke")) break;
          }
          await Promise.all([a.lost(), b.lost()]);
          assert.deepEqual(b.notes.failures, a.notes.failures);
          assert.deepEqual(
            b.notes.mails.map(comparable),
            a.notes.mails.map(comparable),
          );
        },
      ),
      { numRuns: 300 },
    );
  } finally {
    await Promise.all([inline.close(), sandbox.close()]);
  }
  assert(verdicts > 50, `only ${verdicts} verdicts`);
});

async function outcomeOf(driver: Driver, command: Command): Promise<string[]> {
  try {
    return repliesIn(await driver.bytes(command));
  } catch (error) {
    return [`broke: ${error instanceof Error ? error.message : error}`];
  }
}

/** On the wire accept and continue are the same at the end of a message, so a sandbox cannot tell them apart. */
function comparable(report: MailReport): MailReport {
  const accepted = report.stage === "endOfMessage" && report.verdict === "accept";
  return { ...report, ms: 0, verdict: accepted ? "continue" : report.verdict };
}
