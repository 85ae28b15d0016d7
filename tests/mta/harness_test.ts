/** The harness itself: both MTAs run, take mail and deliver it unchanged. What goes wrong here is no filter's fault. */
import { deepEqual, equal, rejects } from "node:assert/strict";
import { type Delivered, values } from "./mailbox.ts";
import { mtaKinds, mtaTest, startMta } from "./mta.ts";
import { bytesOf, latin1, type SmtpClient } from "./smtp.ts";

const traceFields = ["Received", "Message-Id", "Date", "From"];

/** Name and value of what the client sent: the MTA adds its trace and fields that were missing. */
function sentFields(mail: Delivered): (readonly [string, string])[] {
  return mail.fields.filter(([name]) => !traceFields.includes(name));
}

async function submit(smtp: SmtpClient, sender: string, recipients: string[], message: string | Uint8Array) {
  equal((await smtp.mail(sender)).code, 250);
  for (const recipient of recipients) equal((await smtp.rcpt(recipient)).code, 250);
  const reply = await smtp.data(message);
  equal(reply.code, 250, reply.raw);
}

for (const kind of mtaKinds) {
  mtaTest(`startMta("${kind}") runs an MTA that delivers what it is sent`, async (t) => {
    await using mta = await startMta(kind);

    await t.step("a plain mail to two recipients", async () => {
      await using smtp = await mta.smtp();
      equal(smtp.greeting.code, 220);
      equal((await smtp.ehlo()).code, 250);
      const message =
        "Subject: hello\nX-Folded: one\n\ttwo\n three\nX-Empty:\n\nFrom here\n.\n..dots\n\nend\n";
      await submit(smtp, "me@client.example", ["one@lab.example", "two@lab.example"], message);
      equal((await smtp.quit()).code, 221);
      const mails = await mta.delivered(2);
      deepEqual(mails.map((mail) => mail.recipient), ["one@lab.example", "two@lab.example"]);
      for (const mail of mails) {
        equal(mail.sender, "me@client.example");
        deepEqual(sentFields(mail), [["Subject", "hello"], ["X-Folded", "one\n\ttwo\n three"], [
          "X-Empty",
          "",
        ]]);
        equal(values(mail, "received").length, 1);
        equal(latin1(mail.body), "From here\n.\n..dots\n\nend\n");
      }
      await mta.clear();
      await mta.delivered(0);
    });

    await t.step("bytes that are not ASCII, in header and body", async () => {
      const bytes = Array.from({ length: 256 }, (_, code) => code).filter((code) =>
        ![0, 10, 13].includes(code)
      );
      const body = `${latin1(Uint8Array.from(bytes))}\n`;
      await using smtp = await mta.smtp();
      await smtp.ehlo();
      await submit(smtp, "me@client.example", ["one@lab.example"], `Subject: caf\xe9 \xc3\xa9\n\n${body}`);
      const [mail] = await mta.delivered(1);
      deepEqual(sentFields(mail), [["Subject", "caf\xe9 \xc3\xa9"]]);
      equal(latin1(mail.body), body);
      await mta.clear();
    });

    await t.step(
      "two mails on one connection, a third one taken back by RSET, one from the null sender",
      async () => {
        await using smtp = await mta.smtp();
        equal((await smtp.helo()).code, 250);
        await submit(smtp, "a@client.example", ["one@lab.example"], "Subject: 1\n\nfirst\n");
        equal((await smtp.mail("b@client.example")).code, 250);
        equal((await smtp.rcpt("lost@lab.example")).code, 250);
        equal((await smtp.rset()).code, 250);
        await submit(smtp, "", ["two@lab.example"], "Subject: 2\n\nsecond\n");
        const mails = await mta.delivered(2);
        deepEqual(mails.map((mail) => [mail.sender, mail.recipient, latin1(mail.body)]), [
          ["a@client.example", "one@lab.example", "first\n"],
          ["", "two@lab.example", "second\n"],
        ]);
        await mta.clear();
      },
    );

    await t.step("a mail of 10 MiB", async () => {
      const line = bytesOf(`${"0123456789abcdef".repeat(4).slice(0, 62)}\r\n`);
      const header = bytesOf("Subject: large\r\n\r\n");
      const message = new Uint8Array(header.length + 10 * 1024 * 1024);
      message.set(header);
      for (let at = header.length; at < message.length; at += line.length) message.set(line, at);
      await using smtp = await mta.smtp();
      await smtp.ehlo();
      await submit(smtp, "me@client.example", ["one@lab.example"], message);
      const [mail] = await mta.delivered(1);
      equal(latin1(mail.body), latin1(message.subarray(header.length)).replaceAll("\r\n", "\n"));
      await mta.clear();
    });

    await t.step("the client is told of an unknown command, and the log of it all is there", async () => {
      await using smtp = await mta.smtp();
      equal(Math.floor((await smtp.command("FROB nicate")).code / 100), 5);
      equal((await mta.log()).includes("me@client.example"), true);
    });
  });
}

mtaTest("startMta() starts four at once, and stop() leaves nothing behind", async () => {
  const mtas = await Promise.all([...mtaKinds, ...mtaKinds].map((kind) => startMta(kind)));
  try {
    equal(new Set(mtas.map((mta) => mta.port)).size, 4);
    for (const mta of mtas) {
      await using smtp = await mta.smtp();
      equal(smtp.greeting.code, 220);
    }
  } finally {
    await Promise.all(mtas.map((mta) => mta.stop()));
  }
  for (const mta of mtas) {
    await rejects(mta.smtp(), Deno.errors.ConnectionRefused);
    await rejects(Deno.stat(mta.folder), Deno.errors.NotFound);
  }
});

mtaTest("quarantined() finds what Postfix holds", async () => {
  await using mta = await startMta("postfix", {
    mainCf: "smtpd_sender_restrictions = check_sender_access inline:{hold@client.example=HOLD}",
  });
  await using smtp = await mta.smtp();
  await smtp.ehlo();
  await submit(
    smtp,
    "hold@client.example",
    ["one@lab.example", "two@lab.example"],
    "Subject: held\n\nwait\n",
  );
  await submit(smtp, "free@client.example", ["one@lab.example"], "Subject: free\n\ngo\n");
  equal((await mta.delivered(1))[0].sender, "free@client.example");
  const [held, ...others] = await mta.quarantined();
  deepEqual(others, []);
  equal(held.sender, "hold@client.example");
  deepEqual(held.recipients, ["one@lab.example", "two@lab.example"]);
  deepEqual(values(held, "subject"), ["held"]);
  equal(latin1(held.body), "wait\n");
  await mta.clear();
  deepEqual(await mta.quarantined(), []);
});
