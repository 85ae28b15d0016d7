/**
 * The results as a picture: for each job mails a second over libmilter's and p99, then the waits of a real Postfix. Pure.
 *
 * @module
 */
import { figures, ratio, type Spread } from "./figures.ts";
import { JOBS } from "./jobs.ts";
import type { Row } from "./measure.ts";
import type { PostfixResults } from "./postfix.ts";
import { BASE, PEERS, type Results } from "./results.ts";
import { element, line, logScale, words } from "./svg.ts";

const WIDTH = 1040;
const MARGIN = 20;
/** Room for the labels of the vertical axis. */
const AXIS = 44;
const GAP = 30;
const PANEL = (WIDTH - 2 * MARGIN - GAP) / 2 - AXIS;
const PANEL_HEIGHT = 130;
const BAR_HEIGHT = 18;
const BAR_LABEL = 170;

const INK = "#1f2328", GREY = "#59636e", RULE = "#d1d9e0";
/** Told apart by lightness and shape too. */
const STYLE: Readonly<Record<string, { readonly colour: string; readonly shape: string }>> = {
  inline: { colour: "#0060a8", shape: "circle" },
  threads: { colour: "#58a6e0", shape: "down" },
  sandbox: { colour: "#c2410c", shape: "square" },
  libmilter: { colour: "#1f2328", shape: "bar" },
  pymilter: { colour: "#a16207", shape: "up" },
  "go-milter": { colour: "#0f8a6a", shape: "diamond" },
};

function marker(peer: string, x: number, y: number): string {
  const { colour: fill, shape } = STYLE[peer];
  const points = (list: readonly (readonly [number, number])[]) =>
    element("polygon", { fill, points: list.map(([dx, dy]) => `${x + dx},${y + dy}`).join(" ") });
  if (shape === "circle") return element("circle", { cx: x, cy: y, r: 4, fill });
  if (shape === "square") return element("rect", { x: x - 3.5, y: y - 3.5, width: 7, height: 7, fill });
  if (shape === "bar") return element("rect", { x: x - 5, y: y - 1.5, width: 10, height: 3, fill });
  if (shape === "up") return points([[0, -4.5], [4.5, 3.5], [-4.5, 3.5]]);
  if (shape === "down") return points([[0, 4.5], [4.5, -3.5], [-4.5, -3.5]]);
  return points([[0, -5], [5, 0], [0, 5], [-5, 0]]);
}

/** What a panel shows of a peer in a row. */
type Pick = (row: Row, peer: string) => Spread | undefined;

interface Panel {
  readonly title: string;
  readonly peers: readonly string[];
  readonly pick: Pick;
  /** A value with a line of its own. */
  readonly reference?: number;
}

/** Dots with whiskers: rows side by side, in each row the peers. */
function panel({ title, peers, pick, reference }: Panel, rows: readonly Row[], x: number, y: number): string {
  const left = x + AXIS, bottom = y + PANEL_HEIGHT;
  const dots = rows.flatMap((row, group) =>
    peers.flatMap((peer, n) => {
      const value = pick(row, peer);
      return value ? [{ peer, value, group, n }] : [];
    })
  );
  const heading = words(left, y - 8, title, { "font-weight": "bold" });
  if (dots.length === 0) return heading + words(left, y + 20, "not measured", { fill: GREY });
  const values = dots.flatMap(({ value }) => [value.least, value.most]);
  const scale = logScale([...values, ...(reference === undefined ? [] : [reference])], bottom, y);
  const grid = scale.ticks.map((tick) => {
    const at = scale.at(tick);
    return line(left, at, left + PANEL, at, RULE) +
      words(left - 6, at + 4, `${tick}`, { "text-anchor": "end", fill: GREY });
  });
  if (reference !== undefined) {
    grid.push(line(left, scale.at(reference), left + PANEL, scale.at(reference), INK, 1.5));
  }
  const room = PANEL / rows.length;
  const labels = rows.map((row, group) => {
    const middle = left + (group + 0.5) * room;
    const other = row.transport !== rows[group - 1]?.transport;
    const edge = group > 0
      ? line(left + group * room, y, left + group * room, bottom, other ? GREY : RULE)
      : "";
    return edge + words(middle, bottom + 14, `${row.connections}`, { "text-anchor": "middle", fill: GREY });
  });
  const marks = dots.map(({ peer, value, group, n }) => {
    const at = left + (group + (n + 1) / (peers.length + 1)) * room;
    const whisker = line(at, scale.at(value.least), at, scale.at(value.most), STYLE[peer].colour, 1.5);
    return whisker + marker(peer, at, scale.at(value.median));
  });
  return [heading, ...grid, ...labels, sockets(rows, left, bottom + 28, room), ...marks].join("");
}

