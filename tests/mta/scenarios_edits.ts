/** Scenarios: what a filter changes arrives, and is the same on both MTAs. */
import {
  data,
  ehlo,
  expected,
  header,
  lines,
  mail,
  own,
  rcpt,
  sample,
  say,
  type Scenario,
  textOf,
  utf8,
} from "./scenario.ts";

/** The conversation around one mail to one recipient. */
const oneMail = [ehlo, mail, rcpt, ...data()];
const two = say("RCPT TO:<two@lab.example>");

/** A header with one field more at the end. */
function plus(name: string, value: string): (readonly [string, string])[] {
  return header((fields) => [...fields, [name, value]]);
}

export const editScenarios: readonly Scenario[] = [
  {
    name: "a header field is added at the end",
    filter: () => ({ endOfMessage: (context) => context.addHeader("X-Checked", "yes") }),
    steps: oneMail,
    delivered: [expected({ fields: plus("X-Checked", "yes") })],
  },
  {
    name: "a header field is added whose name the mail has already",
    filter: () => ({ message: (_mail, { addHeader }) => addHeader("X-Test", "three") }),
    steps: oneMail,
    delivered: [expected({ fields: plus("X-Test", "three") })],
  },
  {
    name: "header fields are added with folds, with UTF-8, with bytes that are not UTF-8, and empty",
    filter: () => ({
      message(_mail, { addHeader }) {
        addHeader("X-Folded", "one\n\ttwo\n three");
        addHeader("X-Text", "grüße");
        addHeader("X-Bytes", Uint8Array.of(0x61, 0xff, 0x80, 0x62));
        addHeader("X-Empty", "");
      },
    }),
    steps: oneMail,
    delivered: [expected({
      fields: header((fields) => [
        ...fields,
        ["X-Folded", "one\n\ttwo\n three"],
        ["X-Text", utf8("grüße")],
        ["X-Bytes", "a\xff\x80b"],
        ["X-Empty", ""],
      ]),
    })],
  },
  {
    name: "a header field is inserted at 0, above the MTA's own Received",
    filter: () => ({
      edits: ["insertHeader"],
      message: (_mail, { insertHeader }) => insertHeader(0, "X-Top", "here"),
    }),
    steps: oneMail,
    delivered: [expected({ fields: header((fields) => [["X-Top", "here"], ...fields]) })],
  },
  {
    name: "a header field is inserted at 1, directly below the MTA's own Received",
    filter: () => ({ endOfMessage: ({ insertHeader }) => insertHeader(1, "X-Second", "here") }),
    steps: oneMail,
    delivered: [
      expected({ fields: header(([received, ...rest]) => [received, ["X-Second", "here"], ...rest]) }),
    ],
  },
  {
    name: "header fields are changed: the only one of its name, and the second of two",
    filter: () => ({
      message(_mail, { changeHeader }) {
        changeHeader("Subject", "new");
        changeHeader("X-Test", "changed", 2);
      },
    }),
    steps: oneMail,
    delivered: [expected({
      fields: header((fields) => [
        ...fields.map(([name, value]) =>
          [name, name === "Subject" ? "new" : value === "two" ? "changed" : value] as const
        ),
      ]),
    })],
  },
  {
    name: "a header field is changed that the mail does not have",
    filter: () => ({ endOfMessage: ({ changeHeader }) => changeHeader("X-New", "added") }),
    steps: oneMail,
    delivered: [expected({ fields: plus("X-New", "added") })],
  },
  {
    name: "the second of two header fields is removed",
    filter: () => ({
      edits: ["removeHeader"],
      endOfMessage: ({ removeHeader }) => removeHeader("x-test", 2),
    }),
    steps: oneMail,
    delivered: [expected({ fields: header((fields) => fields.filter(([, value]) => value !== "two")) })],
  },
  {
    name: "all header fields of a name are removed",
    filter: () => ({ message: (_mail, { removeHeader }) => removeHeader("X-Test") }),
    steps: oneMail,
    delivered: [expected({ fields: header((fields) => fields.filter(([name]) => name !== "X-Test")) })],
  },
  {
    name: "the first and the second of two header fields are removed, one after the other",
    filter: () => ({
      message(_mail, { removeHeader }) {
        removeHeader("X-Test", 1);
        removeHeader("X-Test", 2);
      },
    }),
    steps: oneMail,
    delivered: [expected({ fields: header((fields) => fields.filter(([name]) => name !== "X-Test")) })],
  },
  {
    name: "the first of two header fields is removed, the second is changed: each as numbered on arrival",
    filter: () => ({
      message(_mail, { changeHeader, removeHeader }) {
        removeHeader("X-Test", 1);
        changeHeader("X-Test", "changed", 2);
      },
    }),
    steps: oneMail,
    delivered: [expected({
      fields: header((fields) =>
        fields.filter(([, value]) => value !== "one").map(([name, value]) =>
          [name, value === "two" ? "changed" : value] as const
        )
      ),
    })],
  },
  {
    name: "the client's Received is removed, the MTA's own stays",
    filter: () => ({ endOfMessage: ({ removeHeader }) => removeHeader("Received", 1) }),
    steps: oneMail,
    delivered: [
      expected({
        fields: header((fields) => fields.filter(([name, value]) => name !== "Received" || value === own)),
      }),
    ],
  },
  {
    name: "with leadingSpace a field comes with its blanks, and is added with as many as given",
    filter: (note) => ({
      leadingSpace: true,
      header: (field) =>
        field.name === "X-Test" ? note(JSON.stringify(new TextDecoder().decode(field.raw))) : undefined,
      endOfMessage({ addHeader }) {
        addHeader("X-None", "a");
        addHeader("X-Two", "  b");
      },
    }),
    steps: [ehlo, mail, rcpt, ...data(250, sample.message.replaceAll("X-Test: ", "X-Test:   "))],
    // taking one blank off is what reading a mailbox does, so none reads like one
    delivered: [expected({
      fields: header((fields) => [
        ...fields.map(([name, value]) => [name, name === "X-Test" ? `  ${value}` : value] as const),
        ["X-None", "a"],
        ["X-Two", " b"],
      ]),
    })],
    notes: ['"   one"', '"   two"'],
  },
  {
    name: "the body is replaced, with lines that begin with a dot",
    filter: () => ({
      message: (_mail, { replaceBody }) => replaceBody("new body\r\n.\r\n..dots\r\nFrom me: grüße\r\n"),
    }),
    steps: oneMail,
    delivered: [expected({ body: utf8("new body\n.\n..dots\nFrom me: grüße\n") })],
  },
  {
    name: "the body is replaced by nothing",
    filter: () => ({ endOfMessage: ({ replaceBody }) => replaceBody("") }),
    steps: oneMail,
    delivered: [expected({ body: "" })],
  },
  {
    name: "the body of 10 MiB is replaced by one as large",
    filter: () => ({
      message(mail, { replaceBody }) {
        replaceBody(mail.body.bytes().map((byte) => byte === 0x78 ? 0x79 : byte));
      },
    }),
    steps: [ehlo, mail, rcpt, ...data(250, textOf(sample.fields, lines(10 * 1024 * 1024)))],
    delivered: [expected({ body: lines(10 * 1024 * 1024).replaceAll("x", "y") })],
  },
  {
    name: "a recipient is added",
    filter: () => ({
      edits: ["addRecipient"],
      endOfMessage: ({ addRecipient }) => addRecipient("added@lab.example"),
    }),
    steps: oneMail,
    delivered: [expected({ recipient: "added@lab.example" }), expected()],
  },
  {
    name: "a recipient is added with ESMTP arguments",
    filter: () => ({
      message: (_mail, { addRecipient }) => addRecipient("<added@lab.example>", "NOTIFY=NEVER"),
    }),
    steps: oneMail,
    delivered: [expected({ recipient: "added@lab.example" }), expected()],
  },
  {
    name: "one of two recipients is removed",
    filter: () => ({
      message(mail, { removeRecipient }) {
        for (const recipient of mail.recipients) {
          if (recipient.address.startsWith("one@")) removeRecipient(recipient);
        }
      },
    }),
    steps: [ehlo, mail, rcpt, two, ...data()],
    delivered: [expected({ recipient: "two@lab.example" })],
  },
  {
    name: "a recipient is removed by its address",
    filter: () => ({ endOfMessage: ({ removeRecipient }) => removeRecipient("two@lab.example") }),
    steps: [ehlo, mail, rcpt, two, ...data()],
    delivered: [expected()],
  },
  {
    name: "all recipients are removed: the client is told 250, nothing is delivered",
    filter: () => ({
      message: (mail, { removeRecipient }) =>
        mail.recipients.forEach((recipient) => removeRecipient(recipient)),
    }),
    steps: [ehlo, mail, rcpt, two, ...data()],
  },
  {
    name: "the sender is changed",
    filter: () => ({
      edits: ["changeSender"],
      endOfMessage: ({ changeSender }) => changeSender("new@client.example"),
    }),
    steps: oneMail,
    delivered: [expected({ sender: "new@client.example" })],
  },
  {
    name: "the sender is changed to the null sender",
    filter: () => ({ message: (_mail, { changeSender }) => changeSender("<>") }),
    steps: oneMail,
    delivered: [expected({ sender: "" })],
  },
  {
    name: "a mail is quarantined",
    filter: () => ({ message: (_mail, { quarantine }) => quarantine("looks bad") }),
    steps: oneMail,
    quarantined: [expected()],
  },
  {
    name: "a mail is changed and quarantined, the next one on the connection is not",
    filter: () => ({
      message(mail, { addHeader, quarantine }) {
        addHeader("X-Checked", "yes");
        if (mail.sender.address.startsWith("bad@")) quarantine("looks bad");
      },
    }),
    steps: [ehlo, say("MAIL FROM:<bad@client.example>"), rcpt, ...data(), mail, rcpt, ...data()],
    quarantined: [expected({ sender: "bad@client.example", fields: plus("X-Checked", "yes") })],
    delivered: [expected({ fields: plus("X-Checked", "yes") })],
  },
  {
    name: "all kinds of edits at once, and in any order",
    filter: () => ({
      message(mail, edits) {
        edits.replaceBody("other\r\n");
        edits.addHeader("X-End", "last");
        edits.removeRecipient(mail.recipients[0]);
        edits.changeHeader("Subject", "new");
        edits.insertHeader(0, "X-Top", "first");
        edits.removeHeader("X-Folded");
        edits.changeSender("new@client.example");
        edits.addRecipient("added@lab.example");
        return edits.accept();
      },
    }),
    steps: [ehlo, mail, rcpt, two, ...data()],
    delivered: ["added@lab.example", "two@lab.example"].map((recipient) =>
      expected({
        sender: "new@client.example",
        recipient,
        fields: header((fields) => [
          ["X-Top", "first"],
          ...fields.filter(([name]) => name !== "X-Folded").map(([name, value]) =>
            [name, name === "Subject" ? "new" : value] as const
          ),
          ["X-End", "last"],
        ]),
        body: "other\n",
      })
    ),
  },
  {
    name: "a mail of 10 MiB passes a filter that looks at every chunk",
    filter: (note) => ({
      body(chunk, { transaction }) {
        transaction.size = Number(transaction.size ?? 0) + chunk.length;
      },
      endOfMessage({ addHeader, transaction }) {
        note(`${transaction.size} bytes`);
        addHeader("X-Size", String(transaction.size));
      },
    }),
    steps: [ehlo, mail, rcpt, ...data(250, textOf(sample.fields, lines(10 * 1024 * 1024)))],
    delivered: [expected({ fields: plus("X-Size", "10485760"), body: lines(10 * 1024 * 1024) })],
    notes: ["10485760 bytes"],
  },
];
