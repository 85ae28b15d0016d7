/** Scenarios of three filters: one decides, the others edit and note. Each verdict, at each stage, in each place. */
import { add, change, insert, remove, rewrite } from "./chain_edits.ts";
import type { Act, EditCall, FilterScript, ScriptHook, VerdictCall } from "./chain_filter.ts";
import {
  type ChainScenario,
  type ChainStep,
  type Difference,
  type FilterName,
  message,
  NAMES,
  streaming,
  whole,
} from "./chain_scenario.ts";

/** Where a filter decides, and how it tells the mail that it decides about from the next one. */
const STAGES: readonly { readonly at: ScriptHook; readonly when: string }[] = [
  { at: "connect", when: "" },
  { at: "helo", when: "" },
  { at: "unknown", when: "" },
  { at: "mail", when: "<bad@client.example>" },
  { at: "rcpt", when: "<two@lab.example>" },
  { at: "data", when: "<bad@client.example>" },
  { at: "header", when: 'Subject:"bad"' },
  { at: "endOfHeaders", when: "<bad@client.example>" },
  { at: "body", when: "<bad@client.example>" },
  { at: "endOfMessage", when: "<bad@client.example>" },
  { at: "message", when: "<bad@client.example>" },
];

/** Verdicts that are like a reject but for their reply; each stage has each once, in one of the places. */
const REPLIES: readonly VerdictCall[] = [
  "tempfail",
  [554, "5.7.0", "100% no", "", "never"],
  [450, "4.7.0", "not now"],
  [421, "4.3.2", "going down"],
];

function connecting(at: ScriptHook): boolean {
  return at === "connect" || at === "helo";
}

/** Verdicts that each place has; not every one is legal everywhere. */
function verdictsAt(at: ScriptHook): readonly VerdictCall[] {
  if (at === "unknown") return ["reject"];
  return connecting(at) ? ["accept", "reject"] : ["accept", "reject", "discard"];
}

/** Two mails on a connection: the first is what filters decide about. */
function conversation(at: ScriptHook): ChainStep[] {
  return [
    "EHLO client.lab.example",
    ...at === "unknown" ? ["FROB nicate"] : [],
    "MAIL FROM:<bad@client.example>",
    "RCPT TO:<one@lab.example>",
    "RCPT TO:<two@lab.example>",
    { data: message("bad") },
    // a mail whose DATA was refused is still open
    ...at === "data" ? ["RSET"] : [],
    "MAIL FROM:<good@client.example>",
    "RCPT TO:<one@lab.example>",
    { data: message("good") },
  ];
}

const EDITS: Readonly<Record<"pieces" | "whole" | "decider", readonly EditCall[]>> = {
  pieces: [change("X-Test", "changed", 2), add("X-Pieces", "seen")],
  whole: [insert(0, "X-Whole", "seen"), remove("X-Folded"), rewrite("last", "LAST")],
  decider: [add("X-Decider", "seen")],
};

/** The filter that decides; mails that it does not decide about it edits. */
function decider(act: Act): FilterScript {
  const script = act.at === "message" ? whole(...EDITS.decider) : streaming(...EDITS.decider);
  return { ...script, acts: [act, ...script.acts ?? []] };
}

/** The decider and two others around it, of which one sees the mail in pieces and one as a whole. */
function filtersWith(act: Act, place: number): ChainScenario["filters"] {
  const pieces = streaming(...EDITS.pieces);
  const other = whole(...EDITS.whole);
  if (place === 0) return [decider(act), pieces, other];
  if (place === 1) return [pieces, decider(act), other];
  return [other, pieces, decider(act)];
}

const ENVELOPE: readonly ScriptHook[] = ["unknown", "mail", "rcpt", "data"];

/** Filters with acts that are not reached. Both MTAs show the content to one filter after the other. */
function unreached(at: ScriptHook, kind: Kind, place: number): readonly FilterName[] {
  const decides = NAMES[place];
  if (connecting(at)) return kind === "accept" ? [decides] : NAMES;
  if (kind !== "closing") return [];
  return ENVELOPE.includes(at) ? NAMES : NAMES.slice(place);
}

type Kind = "accept" | "reject" | "tempfail" | "discard" | "closing";

function kindOf(verdict: VerdictCall): Kind {
  if (typeof verdict === "string") return verdict as Kind;
  return verdict[0] === 421 ? "closing" : verdict[0] < 500 ? "tempfail" : "reject";
}

/** Mails that are delivered: two copies of the first, if all goes well, and one of the second. */
function delivers(at: ScriptHook, kind: Kind): number {
  if (kind === "closing") return 0;
  if (kind === "accept" || at === "unknown") return 3;
  if (connecting(at)) return 0;
  if (at === "rcpt" && kind !== "discard") return 2;
  return 1;
}

function scenario(at: ScriptHook, when: string, verdict: VerdictCall, place: number): ChainScenario {
  const kind = kindOf(verdict);
  const words = typeof verdict === "string" ? verdict : `${verdict[0]} ${verdict[1]}`;
  return {
    name: `the ${NAMES[place]} filter decides at ${at}: ${words}`,
    filters: filtersWith({ at, when, verdict }, place),
    steps: conversation(at),
    delivers: delivers(at, kind),
    unreached: unreached(at, kind, place),
    ...differing(at, kind, place),
  };
}

/** The place of the filter that sees mails in pieces, by the place of the one that decides. */
const PIECES = [1, 0, 1];

/** Where filters before the one that refuses see less than they do alone. */
function differing(at: ScriptHook, kind: Kind, place: number): { readonly differs?: Difference } {
  if (kind !== "reject" && kind !== "tempfail") return {};
  if (connecting(at) && PIECES[place] < place) {
    return {
      differs: {
        why:
          "Postfix asks a chain that refuses a client no more, so the filters before the one that refused hear no " +
          "more of it; those in Postfix itself do, those in Sendmail do not",
        like: "sendmail",
      },
    };
  }
  if (at === "rcpt" && place === 2) {
    return {
      differs: {
        why:
          "a filter that is not asked about the envelope gets it at the end, without the recipients that others have " +
          "refused, also later ones",
        notes: { first: [["  to <two@lab.example>"]] },
      },
    };
  }
  return {};
}

/** The product. */
export const verdictScenarios: readonly ChainScenario[] = STAGES.flatMap(({ at, when }, stage) => [
  ...verdictsAt(at).flatMap((verdict) => NAMES.map((_name, place) => scenario(at, when, verdict, place))),
  ...REPLIES.map((verdict, n) => scenario(at, when, verdict, (stage + n) % NAMES.length)),
]);