/** Below the numbers of connections: on which socket. */
function sockets(rows: readonly Row[], left: number, y: number, room: number): string {
  return (["unix", "tcp"] as const).map((transport) => {
    const first = rows.findIndex((row) => row.transport === transport);
    if (first < 0) return "";
    const count = rows.filter((row) => row.transport === transport).length;
    const text = `${transport}, connections`;
    return words(left + (first + count / 2) * room, y, text, { "text-anchor": "middle", fill: GREY });
  }).join("");
}

const milliseconds: Pick = (row, peer) => {
  const samples = row.samples[peer];
  if (!samples?.length) return undefined;
  const { median, least, most } = figures(samples).p99;
  return { median: median / 1000, least: least / 1000, most: most / 1000 };
};

function jobPanels(job: string, rows: readonly Row[], y: number): string {
  const others = PEERS.filter((peer) => peer !== BASE);
  const faster = { title: `${job}: mails/s, ${BASE} = 1`, peers: others, pick: ratioOverBase, reference: 1 };
  const slowest = { title: `${job}: p99, ms`, peers: PEERS, pick: milliseconds };
  return panel(faster, rows, MARGIN, y) + panel(slowest, rows, MARGIN + AXIS + PANEL + GAP, y);
}

const ratioOverBase: Pick = (row, peer) => ratio(row, peer, BASE);

const MILLRACE: Readonly<Record<string, string>> = {
  inline: "millrace, inline",
  threads: "millrace, 2 threads",
  sandbox: "millrace, sandbox",
};

function legend(peers: readonly string[], y: number): string {
  return peers.map((peer, n) => {
    const x = MARGIN + 8 + n * 150;
    const text = MILLRACE[peer] ?? peer;
    return marker(peer, x, y - 4) + words(x + 12, y, text);
  }).join("");
}

/** Bars from zero: what the client of a real Postfix waits. */
function waits({ waits, version }: PostfixResults, y: number): string {
  const left = MARGIN + BAR_LABEL, width = WIDTH - left - MARGIN - 60;
  const most = Math.max(...waits.map(({ reply }) => reply.most));
  const title = `Postfix ${version}: ms from the end of a mail to the reply, one at a time`;
  const bars = waits.map(({ name, transport, reply }, n) => {
    const top = y + 10 + n * BAR_HEIGHT, middle = top + BAR_HEIGHT / 2;
    const fill = STYLE[name.split(" ")[0]]?.colour ?? GREY;
    const end = left + reply.most / most * width;
    return [
      words(left - 8, middle + 4, transport ? `${name}, ${transport}` : name, { "text-anchor": "end" }),
      element("rect", {
        x: left,
        y: top + 3,
        width: reply.median / most * width,
        height: BAR_HEIGHT - 6,
        fill,
      }),
      line(left + reply.least / most * width, middle, end, middle, INK, 1.5),
      words(end + 6, middle + 4, reply.median.toFixed(1), { fill: GREY }),
    ].join("");
  });
  return words(MARGIN, y, title, { "font-weight": "bold" }) + bars.join("");
}

/** The picture; its ground is opaque, so that it reads on light and dark pages. */
export function chart({ about, load, postfix }: Results): string {
  const rows = load.filter(({ dialect }) => dialect === "postfix");
  const jobs = JOBS.map(({ name }) => name).filter((name) => rows.some(({ job }) => job === name));
  const parts = [
    words(MARGIN, 32, "millrace beside other milters", { "font-size": 18, "font-weight": "bold" }),
    words(
      MARGIN,
      52,
      `medians of rounds with least and most; ${about.machine[0].split(",")[0]}; ${about.date.slice(0, 10)}`,
      {
        fill: GREY,
      },
    ),
    legend(PEERS, 78),
  ];
  let y = 100;
  for (const job of jobs) {
    y += 22;
    parts.push(jobPanels(job, rows.filter((row) => row.job === job), y));
    y += PANEL_HEIGHT + 36;
  }
  if (postfix) {
    y += 22;
    parts.push(waits(postfix, y));
    y += 10 + postfix.waits.length * BAR_HEIGHT;
  }
  const height = y + MARGIN;
  const size = { width: WIDTH, height, viewBox: `0 0 ${WIDTH} ${height}` };
  const font = { "font-family": "Helvetica, Arial, sans-serif", "font-size": 12, fill: INK };
  const ground = element("rect", { width: WIDTH, height, rx: 8, fill: "#ffffff", stroke: RULE });
  return `${
    element("svg", { xmlns: "http://www.w3.org/2000/svg", ...size, ...font }, ground + parts.join("\n"))
  }\n`;
}
