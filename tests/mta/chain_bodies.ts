/** Scenarios of three filters: the body is replaced by one, two or all of them; the later ones see what the earlier ones made of it. */
import { add, body, change, edited, listed, rewrite } from "./chain_edits.ts";
import type { Act, FilterScript } from "./chain_filter.ts";
import {
  type ChainScenario,
  type Difference,
  message,
  NAMES,
  oneMail,
  streaming,
  whole,
} from "./chain_scenario.ts";
import { lines, sample, textOf } from "./scenario.ts";

const large = message("large", [], lines(256 * 1024));
const dots = message("dots", [], ".\n..\n.first\n\nFrom me\n\n.\n\nlast line\n\n\n");

const UNENDED: Difference = {
  why:
    "a chain ends the last line before it shows the body to the next filter, as Postfix does and Sendmail does not",
  like: "postfix",
};

const replaced = [
  edited("replaced by the first", body("new\r\n"), add("X-B", "2"), add("X-C", "3")),
  edited("replaced by the second", add("X-A", "1"), body("new\r\n"), add("X-C", "3")),
  edited("replaced by the third", add("X-A", "1"), add("X-B", "2"), body("new\r\n")),
  edited("replaced by all, each without a look at it", body("1\r\n"), body("2\r\n"), body("3\r\n")),
  edited("rewritten by the first and the third", rewrite("line", "LINE"), [], rewrite("LINE", "row")),
  edited(
    "rewritten by all",
    rewrite("line", "row"),
    rewrite("row", "column"),
    rewrite("first column", "all"),
  ),
  edited("rewritten by all, and fields added", [rewrite("line", "row"), add("X-A", "1")], [
    add("X-B", "2"),
    rewrite("row", "column"),
  ], [change("X-A", "3"), rewrite("column", "table")]),
  edited("replaced by nothing, and by something again", body(""), rewrite("line", "row"), body("3\r\n")),
  edited("replaced by nothing by all", body(""), body(""), body("")),
  edited("replaced by nothing by the third", rewrite("line", "row"), [], body("")),
  edited(
    "lines that begin with a dot, and blank ones",
    rewrite("first", "..\r\n."),
    rewrite("\r\n.\r\n", "\r\n.."),
    [],
    {
      text: dots,
    },
  ),
  edited(
    "bytes that are no text",
    rewrite("line", "\x80\xff\xe9"),
    rewrite("\xff", "\xfe\x01"),
    rewrite("\x01", "\xc3\xa9"),
  ),
  edited(
    "replaced by a text with bare line ends",
    body("one\ntwo\n\nthree\n"),
    rewrite("two", "2"),
    add("X-C", "3"),
  ),
  edited(
    "replaced by a text whose last line has no end",
    body("one\r\ntwo"),
    rewrite("two", "2"),
    add("X-C", "3"),
    { differs: UNENDED },
  ),
  edited("a mail without a body gets one", add("X-A", "1"), body("a body\r\n"), rewrite("body", "text"), {
    text: textOf(sample.fields, ""),
  }),
  edited("a mail without a body keeps none", rewrite("line", "row"), add("X-B", "2"), add("X-C", "3"), {
    text: textOf(sample.fields, ""),
  }),
];

const sized = [
  edited("256 KiB seen by all", add("X-A", "1"), add("X-B", "2"), add("X-C", "3"), { text: large }),
  edited("256 KiB rewritten by all", rewrite("x", "y"), rewrite("y", "z"), rewrite("zz", "."), {
    text: large,
  }),
  edited("256 KiB rewritten by the second", [], rewrite("x", "yx"), [], { text: large }),
  edited(
    "256 KiB become few bytes, and these many",
    body("few\r\n"),
    rewrite("few", "more"),
    body(lines(512 * 1024).replaceAll("\n", "\r\n")),
    {
      text: large,
    },
  ),
  edited(
    "few bytes become 512 KiB, and these are rewritten",
    body(lines(512 * 1024).replaceAll("\n", "\r\n")),
    rewrite("x", "y"),
    rewrite("yyy", "-"),
  ),
  edited("a line of 200 KiB", rewrite("x", "y"), [], rewrite("yy", "z"), {
    text: message("long", [], `${"x".repeat(200 * 1024)}\n`),
  }),
];

/** A filter that has seen enough after the first piece. */
function skipping(...acts: readonly Act[]): FilterScript {
  return { ...streaming(), acts: [{ at: "body", verdict: "skip" }, ...acts] };
}

const end: Act = { at: "endOfMessage", edits: [add("X-Skipped", "yes")] };

const skips: readonly ChainScenario[] = NAMES.map((name, place): ChainScenario => {
  const others = [
    whole(rewrite("x", "y"), add("X-Whole", "yes")),
    streaming(rewrite("y", "z"), add("X-Pieces", "yes")),
  ];
  const [a, b, c] = others.toSpliced(place, 0, skipping(end));
  return {
    name: `body: the ${name} filter skips all but the first piece`,
    filters: [a, b, c],
    steps: oneMail(large),
    delivers: 1,
  };
});

const bare: readonly ChainScenario[] = [{
  name: "body: bare LF and CR from the client",
  filters: [streaming(add("X-A", "1")), whole(rewrite("two", "2")), streaming(add("X-C", "3"))],
  steps: [...oneMail().slice(0, 3), {
    data: message().replaceAll("\n", "\r\n") + "one\ntwo\nthree\rfour\r\n",
    bare: true,
  }],
  // Sendmail refuses it
  delivers: { postfix: 1, sendmail: 0 },
  unreached: { postfix: [], sendmail: NAMES },
}];

/** All of them. */
export const bodyScenarios: readonly ChainScenario[] = [
  ...listed("body", [...replaced, ...sized]),
  ...skips,
  ...bare,
];
