/** Scenarios: what a filter decides is what the SMTP client is told, at every stage. */
import type { Filter } from "../../src/filter/mod.ts";
import {
  data,
  ehlo,
  expected,
  header,
  mail,
  type PerMta,
  rcpt,
  sample,
  say,
  type Scenario,
  type Step,
} from "./scenario.ts";

/** Postfix and Sendmail have words of their own for what a filter refuses without a text. */
const later = {
  postfix: "451 4.7.1 Service unavailable - try again later",
  sendmail: "451 4.3.2 Please try again later",
} as const;
const needMail = {
  postfix: "503 5.5.1 Error: need MAIL command",
  sendmail: "503 5.0.0 Need MAIL before RCPT",
} as const;

/** Sendmail puts the address before the text of a permanent refusal at MAIL and RCPT. */
function withAddress(code: string, address: string, text: string): PerMta<string> {
  return { postfix: `${code} ${text}`, sendmail: `${code} <${address}>... ${text}` };
}

/** A scenario in which nothing is delivered. */
function refused(name: string, filter: Filter, steps: readonly Step[], greeting?: PerMta<string>): Scenario {
  return { name, filter: () => filter, steps, ...(greeting === undefined ? {} : { greeting }) };
}

const sender = "MAIL FROM:<a@client.example>";
const recipient = "RCPT TO:<one@lab.example>";

const notAccepting = {
  postfix: "554 mx.lab.example ESMTP not accepting connections",
  sendmail: "554 mx.lab.example ESMTP not accepting messages",
} as const;

const atConnect: readonly Scenario[] = [
  refused("reject at connect", { connect: (_client, { reject }) => reject() }, [
    ehlo,
    say(sender, { postfix: "550 5.7.1 Command rejected", sendmail: "550 5.0.0 Command rejected" }),
  ], notAccepting),
  refused("reject at connect with a text, which Sendmail does not show", {
    connect: (client, { reject }) => client.address === "127.0.0.1" ? reject("5.7.0", "100% no") : undefined,
  }, [
    ehlo,
    say(sender, { postfix: "550 5.7.0 100% no", sendmail: "550 5.0.0 Command rejected" }),
  ], notAccepting),
  refused("tempfail at connect", { connect: (_client, { tempfail }) => tempfail() }, [
    ehlo,
    say(sender, later),
    say(recipient, needMail),
  ]),
  refused("tempfail at connect with a text, which Sendmail does not show", {
    connect: (_client, { tempfail }) => tempfail("4.7.0", "not now"),
  }, [ehlo, say(sender, { postfix: "451 4.7.0 not now", sendmail: later.sendmail })]),
  {
    name: "accept at connect: the whole connection is not filtered",
    filter: (note) => ({
      connect(client, { accept }) {
        note(`connect ${client.address}`);
        return accept();
      },
      mail: () => note("mail"),
      message: (_mail, { reject }) => reject(),
    }),
    steps: [ehlo, mail, rcpt, ...data(), mail, rcpt, ...data()],
    delivered: [expected(), expected()],
    notes: ["connect 127.0.0.1"],
  },
];

const atHelo: readonly Scenario[] = [
  refused("reject at helo, shown at MAIL", { helo: (_name, { reject }) => reject() }, [
    ehlo,
    say(sender, { postfix: "550 5.7.1 Command rejected", sendmail: "550 5.0.0 Command rejected" }),
  ]),
  refused("reject at helo with a text", {
    helo: (name, { reject }) => name === "client.lab.example" ? reject("5.7.1", "no % here") : undefined,
  }, [ehlo, say(sender, "550 5.7.1 no % here")]),
  refused("tempfail at helo", { helo: (_name, { tempfail }) => tempfail() }, [ehlo, say(sender, later)]),
  refused("tempfail at helo with a text", { helo: (_name, { tempfail }) => tempfail("4.7.1", "not now") }, [
    ehlo,
    say(sender, "451 4.7.1 not now"),
  ]),
];

