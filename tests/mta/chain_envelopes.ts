/** Scenarios of three filters: recipients and sender are changed, and who sees it. */
import { add, addRecipient, change, changeSender, removeRecipient, rewrite } from "./chain_edits.ts";
import {
  asked,
  type ChainScenario,
  type Difference,
  message,
  streaming,
  twoRecipients,
  whole,
} from "./chain_scenario.ts";
import type { PerMta } from "./scenario.ts";

const ONE = "<one@lab.example>";
const TWO = "<two@lab.example>";
const ADDED = "<added@lab.example>";
const NEW = "<new@client.example>";
const FROM = "<a@client.example>";

/** Separate filters are shown the envelope before any of them has edited it, whatever they want. */
const LATER =
  "a filter that is not asked about the envelope gets it at the end, as the filters before it left it";

/** A mail to two recipients. */
function mail(
  name: string,
  filters: ChainScenario["filters"],
  delivers: PerMta<number>,
  more: Partial<ChainScenario> = {},
): ChainScenario {
  return {
    name: `envelope: ${name}`,
    filters,
    steps: ["EHLO client.lab.example", ...twoRecipients()],
    delivers,
    ...more,
  };
}

/** What filters see that want the whole mail and nothing before. */
function seen(
  third: NonNullable<Difference["notes"]>["third"],
  second: NonNullable<Difference["notes"]>["second"] = [],
): Difference {
  return { why: LATER, notes: { second, third } };
}

const recipients: readonly ChainScenario[] = [
  mail("a recipient is added", [asked(addRecipient(ADDED)), streaming(), asked()], 3),
  mail("a recipient is added, which the third sees", [asked(addRecipient(ADDED)), streaming(), whole()], 3, {
    differs: seen([[`  to ${TWO}`, `  to ${TWO}`, `  to ${ADDED}`]]),
  }),
  mail("a recipient is added by the second, with arguments", [
    streaming(),
    asked(addRecipient(ADDED, "NOTIFY=NEVER")),
    asked(),
  ], 3),
  mail("each adds a recipient", [
    asked(addRecipient("<x@lab.example>")),
    streaming(addRecipient("<y@lab.example>")),
    asked(addRecipient("<z@lab.example>")),
  ], 5),
  mail("the same recipient is added by two", [
    asked(addRecipient(ADDED)),
    streaming(addRecipient(ADDED)),
    asked(),
  ], 3),
  mail("a recipient is added, and removed by the second", [
    asked(addRecipient(ADDED)),
    streaming(removeRecipient(ADDED)),
    asked(),
  ], 2),
  mail("a recipient is added, removed, added again", [
    asked(addRecipient(ADDED)),
    streaming(removeRecipient(ADDED)),
    asked(addRecipient(ADDED)),
  ], 3),
  mail("one of two recipients is removed", [streaming(removeRecipient(TWO)), asked(), streaming()], 1),
  mail(
    "one of two recipients is removed, which the others see",
    [streaming(removeRecipient(TWO)), whole(), whole()],
    1,
    {
      differs: seen([[`  to ${TWO}`]], [[`  to ${TWO}`]]),
    },
  ),
  mail("each of two recipients is removed, by another filter", [
    streaming(removeRecipient(TWO)),
    streaming(removeRecipient(ONE)),
    asked(),
  ], 0),
  mail(
    "all recipients are removed, and one is added",
    [
      streaming(removeRecipient(TWO), removeRecipient(ONE)),
      asked(addRecipient(ADDED)),
      whole(add("X-C", "3")),
    ],
    1,
    { differs: seen([[`  to ${ONE}`, `  to ${ADDED}`], [`  to ${TWO}`]]) },
  ),
  mail("a recipient is removed, and added again by the second", [
    asked(removeRecipient(TWO)),
    streaming(addRecipient(TWO)),
    streaming(),
  ], 2),
  mail("a recipient is removed by two", [
    asked(removeRecipient(TWO)),
    asked(removeRecipient(TWO)),
    streaming(),
  ], 1),
  mail("a recipient is removed that there is not", [
    asked(removeRecipient(ADDED)),
    streaming(removeRecipient("<none@lab.example>")),
    whole(),
  ], 2),
  mail("a recipient is refused by the first, and added by the second", [
    { ...streaming(), acts: [{ at: "rcpt", when: TWO, verdict: "reject" }] },
    asked(addRecipient(TWO)),
    streaming(),
  ], 2),
  mail(
    "each refuses another recipient of four",
    [
      { ...streaming(add("X-A", "1")), acts: [{ at: "rcpt", when: ONE, verdict: "reject" }] },
      { ...streaming(), acts: [{ at: "rcpt", when: TWO, verdict: [452, "4.2.2", "full"] }] },
      { ...asked(), acts: [{ at: "rcpt", when: "<three@", verdict: [550, "5.1.1", "unknown", "here"] }] },
    ],
    1,
    {
      steps: [
        "EHLO client.lab.example",
        `MAIL FROM:${FROM}`,
        ...["one", "two", "three", "four"].map((name) => `RCPT TO:<${name}@lab.example>`),
        { data: message() },
      ],
    },
  ),
  mail(
    "all recipients are refused, by one filter or another",
    [
      { ...streaming(), acts: [{ at: "rcpt", when: ONE, verdict: "reject" }] },
      whole(),
      { ...streaming(), acts: [{ at: "rcpt", when: TWO, verdict: "tempfail" }] },
    ],
    1,
    { steps: ["EHLO client.lab.example", ...twoRecipients(), "RSET", ...oneMailTo("<three@lab.example>")] },
  ),
  mail(
    "many recipients, of which some are removed by each",
    [
      streaming(...numbered(10, 19).map(removeRecipient)),
      asked(...numbered(15, 24).map(removeRecipient)),
      streaming(
        ...numbered(30, 34).map(removeRecipient),
        ...numbered(10, 11).map((address) => addRecipient(address)),
      ),
    ],
    22,
    {
      steps: [
        "EHLO client.lab.example",
        `MAIL FROM:${FROM}`,
        ...numbered(0, 39).map((address) => `RCPT TO:${address}`),
        { data: message() },
      ],
    },
  ),
  mail("arguments of MAIL and RCPT", [streaming(), whole(add("X-B", "2")), asked()], 1, {
    steps: [
      "EHLO client.lab.example",
      `MAIL FROM:${FROM} BODY=8BITMIME RET=HDRS`,
      `RCPT TO:${ONE} NOTIFY=FAILURE`,
      { data: message() },
    ],
  }),
  mail(
    "spellings of addresses",
    [
      streaming(removeRecipient("<One@Lab.Example>")),
      whole(add("X-B", "2")),
      asked(removeRecipient("two@lab.example")),
    ],
    1,
    {
      steps: [
        "EHLO client.lab.example",
        "MAIL FROM:A@client.example",
        "RCPT TO:<One@Lab.Example>",
        "RCPT TO:two@lab.example",
        "RCPT TO:<three@lab.example>",
        { data: message() },
      ],
      differs: seen([], [["  to <One@Lab.Example>"]]),
    },
  ),
  // Sendmail shows none that its own rules refuse
  mail(
    "a recipient that the MTA refuses is shown to who asks for it",
    [
      streaming(add("X-A", "1")),
      { ...streaming(add("X-B", "2")), refusedRecipients: true },
      asked(add("X-C", "3")),
    ],
    1,
    {
      steps: [
        "EHLO client.lab.example",
        `MAIL FROM:${FROM}`,
        "RCPT TO:<refused@lab.example>",
        `RCPT TO:${ONE}`,
        { data: message() },
      ],
    },
  ),
];

