/** Scenarios of three filters: a mail is held in the quarantine by one or several, and what the others make of it. */
import { add, quarantine, removeRecipient, rewrite } from "./chain_edits.ts";
import type { FilterScript } from "./chain_filter.ts";
import {
  asked,
  type ChainScenario,
  type Difference,
  type FilterName,
  message,
  oneMail,
  streaming,
  twoRecipients,
  whole,
} from "./chain_scenario.ts";

const hold = [quarantine("looks bad"), quarantine("looks worse"), quarantine("looks worst")];

/** A mail to one recipient, which some hold. */
function held(
  name: string,
  filters: ChainScenario["filters"],
  more: Partial<ChainScenario> = {},
): ChainScenario {
  return { name: `quarantine: ${name}`, filters, steps: oneMail(), delivers: 0, holds: 1, ...more };
}

/** The script with a verdict in its act. */
function deciding(script: FilterScript, verdict: "accept" | "reject" | "discard"): FilterScript {
  const at = script.hooks.includes("message") ? "message" : "endOfMessage";
  const [act = { at }] = script.acts ?? [];
  return { ...script, acts: [{ ...act, verdict }] };
}

/** What is said of a mail that a filter holds and a later one would look at. */
function unseen(later: readonly FilterName[], talk: Difference["talk"] = []): Partial<ChainScenario> {
  return {
    unreached: { postfix: later, sendmail: [] },
    differs: {
      why:
        "Postfix shows a mail that a filter holds to no further one; in a chain all see it, as with Sendmail, so that " +
        "who quarantines does not keep others from refusing",
      like: "sendmail",
      talk,
    },
  };
}

const QUEUED = "250 2.0.0 Ok: queued as (an id)";
const REFUSED = "550 5.7.1 Command rejected";

/** All of them. */
export const quarantineScenarios: readonly ChainScenario[] = [
  held(
    "by the first",
    [streaming(hold[0]), whole(add("X-B", "2")), asked(add("X-C", "3"))],
    unseen(["second", "third"]),
  ),
  held(
    "by the second",
    [streaming(add("X-A", "1")), whole(hold[0]), asked(add("X-C", "3"))],
    unseen(["third"]),
  ),
  held("by the third, with edits by all", [
    streaming(add("X-A", "1")),
    whole(add("X-B", "2")),
    asked(hold[0], rewrite("line", "row")),
  ]),
  held("by two, with a reason each", [streaming(hold[0]), whole(), asked(hold[1])], unseen(["third"])),
  held(
    "by all, with a reason each",
    [streaming(hold[0]), whole(hold[1]), asked(hold[2])],
    unseen(["second", "third"]),
  ),
  held("by the first, twice", [streaming(hold[0], hold[1]), whole(), asked()], unseen([])),
  held("by the third, twice", [streaming(), whole(), asked(hold[0], hold[1])]),
  held("of two recipients", [
    streaming(add("X-A", "1")),
    whole(hold[0]),
    asked(removeRecipient("<two@lab.example>")),
  ], {
    steps: ["EHLO client.lab.example", ...twoRecipients()],
    ...unseen(["third"]),
    holds: { postfix: 2, sendmail: 1 },
  }),
  held("by the first, rejected by the second", [
    streaming(hold[0]),
    deciding(whole(add("X-B", "2")), "reject"),
    asked(),
  ], { ...unseen(["second"], [[QUEUED, REFUSED]]), holds: { postfix: 1, sendmail: 0 } }),
  held("by the first, discarded by the third", [
    streaming(hold[0]),
    whole(),
    deciding(asked(add("X-C", "3")), "discard"),
  ], { ...unseen(["third"]), holds: { postfix: 1, sendmail: 0 } }),
  held("by the first, accepted by the second", [
    streaming(hold[0]),
    deciding(whole(add("X-B", "2")), "accept"),
    asked(add("X-C", "3")),
  ], unseen(["second", "third"])),
  held("by the third, who rejects as well", [
    streaming(add("X-A", "1")),
    whole(add("X-B", "2")),
    deciding(asked(hold[0]), "reject"),
  ], { holds: 0 }),
  held("by the third, who discards as well", [
    streaming(),
    whole(add("X-B", "2")),
    deciding(asked(hold[0]), "discard"),
  ], {
    holds: 0,
  }),
  held("one mail, and not the next one of the connection", [
    streaming(add("X-A", "1")),
    { ...whole(), acts: [{ at: "message", when: "<bad@client.example>", edits: [hold[0]] }] },
    asked(add("X-C", "3")),
  ], {
    steps: [
      "EHLO client.lab.example",
      ...["bad", "good"].flatMap((name) => [
        `MAIL FROM:<${name}@client.example>`,
        "RCPT TO:<one@lab.example>",
        { data: message(name) },
      ]),
    ],
    delivers: 1,
    ...unseen([]),
  }),
];