const atMail: readonly Scenario[] = [
  refused("reject at mail", { mail: (_sender, { reject }) => reject() }, [
    ehlo,
    say(sender, withAddress("550 5.7.1", "a@client.example", "Command rejected")),
    say(recipient, needMail),
  ]),
  refused("tempfail at mail", { mail: (_sender, { tempfail }) => tempfail() }, [ehlo, say(sender, later)]),
  refused("tempfail at mail with a text", { mail: (_sender, { tempfail }) => tempfail("4.7.1", "not now") }, [
    ehlo,
    say(sender, "451 4.7.1 not now"),
  ]),
  {
    name: "reject at mail with a text, code and several lines; the next sender is welcome",
    filter: () => ({
      mail: ({ domain }, { reject }) =>
        domain === "bad.example" ? reject("5.1.8", ["100%", "no", "no"], 553) : undefined,
    }),
    steps: [
      ehlo,
      say("MAIL FROM:<a@bad.example>", {
        postfix: "553-5.1.8 100%\n553-5.1.8 no\n553 5.1.8 no",
        sendmail: "553-5.1.8 <a@bad.example>... 100%\n553-5.1.8 no\n553 5.1.8 no",
      }),
      mail,
      rcpt,
      ...data(),
    ],
    delivered: [expected()],
  },
  {
    name: "accept at mail: this mail is not filtered, the next one is asked about again",
    filter: (note) => ({
      mail({ address }, { accept }) {
        note(`mail ${address}`);
        return address.startsWith("good@") ? accept() : undefined;
      },
      message: (_mail, { reject }) => reject("5.7.1", "seen"),
    }),
    steps: [
      ehlo,
      say("MAIL FROM:<good@client.example>"),
      rcpt,
      ...data(),
      mail,
      rcpt,
      ...data("550 5.7.1 seen"),
    ],
    delivered: [expected({ sender: "good@client.example" })],
    notes: ["mail good@client.example", "mail a@client.example"],
  },
  refused("discard at mail", { mail: (_sender, { discard }) => discard() }, [ehlo, mail, rcpt, ...data()]),
];

const three = ["one", "two", "three"].map((name) => say(`RCPT TO:<${name}@lab.example>`));

const atRcpt: readonly Scenario[] = [
  {
    name: "reject of one of three recipients; the filter does not see it among the recipients",
    filter: (note) => ({
      rcpt: ({ address }, { reject }) =>
        address === "two@lab.example" ? reject("5.1.1", "no such user") : undefined,
      message: (mail) => note(mail.recipients.map(({ address }) => address).join()),
    }),
    steps: [
      ehlo,
      mail,
      three[0],
      say("RCPT TO:<two@lab.example>", withAddress("550 5.1.1", "two@lab.example", "no such user")),
      three[2],
      ...data(),
    ],
    delivered: [expected(), expected({ recipient: "three@lab.example" })],
    notes: ["one@lab.example,three@lab.example"],
  },
  {
    name: "tempfail of one of three recipients",
    filter: () => ({
      rcpt: ({ address }, { tempfail }) =>
        address === "one@lab.example" ? tempfail("4.2.2", "full") : undefined,
    }),
    steps: [ehlo, mail, say(recipient, "451 4.2.2 full"), three[1], three[2], ...data()],
    delivered: [expected({ recipient: "three@lab.example" }), expected({ recipient: "two@lab.example" })],
  },
  refused("reject and tempfail of all recipients, without a text", {
    rcpt: ({ address }, { reject, tempfail }) => address.startsWith("one@") ? reject() : tempfail(),
  }, [
    ehlo,
    mail,
    say(recipient, withAddress("550 5.7.1", "one@lab.example", "Command rejected")),
    say("RCPT TO:<two@lab.example>", later),
    say("DATA", {
      postfix: "554 5.5.1 Error: no valid recipients",
      sendmail: "503 5.0.0 Need RCPT (recipient)",
    }),
  ]),
  {
    name: "accept at rcpt: the whole mail is not filtered from there on",
    filter: (note) => ({
      rcpt({ address }, { accept }) {
        note(address);
        return accept();
      },
      endOfMessage: ({ reject }) => reject(),
    }),
    steps: [ehlo, mail, ...three, ...data()],
    delivered: [
      expected(),
      expected({ recipient: "three@lab.example" }),
      expected({ recipient: "two@lab.example" }),
    ],
    notes: ["one@lab.example"],
  },
  refused("discard at rcpt: for all recipients", {
    rcpt: ({ address }, { discard }) => address.startsWith("two@") ? discard() : undefined,
  }, [ehlo, mail, ...three, ...data()]),
];

const atData: readonly Scenario[] = [
  refused("reject at data", { data: ({ reject }) => reject() }, [
    ehlo,
    mail,
    rcpt,
    say("DATA", "550 5.7.1 Command rejected"),
  ]),
  refused("reject at data with a text", { data: ({ reject }) => reject("5.7.1", "no % here", 554) }, [
    ehlo,
    mail,
    rcpt,
    say("DATA", "554 5.7.1 no % here"),
  ]),
  refused("tempfail at data with a text", { data: ({ tempfail }) => tempfail("4.7.1", "not now", 450) }, [
    ehlo,
    mail,
    rcpt,
    say("DATA", "450 4.7.1 not now"),
  ]),
  refused("discard at data", { data: ({ discard }) => discard() }, [ehlo, mail, rcpt, ...data()]),
];

