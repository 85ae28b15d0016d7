/**
 * The results as a page in Markdown. Pure.
 *
 * @module
 */
import type { Cost } from "./cost.ts";
import { type Growth, LARGE_MAILS, type Streaming } from "./endurance.ts";
import { figures, ratio, scaled, type Spread } from "./figures.ts";
import { JOBS } from "./jobs.ts";
import type { Row } from "./measure.ts";
import type { PostfixResults } from "./postfix.ts";
import { BASE, type Results } from "./results.ts";
import { growthOf, perSandbox, type Verdict, verdicts } from "./targets.ts";

/** A number with so many digits after the point, and commas between thousands. */
function number(value: number, digits = 0): string {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return value.toLocaleString("en-GB", options);
}

/** Median, least and most: `1.70 (1.61–1.79)`. */
export function withSpread({ median, least, most }: Spread, digits = 0): string {
  return `${number(median, digits)} (${number(least, digits)}–${number(most, digits)})`;
}

/** Lays out cells in Markdown; the first `left` columns are aligned to the left. */
export function markdown(
  head: readonly string[],
  lines: readonly (readonly string[])[],
  left: number,
): string {
  const widths = head.map((title, i) => Math.max(3, title.length, ...lines.map((line) => line[i].length)));
  const text = (cells: readonly string[]) =>
    `| ${cells.map((c, i) => i < left ? c.padEnd(widths[i]) : c.padStart(widths[i])).join(" | ")} |`;
  const rule = `| ${widths.map((w, i) => i < left ? "-".repeat(w) : "-".repeat(w - 1) + ":").join(" | ")} |`;
  return [text(head), rule, ...lines.map(text)].join("\n");
}

function list(items: readonly string[]): string {
  return items.map((item) => `- ${item}`).join("\n");
}

/** The table of targets. */
export function verdictTable(all: readonly Verdict[]): string {
  const lines = all.map(({ what, wanted, found, digits, word }) => [
    what,
    wanted,
    found ? withSpread(found, digits) : "–",
    word === "missed" ? "**missed**" : word,
  ]);
  return markdown(["target", "wanted", "found", "verdict"], lines, 1);
}

function loadTable(rows: readonly Row[]): string {
  const head = ["MTA", "socket", "conns", "filter", "mails/s", `/ ${BASE}`, "p50 ms", "p90 ms", "p99 ms"];
  const ms = (value: Spread) => (value.median / 1000).toFixed(2);
  const lines = rows.flatMap((row) => {
    const start = [row.dialect, row.transport, `${row.connections}`];
    const measured = Object.entries(row.samples).map(([peer, samples]) => {
      const f = figures(samples), over = ratio(row, peer, BASE);
      const times = [f.p50, f.p90, f.p99, f.setup].map(ms);
      const cost = [number(f.cpuPerMail.median), number(f.peak / 1024), f.others.toFixed(1)];
      return [...start, peer, withSpread(f.rate), over ? withSpread(over, 2) : "–", ...times, ...cost];
    });
    const failed = Object.keys(row.failures).map((peer) => [...start, peer, "failed", ...Array(8).fill("–")]);
    return [...measured, ...failed];
  });
  return markdown([...head, "set-up ms", "CPU µs/mail", "peak MiB", "other CPU"], lines, 4);
}

function loadSections(rows: readonly Row[]): string[] {
  return JOBS.flatMap(({ name, what }) => {
    const own = rows.filter(({ job }) => job === name);
    return own.length ? [`### ${name}`, `${what[0].toUpperCase()}${what.slice(1)}.`, loadTable(own)] : [];
  });
}

function costTable(costs: readonly Cost[]): string {
  const mib = (value: Spread) => withSpread(scaled(value, 1 / 1024), 1);
  const inline = costs.find(({ sandboxes }) => sandboxes === 0);
  const each = (cost: Cost, key: "idle" | "loaded") =>
    inline && cost.sandboxes ? (perSandbox(cost, inline, key).median / 1024).toFixed(1) : "";
  return markdown(
    [
      ...[
        "filter",
        "start ms",
        "idle MiB",
        "loaded MiB",
        "each sandbox, idle MiB",
        "each sandbox, loaded MiB",
      ],
      ...["idle connection KiB", "session with a mail KiB"],
    ],
    costs.map((cost) => [
      cost.name,
      withSpread(cost.started),
      mib(cost.idle),
      mib(cost.loaded),
      each(cost, "idle"),
      each(cost, "loaded"),
      withSpread(cost.connection, 1),
      withSpread(cost.session, 1),
    ]),
    1,
  );
}

