/** The runtime in operation: many MTAs at once, filters that fail or are slow, stop and restart in mid-mail. */
import { deepEqual, equal, match } from "node:assert/strict";
import type { Filter } from "../../src/filter/mod.ts";
import { values } from "./mailbox.ts";
import { freePort, type Mta, type MtaKind, mtaKinds, mtaTest, startMta } from "./mta.ts";
import { serveFilter, socketFolder } from "./serve_filter.ts";
import type { Reply, SmtpClient } from "./smtp.ts";

const message = "From: me@client.example\nSubject: test\n\nbody\n";

/** What both MTAs say to a filter's plain reject and tempfail at the end of a message. */
const said: Readonly<Record<MtaKind, { readonly reject: RegExp; readonly tempfail: RegExp }>> = {
  postfix: { reject: /^550 5\.7\.1 /, tempfail: /^451 4\.7\.1 / },
  sendmail: { reject: /^554 5\.7\.1 /, tempfail: /^451 4\.3\.2 / },
};

/** MAIL and RCPT on a new connection. */
async function begin(mta: Mta): Promise<SmtpClient> {
  const smtp = await mta.smtp();
  await smtp.ehlo();
  await smtp.mail("me@client.example");
  equal((await smtp.rcpt("one@lab.example")).code, 250);
  return smtp;
}

/** One mail on a connection of its own; the result is what is said to the message. */
async function submit(mta: Mta): Promise<Reply> {
  await using smtp = await begin(mta);
  const reply = await smtp.data(message);
  await smtp.quit();
  return reply;
}