const rejected = { postfix: "550 5.7.1 Command rejected", sendmail: "554 5.7.1 Command rejected" } as const;

const inContent: readonly Scenario[] = [
  refused("reject at a header field", {
    header: (field, { reject }) => field.name === "Subject" ? reject("5.6.0", "bad subject") : undefined,
  }, [ehlo, mail, rcpt, ...data("550 5.6.0 bad subject")]),
  refused("tempfail at the end of the header", { endOfHeaders: ({ tempfail }) => tempfail() }, [
    ehlo,
    mail,
    rcpt,
    ...data(later),
  ]),
  refused("reject in the body", { body: (_chunk, { reject }) => reject() }, [
    ehlo,
    mail,
    rcpt,
    ...data(rejected),
  ]),
  refused("reject at the end of the message", { message: (_mail, { reject }) => reject() }, [
    ehlo,
    mail,
    rcpt,
    ...data(rejected),
  ]),
  refused("reject at the end of the message with several lines, after an edit", {
    endOfMessage({ addHeader, reject }) {
      addHeader("X-Checked", "yes");
      return reject("5.7.1", ["100%", "", "bad"], 552);
    },
  }, [ehlo, mail, rcpt, ...data("552-5.7.1 100%\n552-5.7.1 \n552 5.7.1 bad")]),
  refused("tempfail at the end of the message", { message: (_mail, { tempfail }) => tempfail() }, [
    ehlo,
    mail,
    rcpt,
    ...data(later),
  ]),
  refused("tempfail at the end of the message with a text", {
    message: (_mail, { tempfail }) => tempfail("4.7.1", "not now", 452),
  }, [ehlo, mail, rcpt, ...data("452 4.7.1 not now")]),
  refused("421 at the end of the message closes the SMTP connection", {
    message: (_mail, { tempfail }) => tempfail("4.3.2", "going down", 421),
  }, [ehlo, mail, rcpt, ...data("421 4.3.2 going down"), { kind: "closed" }]),
  refused("discard at the end of the message", { message: (_mail, { discard }) => discard() }, [
    ehlo,
    mail,
    rcpt,
    ...data(),
  ]),
  {
    name: "discard of one mail, the next one on the connection is delivered",
    filter: () => ({
      message: (mail, { discard }) => mail.sender.address.startsWith("bad@") ? discard() : undefined,
    }),
    steps: [ehlo, say("MAIL FROM:<bad@client.example>"), rcpt, ...data(), mail, rcpt, ...data()],
    delivered: [expected()],
  },
];

const ofCommands: readonly Scenario[] = [
  {
    name: "reject of an unknown command, of which Postfix 3.7 shows the first word",
    filter: (note) => ({
      unknown(command, { reject }) {
        note(command);
        return reject("5.5.2", "what?", 500);
      },
    }),
    steps: [ehlo, say("FROB nicate", "500 5.5.2 what?"), mail, rcpt, ...data()],
    delivered: [expected()],
    notes: { postfix: ["FROB"], sendmail: ["FROB nicate"] },
  },
];

const unanswered: readonly Scenario[] = [
  {
    name: "hooks that the MTA does not wait for see all, and the end decides",
    filter: (note) => {
      const body: string[] = [];
      return {
        noReply: ["mail", "rcpt", "data", "header", "endOfHeaders", "body"],
        mail: (sender) => note(`mail ${sender.address}`),
        rcpt: (to) => note(`rcpt ${to.address}`),
        data: () => note("data"),
        header: (field) => note(field.name),
        endOfHeaders: () => note("eoh"),
        body: (chunk) => void body.push(new TextDecoder().decode(chunk)),
        endOfMessage(context) {
          note(body.join("").replaceAll("\r\n", "|"));
          context.addHeader("X-Seen", "all");
        },
      };
    },
    steps: [ehlo, mail, rcpt, ...data()],
    delivered: [expected({ fields: header((fields) => [...fields, ["X-Seen", "all"]]) })],
    notes: [
      "mail a@client.example",
      "rcpt one@lab.example",
      "data",
      ...sample.fields.map(([name]) => name),
      "eoh",
      "first line|last line|",
    ],
  },
];

export const verdictScenarios: readonly Scenario[] = [
  ...atConnect,
  ...atHelo,
  ...atMail,
  ...atRcpt,
  ...atData,
  ...inContent,
  ...ofCommands,
  ...unanswered,
];
