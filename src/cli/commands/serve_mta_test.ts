/** The program beside real mail servers that are configured with the lines that it prints. */
import assert from "node:assert/strict";
import { values } from "../../../tests/mta/mailbox.ts";
import { mtaKinds, mtaTest, startMta } from "../../../tests/mta/mta.ts";
import { readArgs } from "../args.ts";
import { testIo } from "../test_io.ts";
import { command } from "./serve.ts";

const BUNDLED = `listen: inet:0@127.0.0.1
filters:
  - use: bundled:rules
    options: { rules: [{ add_header: { name: X-Millrace, value: seen } }] }
`;

mtaTest(
  "the lines that serve prints make Postfix and Sendmail use it, and each mail is one line of the log",
  async () => {
    const io = testIo({ files: { "m.yaml": BUNDLED } });
    const ended = command.run(readArgs(command.spec, ["-c", "m.yaml"]), io);
    await io.errHas("INPUT_MAIL_FILTER");
    const printed = io.err().trimEnd().split("\n").map((line) => String(JSON.parse(line).message));
    const line = (start: string) => printed.find((text) => text.startsWith(start))!.slice(start.length);
    const configured = {
      postfix: { mainCf: line("Postfix, main.cf: ") },
      sendmail: { mc: line("Sendmail, sendmail.mc: ") },
    };
    try {
      for (const kind of mtaKinds) {
        await using mta = await startMta(kind, configured[kind]);
        await using smtp = await mta.smtp();
        await smtp.ehlo();
        assert.equal((await smtp.mail(`${kind}@client.example`)).code, 250);
        assert.equal((await smtp.rcpt("one@lab.example")).code, 250);
        assert.equal((await smtp.data("From: a@b.example\nSubject: x\n\nhi\n")).code, 250);
        await smtp.quit();
        const [mail] = await mta.delivered(1);
        assert.deepEqual(values(mail, "X-Millrace"), ["seen"]);
        const logged = io.err().trimEnd().split("\n").map((text) => JSON.parse(text)).filter(({ sender }) =>
          String(sender).includes(`${kind}@client.example`)
        );
        assert.equal(logged.length, 1);
        const { message, edits, verdict, filter } = logged[0];
        assert.deepEqual({ message, edits, verdict, filter }, {
          message: "mail",
          edits: 1,
          verdict: "continue",
          filter: "rules",
        });
        assert.match(logged[0].queue, /^[0-9A-Za-z]{8,}$/);
      }
    } finally {
      io.send("SIGTERM");
      assert.equal(await ended, 0);
    }
  },
);
