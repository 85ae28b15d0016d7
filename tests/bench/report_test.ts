/** From figures to verdicts, page and chart: numbers that are known in, words that must come out. */
import assert from "node:assert/strict";
import { chart } from "./chart.ts";
import type { Cost } from "./cost.ts";
import { ratio, spread } from "./figures.ts";
import type { Row, Sample } from "./measure.ts";
import { readOptions, UsageError } from "./options.ts";
import { page } from "./report.ts";
import type { Results } from "./results.ts";
import { logScale } from "./svg.ts";
import { growthOf, verdicts } from "./targets.ts";

function sample(rate: number, p99: number): Sample {
  return {
    load: {
      messages: rate,
      seconds: 1,
      rate,
      latency_us: { p50: p99 / 4, p90: p99 / 2, p99, max: p99 * 2 },
      setup_us: { p50: 100, p99: 200 },
      least_messages: 1,
      most_messages: 1,
      all_messages: rate,
      sessions: 1,
      frames: 1,
      replies: 1,
      negotiated: { version: 6, actions: 1, protocol: 0 },
      cpu_seconds: 0.1,
      errors: 0,
    },
    cpuPerMail: 100,
    rss: 50_000,
    peak: 60_000,
    others: 0,
  };
}

const row: Row = {
  job: "noop",
  transport: "unix",
  connections: 16,
  dialect: "postfix",
  samples: {
    inline: [sample(1600, 900), sample(3000, 1000), sample(1700, 1100)],
    libmilter: [sample(1000, 1000), sample(1000, 1000), sample(1000, 1000)],
    "go-milter": [sample(900, 2000), sample(900, 2000), sample(900, 2000)],
  },
  failures: { sandbox: "it <broke>" },
};

function cost(name: string, sandboxes: number, mib: number): Cost {
  const one = spread([1]), memory = spread([mib * 1024]);
  return { name, sandboxes, started: one, idle: memory, loaded: memory, connection: one, session: one };
}

const wait = { transport: "tcp", replyP90: spread([9]), session: spread([20]) } as const;

const results: Results = {
  about: {
    command: "deno task bench --out DIR",
    date: "2026-11-25T12:34:56.000Z",
    machine: ["2 × CPU & more, 4 GiB"],
    versions: ["libmilter 1.0.1"],
    conditions: ["quiet"],
  },
  notes: ["sandbox: it <broke>"],
  load: [row],
  costs: [cost("inline", 0, 60), cost("sandbox × 1", 1, 80), cost("sandbox × 4", 4, 180)],
  growth: [{ name: "inline headers", mails: 1000, resident: [50, 100, 110, 120, 130, 125] }],
  streaming: [{ name: "inline", small: 60 * 1024, large: 65 * 1024 }],
  postfix: {
    version: "3.7.11",
    waits: [
      { ...wait, name: "none", transport: undefined, reply: spread([3]), more: spread([0]) },
      { ...wait, name: "libmilter headers", reply: spread([50]), more: spread([47]) },
      { ...wait, name: "inline message", reply: spread([4.5]), more: spread([1.5]) },
    ],
  },
};

Deno.test("ratios are taken round by round, then their median", () => {
  assert.deepEqual(ratio(row, "inline", "libmilter"), { median: 1.7, least: 1.6, most: 3 });
  assert.equal(ratio(row, "sandbox", "libmilter"), undefined);
});

Deno.test("verdicts: met, missed, and not measured", () => {
  const words = new Map(verdicts(results).map(({ what, word }) => [what, word]));
  const expected: Readonly<Record<string, string>> = {
    "noop inline, 16 conns, unix: mails/s / libmilter": "met",
    "noop inline, 16 conns, unix: p99 / libmilter": "met",
    "noop inline, 16 conns, tcp: mails/s / libmilter": "not measured",
    "chain sandbox, 16 conns, unix: mails/s / libmilter": "not measured",
    "resident memory, inline, just started": "met",
    "memory of each sandbox on top of inline, 1 of them, just started": "met",
    // 120 MiB: 30 each
    "memory of each sandbox on top of inline, 4 of them, just started": "missed",
    "growth of memory over 1,000 mails, inline headers": "missed",
    "peak memory, mails of 50 MiB less mails of 1 MiB, inline": "met",
    "real Postfix, inline message, tcp: wait more than without a milter": "missed",
    "real Postfix, inline message, tcp: wait less than with libmilter over TCP": "met",
  };
  for (const [what, word] of Object.entries(expected)) {
    assert.equal(words.get(what), word, what);
  }
  assert.deepEqual(verdicts({ ...results, load: [], costs: [], postfix: undefined }), []);
});