/** Waits for what would otherwise hang the tests. */
async function within(ms: number, what: string, work: PromiseLike<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} takes over ${ms} ms`)), ms);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** One SMTP session with several mails; each has a recipient and a subject of its own. */
async function session(mta: Mta, name: string, mails: number): Promise<void> {
  await using smtp = await mta.smtp();
  await smtp.ehlo(`${name}.client.example`);
  for (let n = 0; n < mails; n++) {
    equal((await smtp.mail(`${name}-${n}@client.example`)).code, 250);
    equal((await smtp.rcpt(`${name}-${n}@lab.example`)).code, 250);
    const reply = await smtp.data(`From: me@client.example\nSubject: ${name}-${n}\n\nbody\n`);
    equal(reply.code, 250, reply.raw);
  }
  equal((await smtp.quit()).code, 221);
}

mtaTest("one millrace serves two Postfix and two Sendmail at once, on TCP and a Unix socket", async () => {
  await using folder = await socketFolder();
  const sockets = [`inet:${freePort()}@127.0.0.1`, `unix:${folder.path}/millrace.sock`];
  const mtas = await Promise.all(
    mtaKinds.flatMap((kind) => sockets.map((milter) => startMta(kind, { milter }))),
  );
  try {
    let closed = 0;
    await using served = await serveFilter(sockets, {
      // slow enough that the sessions run into each other
      mail: () => new Promise((resolve) => setTimeout(resolve, 5)),
      message(mail, { addHeader, connection, helo }) {
        connection.count = Number(connection.count ?? 0) + 1;
        addHeader(
          "X-Seen",
          `${helo} ${mail.sender.address} ${mail.headers.get("Subject")} ${connection.count}`,
        );
      },
      close: () => void closed++,
    });
    const sessions = 4, mails = 5;
    await Promise.all(
      mtas.flatMap((mta, m) => Array.from({ length: sessions }, (_, s) => session(mta, `m${m}s${s}`, mails))),
    );
    for (const [m, mta] of mtas.entries()) {
      for (const mail of await mta.delivered(sessions * mails)) {
        const subject = mail.recipient.slice(0, mail.recipient.indexOf("@"));
        const [name, n] = subject.split("-");
        equal(name.startsWith(`m${m}s`), true);
        deepEqual(values(mail, "subject"), [subject]);
        deepEqual(values(mail, "x-seen"), [
          `${name}.client.example ${subject}@client.example ${subject} ${Number(n) + 1}`,
        ]);
      }
    }
    await served[Symbol.asyncDispose]();
    equal(closed, mtas.length * sessions);
    equal(served.mails.length, mtas.length * sessions * mails);
    deepEqual(served.complaints, []);
    deepEqual(served.failures, []);
  } finally {
    await Promise.all(mtas.map((mta) => mta.stop()));
  }
});

for (const kind of mtaKinds) {
  mtaTest(`millrace keeps its word to ${kind} when filters fail, and when it is stopped`, async (t) => {
    await using folder = await socketFolder();
    const socket = `unix:${folder.path}/millrace.sock`;
    await using mta = await startMta(kind, {
      milter: {
        socket,
        // short, so that a slow filter needs progress
        postfix: "command_timeout=2s, content_timeout=2s, default_action=tempfail",
        sendmail: "F=T, T=C:5s;S:5s;R:2s;E:1m",
      },
    });

    const broken: Filter = {
      message(_mail, { addHeader }) {
        addHeader("X-Half", "done");
        throw new Error("broken");
      },
    };
    for (const onFailure of ["tempfail", "reject", "accept"] as const) {
      await t.step(`a hook throws, on failure: ${onFailure}`, async () => {
        await using served = await serveFilter([socket], broken, { onFailure });
        const reply = await submit(mta);
        if (onFailure === "accept") {
          equal(reply.code, 250);
          deepEqual(values((await mta.delivered(1))[0], "x-half"), []);
        } else {
          match(reply.raw, said[kind][onFailure]);
          await mta.delivered(0);
        }
        deepEqual(served.failures.map((failure) => [failure.kind, failure.outcome]), [["error", onFailure]]);
        await mta.clear();
      });
    }

    await t.step("a hook that takes longer than the MTA's patience is kept alive by progress", async () => {
      // The clock runs eight times as fast, so that progress goes out twice a second.
      await using served = await serveFilter([socket], {
        async endOfMessage({ addHeader }) {
          await new Promise((resolve) => setTimeout(resolve, 3000));
          addHeader("X-Late", "yes");
        },
      }, { now: () => performance.now() * 8, timeout: 100_000 });
      equal((await submit(mta)).code, 250);
      deepEqual(values((await mta.delivered(1))[0], "x-late"), ["yes"]);
      deepEqual(served.failures, []);
      await mta.clear();
    });

    await t.step("a hook that never answers is ended by its deadline, and told so", async () => {
      let aborted = false;
      await using served = await serveFilter([socket], {
        rcpt: (_recipient, { signal }) =>
          new Promise<void>(() => signal.addEventListener("abort", () => aborted = true)),
      }, { timeout: 300 });
      await using smtp = await mta.smtp();
      await smtp.ehlo();
      await smtp.mail("me@client.example");
      match((await smtp.rcpt("one@lab.example")).raw, said[kind].tempfail);
      equal(aborted, true);
      deepEqual(served.failures.map((failure) => [failure.kind, failure.hook]), [["timeout", "rcpt"]]);
    });

    await t.step("a mail over the limit for the body is not filtered by half", async () => {
      const whole: Filter = { message: (_mail, { addHeader }) => addHeader("X-Whole", "yes") };
      await using served = await serveFilter([socket], whole, { limits: { body: 1000 } });
      await using smtp = await begin(mta);
      match((await smtp.data(`Subject: large\n\n${"0123456789\n".repeat(20_000)}`)).raw, said[kind].tempfail);
      deepEqual(served.failures.map((failure) => failure.kind), ["limit"]);
      await smtp.mail("me@client.example");
      await smtp.rcpt("one@lab.example");
      equal((await smtp.data(message)).code, 250);
      deepEqual(values((await mta.delivered(1))[0], "x-whole"), ["yes"]);
      await smtp.quit();
      await mta.clear();
    });

    await t.step("told to stop in mid-mail, it finishes the mail", async () => {
      const served = await serveFilter([socket], {
        // without a hook that is waited for, the MTA would keep MAIL and RCPT to itself until there is more
        rcpt: () => {},
        message: (_mail, { addHeader }) => addHeader("X-Checked", "yes"),
      });
      await using smtp = await begin(mta);
      served.stop();
      const reply = await smtp.data(message);
      equal(reply.code, 250, reply.raw);
      await served[Symbol.asyncDispose]();
      deepEqual(values((await mta.delivered(1))[0], "x-checked"), ["yes"]);
      // The session goes on without a filter, and the MTA was told not to take mail without. Postfix notices at
      // the first command that it waits for.
      const replies = [await smtp.mail("me@client.example"), await smtp.rcpt("one@lab.example")];
      match(replies.find(({ code }) => code !== 250)?.raw ?? "all is well", said[kind].tempfail);
      await smtp.quit();
      await mta.clear();
    });

    await t.step(
      "cut off in mid-mail, the mail stays with the client; started again, it is back",
      async () => {
        const called = Promise.withResolvers<void>();
        const stuck = Promise.withResolvers<void>();
        let aborted = false;
        const served = await serveFilter([socket], {
          message(_mail, { signal }) {
            signal.addEventListener("abort", () => aborted = true);
            called.resolve();
            return stuck.promise;
          },
        }, { limits: { drain: 200 }, timeout: 3_600_000 });
        await using smtp = await begin(mta);
        const reply = smtp.data(message);
        await called.promise;
        try {
          await within(10_000, "stopping with a hook that never answers", served[Symbol.asyncDispose]());
        } finally {
          stuck.resolve();
          await served[Symbol.asyncDispose]();
        }
        match((await reply).raw, said[kind].tempfail);
        equal(aborted, true);
        await mta.delivered(0);
        const marking: Filter = { message: (_mail, { addHeader }) => addHeader("X-Again", "yes") };
        await using _again = await serveFilter([socket], marking);
        equal((await submit(mta)).code, 250);
        deepEqual(values((await mta.delivered(1))[0], "x-again"), ["yes"]);
        await mta.clear();
      },
    );

    await t.step("the MTA ends in mid-mail: the filter hears of it once", async () => {
      const notes: string[] = [];
      await using _served = await serveFilter([socket], {
        mail: () => void notes.push("mail"),
        abort: () => void notes.push("abort"),
        close: () => void notes.push("close"),
      });
      await using _smtp = await begin(mta);
      await mta.stop();
      await _served[Symbol.asyncDispose]();
      deepEqual(notes, ["mail", "abort", "close"]);
    });
  });
}

for (const kind of mtaKinds) {
  mtaTest(`${kind} asks two filters in order, the second sees what the first did`, async () => {
    await using folder = await socketFolder();
    const sockets = [`unix:${folder.path}/first.sock`, `inet:${freePort()}@127.0.0.1`];
    await using mta = await startMta(kind, { milter: sockets });
    await using _first = await serveFilter([sockets[0]], {
      message(_mail, { addHeader, changeHeader }) {
        addHeader("X-First", "here");
        changeHeader("Subject", "changed");
      },
    });
    await using _second = await serveFilter([sockets[1]], {
      message(mail, { addHeader, reject }) {
        if (mail.headers.get("X-First") !== "here") return reject("5.7.1", "the first filter was not asked");
        addHeader("X-Second", `${mail.headers.get("Subject")}`);
      },
    });
    const reply = await submit(mta);
    equal(reply.code, 250, reply.raw);
    deepEqual(values((await mta.delivered(1))[0], "x-second"), ["changed"]);
  });
}

const ipv6 = await hasIpv6Loopback();

for (const kind of mtaKinds) {
  mtaTest(`a client on IPv6 is the same to a filter behind ${kind}`, async (t) => {
    await using folder = await socketFolder();
    const socket = `unix:${folder.path}/millrace.sock`;
    await t.step({
      name: "the address comes without a prefix and in its short form",
      ignore: !ipv6,
      fn: async () => {
        await using mta = await startMta(kind, { milter: socket, ipv6: true });
        const notes: string[] = [];
        await using served = await serveFilter([socket], {
          connect: ({ family, address }) => void notes.push(`connect ${family} ${address}`),
          message: ({ client }) => void notes.push(`message ${client.family} ${client.address}`),
        });
        await using smtp = await mta.smtp({ hostname: "::1" });
        await smtp.ehlo();
        await smtp.mail("me@client.example");
        await smtp.rcpt("one@lab.example");
        equal((await smtp.data(message)).code, 250);
        deepEqual(notes, ["connect inet6 ::1", "message inet6 ::1"]);
        deepEqual(served.complaints, []);
      },
    });
  });
}

async function hasIpv6Loopback(): Promise<boolean> {
  try {
    (await Deno.listen({ hostname: "::1", port: 0 })).close();
    return true;
  } catch {
    console.warn("SKIPPED: clients on IPv6, there is no ::1 here");
    return false;
  }
}
