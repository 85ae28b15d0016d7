/**
 * A chain of three filters gives the same mail and the same SMTP replies as the three configured in the MTA itself: on
 * real Postfix and real Sendmail, line for line, and each filter is shown the same.
 */
import { checkPremise, compare, expectedOf, record, type Recorded } from "./chain_record.ts";
import type { ChainScenario } from "./chain_scenario.ts";
import { chainScenarios } from "./chain_scenarios.ts";
import {
  chained,
  chainedInProcess,
  chainedInSandboxes,
  inProcesses,
  separately,
  type ServeScripts,
  startPatient,
} from "./chain_serve.ts";
import { type Mta, type MtaKind, mtaKinds, mtaTest } from "./mta.ts";
import { socketFolder } from "./serve_filter.ts";

/** Scenarios whose separate filters run once more as three programs, and the chain as one. */
const IN_PROCESSES: readonly string[] = [
  "the second filter decides at rcpt: reject",
  "header: inserted at 0, changed, inserted above",
  "body: rewritten by all, and fields added",
  "envelope: sender and recipients are changed by all, with header and body",
  "session: each filter decides about a mail of its own",
];

/** Scenarios whose chain runs once more with a sandbox for each filter. Of one mail: a sandbox may log 50 lines a second. */
const IN_SANDBOXES: readonly string[] = [
  "quarantine: by the first, rejected by the second",
  "header: three inserted, all five of the name changed, some removed",
  "body: 256 KiB rewritten by all",
  "envelope: a recipient is added, which the third sees",
  "quarantine: by two, with a reason each",
];

/** Only scenarios whose name has this pattern are played, where somebody looks into one. */
const ONLY = new RegExp(Deno.env.get("MILLRACE_SCENARIOS") ?? "");

/** An MTA that asks three filters, and one that asks the chain of them. */
interface Pair {
  readonly kind: MtaKind;
  readonly alone: Mta;
  readonly chain: Mta;
  readonly sockets: readonly string[];
}

function named(names: readonly string[]): ChainScenario[] {
  return names.map((name) => {
    const found = chainScenarios.find((scenario) => scenario.name === name);
    if (found === undefined) throw new Error(`No scenario is called "${name}"`);
    return found;
  }).filter(chosen);
}

function chosen({ name }: ChainScenario): boolean {
  return ONLY.test(name);
}

const inProcessScenarios = named(IN_PROCESSES);
const inSandboxScenarios = named(IN_SANDBOXES);
const scenarios = chainScenarios.filter(chosen);
if (scenarios.length === 0) {
  throw new Error(`No scenario's name has the pattern ${ONLY} (MILLRACE_SCENARIOS)`);
}

mtaTest("a chain of three filters gives what the three give by themselves", async (t) => {
  await using folder = await socketFolder();
  await using stack = new AsyncDisposableStack();
  const pairs = await Promise.all(mtaKinds.map(async (kind): Promise<Pair> => {
    const sockets = ["first", "second", "third", "chain"].map((name) =>
      `unix:${folder.path}/${kind}-${name}.sock`
    );
    const [alone, chain] = await Promise.all(
      [sockets.slice(0, 3), sockets.slice(3)].map((list) =>
        startPatient(kind, list).then((mta) => stack.use(mta))
      ),
    );
    return { kind, alone, chain, sockets };
  }));

  /** Plays a scenario four times: on each MTA with separate filters, and with a chain of them. */
  async function play(
    scenario: ChainScenario,
    alone: (pair: Pair) => ServeScripts,
    chain: (pair: Pair) => ServeScripts,
  ): Promise<void> {
    const records = await Promise.all(pairs.map(async (pair) => {
      const both = [
        record(scenario, pair.alone, alone(pair)),
        record(scenario, pair.chain, chain(pair)),
      ] as const;
      const [one, other] = await Promise.allSettled(both);
      return { kind: pair.kind, alone: valueOf(one), chain: other };
    }));
    for (const { kind, alone } of records) checkPremise(scenario, kind, alone);
    const [postfix, sendmail] = mtaKinds.map((kind) => records.find((record) => record.kind === kind)!.alone);
    const problems: string[] = [];
    for (const { kind, chain } of records) {
      try {
        compare(`on ${kind}`, expectedOf(scenario, kind, { postfix, sendmail }), valueOf(chain));
      } catch (error) {
        problems.push(error instanceof Error ? error.message : String(error));
      }
    }
    if (problems.length > 0) throw new Error(`${scenario.name}\n${problems.join("\n")}`);
  }

  for (const scenario of scenarios) {
    await t.step(
      scenario.name,
      () => play(scenario, ({ sockets }) => separately(sockets), ({ sockets }) => chained(sockets[3])),
    );
  }
  for (const scenario of inProcessScenarios) {
    await t.step(
      `${scenario.name} (three programs, and one)`,
      () =>
        play(
          scenario,
          ({ kind, sockets }) => inProcesses(sockets, `${folder.path}/${kind}`),
          ({ kind, sockets }) => chainedInProcess(sockets[3], `${folder.path}/${kind}`),
        ),
    );
  }
  for (const scenario of inSandboxScenarios) {
    await t.step(
      `${scenario.name} (the chain in sandboxes)`,
      () =>
        play(scenario, ({ sockets }) => separately(sockets), ({ sockets }) => chainedInSandboxes(sockets[3])),
    );
  }
});

function valueOf(settled: PromiseSettledResult<Recorded>): Recorded {
  if (settled.status === "rejected") throw settled.reason;
  return settled.value;
}