function oneMailTo(recipient: string) {
  return [`MAIL FROM:${FROM}`, `RCPT TO:${recipient}`, { data: message() }];
}

function numbered(first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, n) => `<r${first + n}@lab.example>`);
}

const senders: readonly ChainScenario[] = [
  mail("the sender is changed", [asked(changeSender(NEW)), streaming(), asked()], 2),
  mail(
    "the sender is changed by two, and seen",
    [whole(changeSender(NEW)), whole(changeSender("<newer@client.example>")), whole()],
    2,
    {
      differs: seen([[`  from ${FROM}`, "  from <newer@client.example>"]], [[
        `  from ${FROM}`,
        `  from ${NEW}`,
      ]]),
    },
  ),
  mail("the sender is changed by all", [
    asked(changeSender(NEW)),
    streaming(changeSender("<>")),
    asked(changeSender("<newest@client.example>")),
  ], 2),
  mail("the sender is changed to the null sender", [streaming(changeSender("<>")), asked(), whole()], 2, {
    differs: seen([[`  from ${FROM}`, "  from <>"]]),
  }),
  mail("the null sender", [streaming(add("X-A", "1")), whole(add("X-B", "2")), asked(add("X-C", "3"))], 1, {
    steps: ["EHLO client.lab.example", "MAIL FROM:<>", `RCPT TO:${ONE}`, { data: message() }],
  }),
  mail("the null sender is changed", [asked(changeSender(NEW)), streaming(), whole()], 1, {
    steps: ["EHLO client.lab.example", "MAIL FROM:<>", `RCPT TO:${ONE}`, { data: message() }],
    differs: seen([["  from <>", `  from ${NEW}`]]),
  }),
  mail(
    "sender and recipients are changed by all, with header and body",
    [
      whole(
        changeSender(NEW),
        removeRecipient(ONE),
        addRecipient(ADDED),
        change("Subject", "1"),
        rewrite("line", "row"),
      ),
      whole(
        removeRecipient(ADDED),
        addRecipient("<x@lab.example>"),
        change("Subject", "2"),
        rewrite("row", "column"),
      ),
      whole(
        changeSender("<newer@client.example>"),
        addRecipient("<y@lab.example>"),
        change("Subject", "3"),
        rewrite("column", "table"),
      ),
    ],
    3,
    {
      differs: seen(
        [[`  from ${FROM}`, `  from ${NEW}`], [`  to ${ONE}`], [
          `  to ${TWO}`,
          `  to ${TWO}`,
          "  to <x@lab.example>",
        ]],
        [[`  from ${FROM}`, `  from ${NEW}`], [`  to ${ONE}`], [
          `  to ${TWO}`,
          `  to ${TWO}`,
          `  to ${ADDED}`,
        ]],
      ),
    },
  ),
];

/** All of them. */
export const envelopeScenarios: readonly ChainScenario[] = [...recipients, ...senders];