function growthTable(runs: readonly Growth[]): string {
  const mib = (kib: number) => (kib / 1024).toFixed(1);
  const parts = [0, 0.25, 0.5, 0.75, 1];
  return markdown(
    ["filter", "mails", ...parts.map((part) => `MiB at ${part * 100} %`), "growth"],
    runs.map((run) => [
      run.name,
      number(run.mails),
      ...parts.map((part) => mib(run.resident[Math.round(part * (run.resident.length - 1))])),
      `${(growthOf(run) * 100).toFixed(1)} %`,
    ]),
    1,
  );
}

function streamingTable(all: readonly Streaming[]): string {
  const mib = (kib: number) => (kib / 1024).toFixed(1);
  return markdown(
    ["filter", "peak MiB, mails of 1 MiB", `peak MiB, ${LARGE_MAILS} mails of 50 MiB`],
    all.map(({ name, small, large }) => [name, mib(small), mib(large)]),
    1,
  );
}

function postfixTable({ waits }: PostfixResults): string {
  return markdown(
    ["filter", "socket", "reply ms", "more than without ms", "reply p90 ms", "session ms"],
    waits.map(({ name, transport, reply, replyP90, session, more }) => [
      name,
      transport ?? "",
      withSpread(reply, 2),
      transport ? withSpread(more, 2) : "",
      withSpread(replyP90, 2),
      withSpread(session, 2),
    ]),
    2,
  );
}

function costSections({ costs, growth, streaming }: Results): string[] {
  const sections: string[] = [];
  if (costs.length) {
    sections.push(
      "### Start and memory",
      "Filter: `headers`. Start: until the process had answered the negotiation of its first connection. Memory: " +
        "resident, just after the start and after load on 16 connections; then for each of many connections that are " +
        "open on top of that, with no mail begun, and with a mail whose envelope and header are sent.",
      costTable(costs),
    );
  }
  if (growth.length) {
    sections.push(
      "### Memory over many mails",
      "16 connections. Growth: the least of the second half over the least of the first, without its first part.",
      growthTable(growth),
    );
  }
  if (streaming.length) {
    sections.push("### Large mails", "One connection, filter `body`.", streamingTable(streaming));
  }
  return sections.length ? ["## Cost", ...sections] : [];
}

function postfixSections(postfix: PostfixResults | undefined): string[] {
  return postfix
    ? [
      "## A real Postfix",
      "What an SMTP client waits, one at a time: from the dot that ends a mail of 20 header fields and 2 KiB to the " +
      "reply, and for the whole session with one mail. Each line is a Postfix of its own on this machine, in turns; " +
      "the filter adds one header field.",
      postfixTable(postfix),
    ]
    : [];
}

const HOW_TO_READ =
  "All filters do the same work, and the load generator checks every answer. Each row starts all programs, then loads " +
  "one after the other, round by round; figures are medians of rounds with the least and the most, ratios are taken " +
  `within a round. A round goes on until as many mails are answered as there are connections, up to ten times as long. p50, p90, p99: from the first byte of a mail to its verdict. Set-up: from connect to the answer to ` +
  "the negotiation, median. CPU: user and system time of the filter's process. Peak: the most memory that was ever " +
  "resident. Other CPU: processors that neither the filter nor the load generator kept busy; well above 0, the row " +
  "says little.";

/** The whole page; `chart` is the address of the picture beside it. */
export function page(results: Results, chart: string): string {
  const { about, notes, load } = results;
  const parts = [
    "# Benchmark results",
    `Written by \`${about.command}\` on ${about.date.slice(0, 16).replace("T", " ")} UTC.`,
    list([...about.machine, ...about.versions, ...about.conditions]),
    `![mails a second over libmilter, p99, and waits of a real Postfix](${chart})`,
    "## Targets",
    "Medians; least and most of all rounds in parentheses.",
    verdictTable(verdicts(results)),
    ...(notes.length ? ["## Not measured", list(notes)] : []),
    ...(load.length ? ["## Load", HOW_TO_READ, ...loadSections(load)] : []),
    ...costSections(results),
    ...postfixSections(results.postfix),
  ];
  return `${parts.join("\n\n")}\n`;
}
