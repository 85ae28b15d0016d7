/** Scenarios of three filters: many mails on a connection, taken back or broken off, and decisions about each. */
import { add, change, rewrite } from "./chain_edits.ts";
import type { Act, FilterScript, ScriptHook } from "./chain_filter.ts";
import { asked, type ChainScenario, type ChainStep, message, streaming, whole } from "./chain_scenario.ts";

const EHLO = "EHLO client.lab.example";

/** MAIL, RCPT and the message; the sender's name is the subject. */
function mailFrom(name: string, recipients: readonly string[] = ["one"]): ChainStep[] {
  return [
    `MAIL FROM:<${name}@client.example>`,
    ...recipients.map((recipient) => `RCPT TO:<${recipient}@lab.example>`),
    { data: message(name) },
  ];
}

/** MAIL and RCPT only. */
function begun(name: string): ChainStep[] {
  return mailFrom(name).slice(0, -1);
}

const FILTERS: ChainScenario["filters"] = [
  streaming(add("X-A", "1")),
  whole(add("X-B", "2")),
  asked(add("X-C", "3")),
];
const TURNED: ChainScenario["filters"] = [
  whole(add("X-A", "1")),
  asked(add("X-B", "2")),
  streaming(add("X-C", "3")),
];

function session(
  name: string,
  steps: readonly ChainStep[],
  delivers: number,
  filters: ChainScenario["filters"] = FILTERS,
  more: Partial<ChainScenario> = {},
): ChainScenario {
  return { name: `session: ${name}`, filters, steps, delivers, ...more };
}

const NONE = { unreached: ["first", "second", "third"] } as const;

const broken: readonly ChainScenario[] = [FILTERS, TURNED].flatMap((filters, n) => {
  const which = n === 0 ? "" : ", the other way round";
  return [
    session(
      `RSET after RCPT, then another mail${which}`,
      [EHLO, ...begun("lost"), "RSET", ...mailFrom("a")],
      1,
      filters,
    ),
    session(
      `RSET after MAIL, after RCPT, after a mail${which}`,
      [
        EHLO,
        "MAIL FROM:<lost@client.example>",
        "RSET",
        ...begun("lost2"),
        "RSET",
        "RSET",
        ...mailFrom("a"),
        "RSET",
        ...mailFrom("b"),
      ],
      2,
      filters,
    ),
    session(
      `EHLO in the middle of a mail${which}`,
      [EHLO, ...begun("lost"), "EHLO other.example", ...mailFrom("a")],
      1,
      filters,
    ),
    session(
      `the client goes away in the middle of a mail${which}`,
      [EHLO, ...begun("lost"), { hangUp: true }],
      0,
      filters,
      NONE,
    ),
    session(
      `the client says QUIT in the middle of a mail${which}`,
      [EHLO, ...begun("lost")],
      0,
      filters,
      NONE,
    ),
    session(
      `three mails${which}`,
      [EHLO, ...mailFrom("a"), ...mailFrom("b", ["one", "two"]), ...mailFrom("c")],
      4,
      filters,
    ),
  ];
});

const commands: readonly ChainScenario[] = [
  session("no mail at all", [], 0, FILTERS, NONE),
  session("only EHLO", [EHLO], 0, FILTERS, NONE),
  session("the client goes away at once", [{ hangUp: true }], 0, FILTERS, NONE),
  session("HELO", ["HELO client.lab.example", ...mailFrom("a")], 1),
  session("EHLO twice, then HELO", [EHLO, "EHLO other.example", "HELO third.example", ...mailFrom("a")], 1),
  session("EHLO between two mails", [EHLO, ...mailFrom("a"), "EHLO other.example", ...mailFrom("b")], 2),
  session("no EHLO", mailFrom("a"), 1),
  session(
    "NOOP, VRFY, HELP and a command that there is not",
    [
      EHLO,
      "NOOP",
      "VRFY one",
      "HELP",
      "FROB one two",
      "MAIL FROM:<a@client.example>",
      "FROB in a mail",
      "NOOP",
      "RCPT TO:<one@lab.example>",
      "FROB",
      { data: message("a") },
      "FROB after",
    ],
    1,
    [streaming(add("X-A", "1")), streaming(add("X-B", "2")), whole(add("X-C", "3"))],
  ),
  session("commands in the wrong order", [
    EHLO,
    "RCPT TO:<one@lab.example>",
    "DATA",
    "MAIL FROM:<a@client.example>",
    "MAIL FROM:<b@client.example>",
    "DATA",
    "RCPT TO:<one@lab.example>",
    { data: message("a") },
  ], 1),
  session("commands in one write", [
    EHLO,
    { together: ["MAIL FROM:<a@client.example>", "RCPT TO:<one@lab.example>", "RCPT TO:<two@lab.example>"] },
    { data: message("a") },
    { together: ["RSET", "MAIL FROM:<b@client.example>", "RCPT TO:<one@lab.example>"] },
    { data: message("b") },
  ], 3),
  session("senders and recipients that are no addresses", [
    EHLO,
    "MAIL FROM:<a@client.example",
    "MAIL FROM:<a@client.example>",
    "RCPT TO:<>",
    "RCPT TO:<one@lab.example>",
    { data: message("a") },
  ], 1),
];

