/** Scenarios: many mails on a connection, taken back, broken off; and what a filter sees of them. */
import type { Filter } from "../../src/filter/mod.ts";
import {
  data,
  ehlo,
  expected,
  header,
  lines,
  mail,
  rcpt,
  sample,
  say,
  type Scenario,
  textOf,
} from "./scenario.ts";
import { latin1 } from "./smtp.ts";

/** A filter that looks only: it notes each event, and that which identifies it. */
function observer(note: (event: string) => void): Filter {
  return {
    connect: (client) => note(`connect ${client.host} ${client.family} ${client.address} ${client.port > 0}`),
    helo: (name) => note(`helo ${name}`),
    mail: (sender) => note(`mail ${sender.address} ${sender.args.join()}`.trimEnd()),
    rcpt: (recipient) => note(`rcpt ${recipient.address} ${recipient.args.join()}`.trimEnd()),
    data: ({ recipients }) => note(`data ${recipients.length}`),
    header: (field) => note(`header ${field.name}:${latin1(field.raw)}`),
    endOfHeaders: ({ headers }) => note(`endOfHeaders ${headers.length}`),
    body: (chunk) => note(`body ${JSON.stringify(latin1(chunk))}`),
    endOfMessage: ({ queueId }) => note(`endOfMessage ${queueId === undefined ? "without id" : "with id"}`),
    abort: ({ sender }) => note(`abort ${sender?.address}`),
    close: () => note("close"),
  };
}

/** A filter that notes where mails begin and end. */
function counter(note: (event: string) => void): Filter {
  return {
    mail: (sender) => note(`mail ${sender.address}`),
    message: (mail) => note(`message ${mail.sender.address} ${mail.recipients.length} ${mail.body.size}`),
    abort: ({ sender }) => note(`abort ${sender?.address}`),
    close: () => note("close"),
  };
}

const seenOfSample = [
  ...sample.fields.map(([name, value]) => `header ${name}:${value}`),
  `endOfHeaders ${sample.fields.length}`,
  'body "first line\\r\\nlast line\\r\\n"',
  "endOfMessage with id",
];