Deno.test("growth leaves out the first part and garbage", () => {
  const run = { name: "inline", mails: 8 };
  assert.equal(growthOf({ ...run, resident: [10, 100, 150, 120, 180, 110, 140, 170] }), 0.1);
});

Deno.test("the page has targets, failures, and a table of each part", () => {
  const text = page(results, "results.svg");
  for (
    const part of [
      "# Benchmark results",
      "on 2026-11-25 12:34 UTC",
      "- 2 × CPU & more, 4 GiB",
      "![mails a second over libmilter, p99, and waits of a real Postfix](results.svg)",
      "- sandbox: it <broke>",
      "### noop",
      "1,700 (1,600–3,000)",
      "1.70 (1.60–3.00)",
      "### Memory over many mails",
      "### Large mails",
      "## A real Postfix",
    ]
  ) assert.ok(text.includes(part), part);
  assert.match(text, /\| sandbox +\| +failed \|/);
});

Deno.test("the chart shows each peer of a row, and escapes what it is told", () => {
  const text = chart(results);
  assert.match(text, /^<svg [^>]*viewBox="0 0 1040 \d+"/);
  assert.ok(text.includes("noop: mails/s, libmilter = 1"));
  assert.ok(text.includes("2 × CPU &amp; more"));
  // the legend has one marker of each; inline is in both panels, go-milter too, libmilter in the second
  const count = (pattern: RegExp) => text.match(pattern)?.length;
  assert.equal(count(/<circle /g), 1 + 2);
  assert.equal(count(/<polygon [^>]*fill="#0f8a6a"/g), 1 + 2);
  assert.equal(count(/<rect [^>]*width="10" height="3"/g), 1 + 1);
});

Deno.test("a logarithmic scale keeps its labels apart", () => {
  for (const values of [[0.9, 1.1], [0.5, 3], [0.01, 400], [1, 1e9]]) {
    const { at, ticks } = logScale(values, 130, 0);
    for (let n = 1; n < ticks.length; n++) assert.ok(at(ticks[n - 1]) - at(ticks[n]) >= 14, `${values}`);
    for (const value of [...values, 0, NaN, Infinity]) assert.ok(at(value) >= 0 && at(value) <= 130);
  }
  assert.deepEqual(logScale([0, NaN], 130, 0).ticks, []);
});

Deno.test("options: parts, defaults, and Sendmail's frames at one number of connections", () => {
  const all = readOptions([]);
  assert.ok(all !== "help");
  assert.deepEqual(all.parts, { load: true, cost: true, postfix: true });
  assert.equal(all.cases.length, 5 * 2 * (4 + 1));
  assert.ok(all.cases.every(({ dialect, connections }) => dialect === "postfix" || connections === 16));
  const some = readOptions(["--load", "--jobs", "noop", "--dialects", "sendmail", "--connections", "1,2"]);
  assert.ok(some !== "help");
  assert.deepEqual(some.parts, { load: true, cost: false, postfix: false });
  assert.deepEqual(some.cases.map(({ transport, connections }) => `${transport} ${connections}`), [
    ...["unix 1", "unix 2", "tcp 1", "tcp 2"],
  ]);
  for (
    const [args, expected] of [
      [["--jobs", "nop"], /--jobs has "nop", expected of noop, /],
      [["--rounds", "1.5"], /--rounds has "1.5", expected a whole number/],
      [["--seconds", "0"], /--seconds has "0", expected a number of at least 0.1/],
      [["--fast"], /"--fast" is no option/],
    ] as const
  ) {
    assert.throws(
      () => readOptions(args),
      (error) => error instanceof UsageError && expected.test(error.message),
    );
  }
});