/** Refuses what its hook is shown, where that contains a text. */
function refusing(
  script: FilterScript,
  at: ScriptHook,
  ...cases: readonly (readonly [when: string, verdict: Act["verdict"]])[]
): FilterScript {
  return {
    ...script,
    acts: [
      ...cases.map(([when, verdict]) => ({ at, when, ...verdict === undefined ? {} : { verdict } })),
      ...script.acts ?? [],
    ],
  };
}

const decided: readonly ChainScenario[] = [
  session(
    "each filter decides about a mail of its own",
    [EHLO, ...["a", "b", "c", "d"].flatMap((name) => mailFrom(name))],
    2,
    [
      refusing(streaming(add("X-A", "1")), "header", ['Subject:"a"', "reject"]),
      refusing(asked(add("X-B", "2")), "mail", ["<b@", [450, "4.7.1", "not b"]]),
      refusing(whole(add("X-C", "3")), "message", ["<c@", "accept"]),
    ],
  ),
  session(
    "each filter rejects a mail of its own at its end",
    [EHLO, ...["a", "b", "c", "d"].flatMap((name) => mailFrom(name))],
    1,
    [
      refusing(whole(add("X-A", "1"), change("Subject", "seen")), "message", ["<a@", [
        550,
        "5.7.1",
        "not a",
      ]]),
      refusing(streaming(add("X-B", "2"), rewrite("line", "row")), "endOfMessage", ["<b@", "tempfail"]),
      refusing(whole(add("X-C", "3")), "message", ["<c@", "discard"]),
    ],
  ),
  session(
    "MAIL is refused by one filter after another, then taken",
    [
      EHLO,
      ...["a", "b", "c", "d"].map((name) => `MAIL FROM:<${name}@client.example>`),
      "RCPT TO:<one@lab.example>",
      { data: message("d") },
    ],
    1,
    [
      refusing(streaming(add("X-A", "1")), "mail", ["<a@", "reject"]),
      refusing(streaming(add("X-B", "2")), "mail", ["<b@", "tempfail"]),
      refusing(asked(add("X-C", "3")), "mail", ["<c@", [553, "5.1.8", "two", "lines"]]),
    ],
  ),
  session(
    "a recipient is refused by two: the first one decides",
    [EHLO, ...mailFrom("a", ["two", "one"])],
    1,
    [
      refusing(streaming(add("X-A", "1")), "rcpt", ["<two@", "tempfail"]),
      refusing(streaming(add("X-B", "2")), "rcpt", ["<two@", "reject"]),
      asked(add("X-C", "3")),
    ],
    { unreached: ["second"] },
  ),
  session(
    "DATA is refused, another recipient added, DATA again",
    [
      EHLO,
      "MAIL FROM:<a@client.example>",
      "RCPT TO:<two@lab.example>",
      "DATA",
      "RCPT TO:<one@lab.example>",
      { data: message("a") },
    ],
    2,
    [
      streaming(add("X-A", "1")),
      refusing(streaming(add("X-B", "2")), "data", ["<one@", undefined], ["<two@", "tempfail"]),
      asked(add("X-C", "3")),
    ],
  ),
  session(
    "DATA is refused by the third, then RSET",
    [EHLO, ...mailFrom("bad"), "RSET", ...mailFrom("good")],
    1,
    [
      whole(add("X-A", "1")),
      streaming(add("X-B", "2")),
      refusing(streaming(add("X-C", "3")), "data", ["<bad@", "reject"]),
    ],
  ),
  session(
    "two filters accept at different stages, the third edits",
    [EHLO, ...mailFrom("a"), ...mailFrom("b")],
    2,
    [
      refusing(streaming(add("X-A", "1")), "rcpt", ["<one@", "accept"]),
      refusing(streaming(add("X-B", "2")), "endOfHeaders", ["<a@", "accept"]),
      asked(add("X-C", "3")),
    ],
    { unreached: ["first"] },
  ),
  session("all accept at MAIL, and see the next mail", [EHLO, ...mailFrom("a"), ...mailFrom("b")], 2, [
    refusing(streaming(add("X-A", "1")), "mail", ["<a@", "accept"]),
    refusing(asked(add("X-B", "2")), "mail", ["<a@", "accept"]),
    refusing(streaming(add("X-C", "3")), "mail", ["<a@", "accept"]),
  ]),
  session("all accept the connection", [EHLO, ...mailFrom("a"), "EHLO other.example", ...mailFrom("b")], 2, [
    refusing(streaming(add("X-A", "1")), "connect", ["", "accept"]),
    refusing(streaming(add("X-B", "2")), "helo", ["", "accept"]),
    refusing(streaming(add("X-C", "3")), "connect", ["", "accept"]),
  ], NONE),
  session(
    "two accept the connection, the third rejects a mail",
    [EHLO, ...mailFrom("a"), ...mailFrom("b")],
    1,
    [
      refusing(streaming(add("X-A", "1")), "connect", ["", "accept"]),
      refusing(whole(add("X-B", "2")), "message", ["<a@", "reject"]),
      refusing(streaming(add("X-C", "3")), "helo", ["", "accept"]),
    ],
    { unreached: ["first", "third"] },
  ),
  session("accept at the end keeps the edits, and ends nothing for the others", [EHLO, ...mailFrom("a")], 1, [
    {
      ...streaming(),
      acts: [{ at: "endOfMessage", edits: [add("X-A", "1"), rewrite("line", "row")], verdict: "accept" }],
    },
    {
      ...whole(),
      acts: [{ at: "message", edits: [add("X-B", "2"), rewrite("row", "column")], verdict: "accept" }],
    },
    {
      ...asked(),
      acts: [{ at: "message", edits: [add("X-C", "3"), rewrite("column", "table")], verdict: "accept" }],
    },
  ]),
  session(
    "a mail is discarded at RCPT, and the next recipient of it",
    [EHLO, ...mailFrom("bad", ["one", "two"]), ...mailFrom("good")],
    1,
    [
      whole(add("X-A", "1")),
      refusing(streaming(add("X-B", "2")), "rcpt", ["<two@", "discard"]),
      refusing(streaming(add("X-C", "3")), "rcpt", ["<two@", "reject"]),
    ],
    { unreached: ["third"] },
  ),
  session(
    "a mail is discarded at MAIL, and taken back",
    [EHLO, ...begun("bad"), "RSET", ...mailFrom("bad"), ...mailFrom("good")],
    1,
    [
      streaming(add("X-A", "1")),
      refusing(asked(add("X-B", "2")), "mail", ["<bad@", "discard"]),
      streaming(add("X-C", "3")),
    ],
  ),
];

/** Hooks that take their time. */
const slow = session("hooks take their time", [EHLO, ...mailFrom("a", ["one", "two"]), ...mailFrom("b")], 2, [
  {
    ...streaming(),
    acts: [
      { at: "rcpt", when: "<two@", verdict: "reject", takes: 5 },
      { at: "header", when: "Subject", takes: 5 },
      { at: "endOfMessage", edits: [add("X-A", "1")], takes: 20 },
    ],
  },
  { ...whole(), acts: [{ at: "message", edits: [add("X-B", "2")], takes: 20 }] },
  {
    ...asked(),
    acts: [{ at: "mail", takes: 5 }, {
      at: "message",
      edits: [add("X-C", "3")],
      verdict: "accept",
      takes: 20,
    }],
  },
]);

/** All of them. */
export const sessionScenarios: readonly ChainScenario[] = [...broken, ...commands, ...decided, slow];