export const sessionScenarios: readonly Scenario[] = [
  {
    name: "a filter sees all of a mail, and changes nothing",
    filter: observer,
    steps: [
      ehlo,
      say("MAIL FROM:<a@client.example> BODY=8BITMIME"),
      say("RCPT TO:<one@lab.example> NOTIFY=FAILURE"),
      say("RCPT TO:<Two@Lab.Example>"),
      ...data(),
    ],
    delivered: {
      postfix: [expected({ recipient: "Two@Lab.Example" }), expected()],
      sendmail: [expected(), expected({ recipient: "two@lab.example" })],
    },
    notes: [
      "connect localhost inet 127.0.0.1 true",
      "helo client.lab.example",
      "mail a@client.example BODY=8BITMIME",
      "rcpt one@lab.example NOTIFY=FAILURE",
      "rcpt Two@Lab.Example",
      "data 2",
      ...seenOfSample,
      "close",
    ],
  },
  {
    name: "three mails on one connection",
    filter: (note) => ({
      ...counter(note),
      message(mail, { addHeader, connection, transaction }) {
        connection.count = Number(connection.count ?? 0) + 1;
        // what one mail keeps is not there for the next
        note(`message ${mail.sender.address} ${Object.keys(transaction).join()}`.trimEnd());
        transaction.seen = true;
        addHeader("X-Count", String(connection.count));
      },
    }),
    steps: [
      ehlo,
      ...["1", "2", "3"].flatMap((n) => [
        say(`MAIL FROM:<${n}@client.example>`),
        say(`RCPT TO:<r${n}@lab.example>`),
        ...data(),
      ]),
    ],
    delivered: ["1", "2", "3"].map((n) =>
      expected({
        sender: `${n}@client.example`,
        recipient: `r${n}@lab.example`,
        fields: header((fields) => [...fields, ["X-Count", n]]),
      })
    ),
    notes: [
      ...["1", "2", "3"].flatMap((n) => [`mail ${n}@client.example`, `message ${n}@client.example`]),
      "close",
    ],
  },
  {
    name: "RSET in the middle of a mail",
    filter: counter,
    steps: [
      ehlo,
      say("MAIL FROM:<lost@client.example>"),
      say("RCPT TO:<lost@lab.example>"),
      say("RSET"),
      mail,
      rcpt,
      ...data(),
      say("RSET"),
      say("RSET"),
    ],
    delivered: [expected()],
    notes: [
      "mail lost@client.example",
      "abort lost@client.example",
      "mail a@client.example",
      "message a@client.example 1 23",
      "close",
    ],
  },
  {
    name: "EHLO in the middle of a mail",
    filter: counter,
    steps: [ehlo, say("MAIL FROM:<lost@client.example>"), rcpt, ehlo, mail, rcpt, ...data()],
    delivered: [expected()],
    notes: [
      "mail lost@client.example",
      "abort lost@client.example",
      "mail a@client.example",
      "message a@client.example 1 23",
      "close",
    ],
  },
  {
    name: "the client goes away in the middle of a mail",
    filter: counter,
    steps: [ehlo, mail, rcpt, { kind: "hang up" }],
    notes: ["mail a@client.example", "abort a@client.example", "close"],
  },
  {
    name: "the client says QUIT in the middle of a mail",
    filter: counter,
    steps: [ehlo, mail, rcpt],
    notes: ["mail a@client.example", "abort a@client.example", "close"],
  },
  {
    name: "a connection without a mail",
    filter: observer,
    steps: [],
    notes: ["connect localhost inet 127.0.0.1 true", "close"],
  },
  {
    name: "the null sender",
    filter: counter,
    steps: [ehlo, say("MAIL FROM:<>"), rcpt, ...data()],
    delivered: [expected({ sender: "" })],
    notes: ["mail ", "message  1 23", "close"],
  },
  {
    name: "a mail without a body",
    filter: (note) => ({
      ...counter(note),
      message(mail, { addHeader }) {
        note(`message ${mail.body.size} ${mail.headers.length}`);
        addHeader("X-Checked", "yes");
      },
    }),
    steps: [ehlo, mail, rcpt, ...data(250, textOf(sample.fields, ""))],
    delivered: [expected({ body: "", fields: header((fields) => [...fields, ["X-Checked", "yes"]]) })],
    notes: ["mail a@client.example", `message 0 ${sample.fields.length}`, "close"],
  },
  {
    name: "bytes that are not UTF-8, empty fields and odd spacing pass unchanged",
    filter: (note) => ({
      message(mail, { addHeader }) {
        for (const field of mail.headers) {
          if (field.name.startsWith("X-Odd")) note(JSON.stringify(latin1(field.raw)));
        }
        note(JSON.stringify(latin1(mail.body.bytes())));
        addHeader("X-Checked", "yes");
      },
    }),
    steps: [
      ehlo,
      mail,
      rcpt,
      ...data(
        250,
        textOf(
          [...sample.fields, ["X-Odd-1", "\xff\xc3("], ["X-Odd-2", ""], ["X-Odd-3", " x  "]],
          "\x80\xff\t.\n.\n\nFrom \xe9\n",
        ),
      ),
    ],
    delivered: [expected({
      fields: header((fields) => [
        ...fields,
        ["X-Odd-1", "\xff\xc3("],
        ["X-Odd-2", ""],
        ["X-Odd-3", " x  "],
        ["X-Checked", "yes"],
      ]),
      body: "\x80\xff\t.\n.\n\nFrom \xe9\n",
    })],
    notes: ['"\xff\xc3("', '""', '" x  "', '"\x80\xff\\t.\\r\\n.\\r\\n\\r\\nFrom \xe9\\r\\n"'],
  },
  {
    name: "a filter skips the body after its first chunk, and edits at the end",
    filter: (note) => ({
      body(chunk, { skip }) {
        note(`body ${chunk.length > 0}`);
        return skip();
      },
      endOfMessage: ({ addHeader }) => addHeader("X-Checked", "yes"),
    }),
    steps: [ehlo, mail, rcpt, ...data(250, textOf(sample.fields, lines(256 * 1024)))],
    delivered: [
      expected({ fields: header((fields) => [...fields, ["X-Checked", "yes"]]), body: lines(256 * 1024) }),
    ],
    notes: ["body true"],
  },
  {
    name: "hooks take their time, and are called one after the other",
    filter: (note) => {
      const slowly = async (event: string) => {
        note(`${event} begins`);
        await new Promise((resolve) => setTimeout(resolve, 5));
        note(`${event} ends`);
      };
      return {
        mail: () => slowly("mail"),
        rcpt: () => slowly("rcpt"),
        header: (field) => field.name === "Subject" ? slowly("header") : undefined,
        endOfHeaders: () => slowly("endOfHeaders"),
        async endOfMessage({ addHeader, accept }) {
          await slowly("endOfMessage");
          addHeader("X-Checked", "late");
          return accept();
        },
      };
    },
    steps: [ehlo, mail, rcpt, ...data()],
    delivered: [expected({ fields: header((fields) => [...fields, ["X-Checked", "late"]]) })],
    notes: ["mail", "rcpt", "header", "endOfHeaders", "endOfMessage"].flatMap((
      event,
    ) => [`${event} begins`, `${event} ends`]),
  },
  {
    name: "macros that were asked for are there",
    filter: (note) => ({
      macros: {
        connect: ["j", "{client_addr}"],
        mail: ["{mail_addr}"],
        endOfHeaders: ["i"],
        endOfMessage: ["i"],
      },
      connect: (_client, { macros }) => note(`${macros.get("j")} ${macros.get("{client_addr}")}`),
      mail: (_sender, { macros }) => note(`${macros.get("mail_addr")}`),
      endOfMessage: ({ macros, queueId }) => note(`${queueId !== undefined && macros.get("i") === queueId}`),
    }),
    steps: [ehlo, mail, rcpt, ...data()],
    delivered: [expected()],
    notes: ["mx.lab.example 127.0.0.1", "a@client.example", "true"],
  },
];
