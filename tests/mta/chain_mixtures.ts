/** Scenarios of three filters that want different things: hooks, parts of the mail, macros. */
import { add, addRecipient, change, changeSender, insert, remove, rewrite } from "./chain_edits.ts";
import type { FilterScript, ScriptHook } from "./chain_filter.ts";
import { asked, type ChainScenario, message, oneMail, streaming, whole } from "./chain_scenario.ts";
import { lines } from "./scenario.ts";

/** A filter that has these hooks and edits nothing. */
function wanting(...hooks: readonly ScriptHook[]): FilterScript {
  return { hooks };
}

function mixture(
  name: string,
  filters: ChainScenario["filters"],
  more: Partial<ChainScenario> = {},
): ChainScenario {
  return { name: `mixture: ${name}`, filters, steps: oneMail(), delivers: 1, ...more };
}

const hooks: readonly ChainScenario[] = [
  mixture("nobody wants anything", [wanting(), wanting(), wanting()]),
  mixture("only the second wants anything", [wanting(), streaming(add("X-B", "2")), wanting()]),
  mixture("only the third wants the whole mail", [wanting(), wanting(), whole(add("X-C", "3"))]),
  mixture("connect, helo, mail", [wanting("connect"), wanting("helo"), wanting("mail")]),
  mixture("rcpt, data, unknown", [wanting("rcpt"), wanting("data"), wanting("unknown")], {
    steps: ["EHLO client.lab.example", "FROB", ...oneMail().slice(1)],
  }),
  mixture("header, body, end", [wanting("header"), wanting("body"), wanting("endOfMessage")]),
  mixture("end, body, header", [wanting("endOfMessage"), wanting("body"), wanting("header")]),
  mixture("a header after edits, a body after edits", [
    whole(change("Subject", "1"), rewrite("line", "row")),
    { hooks: ["header"] },
    { hooks: ["body", "endOfMessage"], acts: [{ at: "endOfMessage", edits: [rewrite("row", "column")] }] },
  ]),
  mixture("edits without a look at the mail", [
    {
      hooks: ["endOfMessage"],
      acts: [{ at: "endOfMessage", edits: [change("X-Test", "1", 2), add("X-A", "1")] }],
    },
    {
      hooks: ["endOfMessage"],
      acts: [{ at: "endOfMessage", edits: [remove("X-Test", 2), insert(0, "X-B", "2")] }],
    },
    {
      hooks: ["endOfMessage"],
      acts: [{ at: "endOfMessage", edits: [change("X-Test", "3", 1), change("X-A", "3")] }],
    },
  ]),
  mixture("edits without a look, beyond what there is", [
    {
      hooks: ["endOfMessage"],
      acts: [{ at: "endOfMessage", edits: [change("X-Test", "1", 5), change("X-New", "1")] }],
    },
    {
      hooks: ["endOfMessage"],
      acts: [{ at: "endOfMessage", edits: [remove("X-Test", 7), remove("X-None", 1)] }],
    },
    {
      hooks: ["endOfMessage"],
      acts: [{ at: "endOfMessage", edits: [change("X-New", "3", 2), change("X-Test", "3", 3)] }],
    },
  ], {
    differs: {
      why:
        "Sendmail puts a field that is changed beyond the last of its name before the first one, unless whoever asks " +
        "for it knows how many there are",
      like: "postfix",
    },
  }),
  mixture("the body is wanted by the first, the header by the last", [
    {
      hooks: ["body", "endOfMessage"],
      acts: [{ at: "endOfMessage", edits: [rewrite("line", "row"), add("X-A", "1")] }],
    },
    wanting("mail", "rcpt"),
    {
      hooks: ["header", "endOfMessage"],
      acts: [{ at: "endOfMessage", edits: [remove("X-A"), change("X-Test", "3", 2)] }],
    },
  ]),
  mixture("needs without hooks", [
    {
      hooks: ["endOfMessage"],
      needs: ["headers", "sender"],
      acts: [{ at: "endOfMessage", edits: [remove("X-Test"), add("X-A", "1")] }],
    },
    { hooks: ["endOfHeaders"], needs: ["headers", "recipients"] },
    {
      hooks: ["endOfMessage"],
      needs: ["headers"],
      acts: [{ at: "endOfMessage", edits: [change("X-A", "3")] }],
    },
  ]),
  mixture("a filter that declares one edit", [
    { ...whole(add("X-A", "1")), edits: ["addHeader"] },
    { ...streaming(change("X-A", "2")), edits: ["changeHeader"] },
    { ...asked(rewrite("line", "row")), edits: ["replaceBody"] },
  ]),
  mixture("a filter that sees header and end knows the envelope as it has become", [
    asked(addRecipient("<added@lab.example>"), changeSender("<new@client.example>")),
    { hooks: ["header", "endOfMessage"], needs: ["sender", "recipients"] },
    { hooks: ["rcpt", "endOfMessage"], needs: ["sender"] },
  ], {
    delivers: 2,
    differs: {
      why:
        "a filter that is not asked about the envelope gets it at the end, as the filters before it left it",
      notes: {
        second: [
          ["  from <a@client.example>", "  from <new@client.example>"],
          ["  to <one@lab.example>", "  to <one@lab.example>", "  to <added@lab.example>"],
        ],
      },
    },
  }),
];

const large = message("large", [], lines(200 * 1024));

const streams: readonly ChainScenario[] = [
  mixture("pieces, whole, pieces of a large body", [
    streaming(rewrite("x", "y")),
    whole(rewrite("y", "z")),
    streaming(rewrite("z", "x")),
  ], { steps: oneMail(large) }),
  mixture("whole, pieces, whole of a large body, one accepts early", [
    whole(rewrite("x", "y")),
    { ...streaming(), acts: [{ at: "body", verdict: "accept" }] },
    whole(rewrite("y", "z")),
  ], { steps: oneMail(large) }),
  mixture("a filter without the body between two that rewrite it", [
    whole(rewrite("x", "y")),
    { hooks: ["header", "endOfMessage"], acts: [{ at: "endOfMessage", edits: [add("X-B", "2")] }] },
    whole(rewrite("y", "z")),
  ], { steps: oneMail(large) }),
];

const macros: readonly ChainScenario[] = [
  mixture("macros as the MTA sends them", [
    { ...streaming(), shows: ["j", "i", "mail_addr", "rcpt_addr"] },
    { ...whole(), shows: ["j", "i", "mail_addr"] },
    { ...asked(), shows: ["i", "rcpt_addr"] },
  ]),
  mixture("macros that each asks for", [
    {
      ...streaming(),
      macros: { connect: ["j", "{client_addr}"], mail: ["{mail_addr}"] },
      shows: ["client_addr", "mail_addr"],
    },
    { ...asked(), macros: { rcpt: ["{rcpt_addr}"], endOfMessage: ["i"] }, shows: ["rcpt_addr", "i"] },
    { ...streaming(), macros: { connect: ["{client_name}"] }, shows: ["client_name"] },
  ]),
  mixture("macros that one asks for do not take those that the MTA sends by itself from another", [
    {
      ...streaming(),
      macros: { connect: ["{client_addr}"], mail: ["{client_addr}"], rcpt: ["i"] },
      shows: ["client_addr"],
    },
    { ...streaming(), shows: ["j", "mail_addr", "rcpt_addr"] },
    { ...whole(), shows: ["j", "mail_addr"] },
  ]),
];

/** All of them. */
export const mixtureScenarios: readonly ChainScenario[] = [...hooks, ...streams, ...macros];
