import assert from "node:assert/strict";
import { serving } from "../../tests/helpers/serving.ts";
import { concat, frameBytes, utf8 } from "../../tests/property/wire.ts";
import { accept, type Filter, reject } from "../filter/mod.ts";
import { SMFIC } from "../protocol/mod.ts";
import { MtaClient } from "../testing/mta_client.ts";
import { dial, listen } from "../transport/deno.ts";
import { parseAddress } from "../transport/address.ts";
import { memoryPair } from "../transport/memory.ts";
import type { Connection, Listener } from "../transport/types.ts";

const DIALECTS = ["postfix", "sendmail"] as const;

/** What the server says to raw bytes, up to its end of the connection. */
async function said(connection: Connection, ...pieces: Uint8Array[]): Promise<Uint8Array> {
  const writer = connection.writable.getWriter();
  for (const piece of pieces) await writer.write(piece).catch(() => {});
  let all: Uint8Array = new Uint8Array(0);
  for await (const chunk of connection.readable) all = concat(all, chunk);
  connection.close();
  return all;
}

const OFFER = frameBytes(0x4f, new Uint8Array([0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff]));

Deno.test("many MTAs at once on TCP, a Unix socket and in memory, none disturbs another", async () => {
  const folder = await Deno.makeTempDir({ prefix: "millrace-serve-" });
  const listeners = [
    await listen(parseAddress("inet:0@127.0.0.1")),
    await listen(parseAddress(`unix:${folder}/m.sock`)),
  ];
  const filter: Filter = {
    async mail(sender, { transaction }) {
      await Promise.resolve();
      transaction.from = sender.address;
    },
    header() {},
    async message(mail, { addHeader, transaction, connection }) {
      connection.count = Number(connection.count ?? 0) + 1;
      // Answers come in another order than questions.
      await new Promise((resolve) => setTimeout(resolve, mail.body.size % 7));
      if (mail.headers.get("X-Bad") !== undefined) throw new Error("as ordered");
      addHeader("X-Seen", `${transaction.from} ${connection.count} ${mail.body.size}`);
    },
  };
  const server = serving(filter, { listeners });
  async function session(id: number): Promise<void> {
    const where = id % 3;
    const connection = where === 2 ? server.connect() : await dial(parseAddress(listeners[where].address));
    const client = await MtaClient.connect(connection, { dialect: DIALECTS[id % 2] });
    for (let n = 1; n <= 4; n++) {
      const [sender, body] = [`s${id}-${n}@example.org`, "x".repeat(id * 10 + n)];
      if (n === 3) {
        const bad = await client.sendMail({ sender, message: `X-Bad: 1\n\n${body}` });
        assert.equal(bad.verdict, "tempfail");
        continue;
      }
      const { message } = await client.sendMail({ sender, message: `A: 1\n\n${body}` });
      assert.equal(message, `A: 1\r\nX-Seen: ${sender} ${n} ${body.length}\r\n\r\n${body}`);
    }
    await client.quit();
  }
  try {
    await Promise.all(Array.from({ length: 30 }, (_, id) => session(id)));
  } finally {
    await server.stop();
    await Deno.remove(folder, { recursive: true });
  }
  assert.equal(server.mails.length, 120);
  assert.equal(server.failures.length, 30);
  assert.ok(server.events.every((event) => event.endsWith("ended (quit)")), server.events.join("\n"));
});

Deno.test("what comes in single bytes, or all at once, is the same", async () => {
  const server = serving({
    header() {},
    body() {},
    message: (mail, { addHeader }) => addHeader("X-Size", String(mail.body.size)),
  });
  const text = (code: number, payload: string) => frameBytes(code, utf8(payload));
  const mail = concat(
    OFFER,
    text(SMFIC.MACRO, "Ci\0Q\0"),
    text(SMFIC.MAIL, "<a@b>\0"),
    text(SMFIC.RCPT, "<c@d>\0"),
    text(SMFIC.HEADER, "A\0b\0"),
    text(SMFIC.BODY, "hello"),
    text(SMFIC.BODYEOB, ""),
    text(SMFIC.QUIT, ""),
  );
  const whole = await said(server.connect(), mail);
  const bytes = await said(server.connect(), ...Array.from(mail, (byte) => Uint8Array.of(byte)));
  await server.stop();
  assert.ok(whole.length > 30);
  assert.deepEqual(bytes, whole);
});

Deno.test("strangers and broken frames end their own connection, with a reason in the log", async () => {
  const server = serving({ mail() {} });
  const rows: readonly (readonly [Uint8Array, string])[] = [
    [utf8("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "an HTTP client"],
    [Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3), "starts TLS"],
    [utf8("EHLO me.example\r\n"), "an SMTP client"],
    [utf8("zINSTREAM\0"), "a clamd client"],
    [Uint8Array.of(0, 0, 0, 0, 0x4f), "its length is 0"],
    [Uint8Array.of(0x7f, 0xff, 0xff, 0xff, 0x4f), "its length is 2147483647"],
    [frameBytes(SMFIC.MAIL, utf8("<a@b>\0")), "a connection starts with 'O'"],
    [concat(OFFER, frameBytes(0x7a)), "none of that name"],
    [concat(OFFER, frameBytes(SMFIC.MAIL, utf8("<a@b>"))), "no closing NUL"],
    [concat(OFFER, frameBytes(SMFIC.MAIL)), "ends before the address"],
    [concat(OFFER, OFFER), "does not allow it there"],
    [frameBytes(0x4f, new Uint8Array([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])), "offers version 1"],
  ];
  const healthy = await MtaClient.connect(server.connect());
  for (const [bytes, reason] of rows) {
    await said(server.connect(), bytes);
    await server.logged(reason);
    assert.match(server.events.at(-1)!, /^error Closed the connection from memory: Cannot /);
  }
  assert.equal((await healthy.sendMail()).verdict, "continue");
  await healthy.quit();
  await server.stop();
});

Deno.test("the limit of connections: one more is closed at once, one log line a burst", async () => {
  const server = serving({ mail() {} }, { limits: { connections: 2 } });
  const first = await MtaClient.connect(server.connect());
  const second = await MtaClient.connect(server.connect());
  for (let i = 0; i < 3; i++) {
    await assert.rejects(MtaClient.connect(server.connect()), { name: "MtaClientError", kind: "closed" });
  }
  assert.deepEqual(server.events.filter((event) => event.startsWith("warn")), [
    "warn Refusing connections: 2 are open, the limit is 2 (limits.connections)",
  ]);
  await first.quit();
  await server.logged("Accepting connections again; 3 were refused");
  const third = await MtaClient.connect(server.connect());
  assert.equal((await third.sendMail()).verdict, "continue");
  await third.quit();
  await second.quit();
  await server.stop();
});

Deno.test("limits of header, body and recipients: the policy decides, later mails pass", async () => {
  const filter: Filter = { message: (mail, { addHeader }) => addHeader("X-Size", String(mail.body.size)) };
  const limits = { headers: 100, body: 1000, recipients: 2 };
  const tooLarge = {
    header: { message: `A: ${"x".repeat(200)}\n\n` },
    body: { message: `A: 1\n\n${"x".repeat(1001)}` },
    rcpt: { recipients: ["a@x.example", "b@x.example", "c@x.example"] },
  };
  for (const outcome of ["tempfail", "reject", "accept"] as const) {
    for (const [hook, mail] of Object.entries(tooLarge)) {
      for (const version of [2, 6]) {
        const server = serving(filter, { limits, policy: outcome });
        const client = await MtaClient.connect(server.connect(), { version });
        const label = `${outcome} ${hook} ${version}`;
        const { verdict, edits, refused } = await client.sendMail(mail);
        if (hook === "rcpt" && outcome !== "accept" && version === 2) {
          // Recipients are answered there: the one over the limit is refused, the mail goes on.
          assert.deepEqual([verdict, refused.length], ["continue", 1], label);
        } else assert.deepEqual([verdict, edits], [outcome === "accept" ? verdict : outcome, []], label);
        assert.ok(verdict !== "reject" || outcome === "reject", label);
        assert.deepEqual(server.failures.map(({ kind, hook, outcome }) => `${kind} ${hook} ${outcome}`), [
          `limit ${hook} ${outcome}`,
        ]);
        const fine = await client.sendMail({ message: `A: 1\n\n${"x".repeat(1000)}` });
        assert.match(fine.message!, /X-Size: 1000/, label);
        await client.quit();
        await server.stop();
      }
    }
  }
});

Deno.test("the limit of a frame holds before the frame is there", async () => {
  const server = serving({ body() {} }, { limits: { frame: 70_000 } });
  await said(server.connect(), OFFER, Uint8Array.of(0, 1, 0x11, 0x71, 0x42));
  await server.logged("its length is 70001, the limit 70000");
  const client = await MtaClient.connect(server.connect());
  assert.equal((await client.sendMail({ message: `A: 1\n\n${"x".repeat(200_000)}` })).verdict, "continue");
  await client.quit();
  await server.stop();
});

Deno.test("a silent MTA is closed after the idle time, one that a hook keeps waiting is not", async () => {
  const hook = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<void>();
  const filter: Filter = {
    mail(sender) {
      if (sender.address !== "slow@example.org") return;
      entered.resolve();
      return hook.promise;
    },
  };
  const server = serving(filter, { limits: { idle: 1000 }, timeout: 100_000 });
  const idle = await MtaClient.connect(server.connect());
  const busy = await MtaClient.connect(server.connect());
  const sending = busy.sendMail({ sender: "slow@example.org" });
  await entered.promise;
  server.advance(1000);
  await server.logged("silent for 1000 ms");
  await assert.rejects(idle.sendMail(), { kind: "closed" });
  hook.resolve();
  assert.equal((await sending).verdict, "continue");
  await busy.quit();
  await server.stop();
  assert.equal(server.events.filter((event) => event.includes("silent")).length, 1);
});

Deno.test("an MTA that does not read its replies holds up itself only, and memory stays bounded", async () => {
  const server = serving({ header() {} }, { limits: { idle: 1000 } });
  const deaf = server.connect();
  const writer = deaf.writable.getWriter();
  await writer.write(concat(OFFER, frameBytes(SMFIC.MAIL, utf8("<a@b>\0"))));
  const fields = concat(...Array.from({ length: 1000 }, () => frameBytes(SMFIC.HEADER, utf8("A\0b\0"))));
  let stuck = false;
  const flooding = (async () => {
    while (!stuck) await writer.write(fields);
  })().catch(() => {});
  const other = await MtaClient.connect(server.connect());
  assert.equal((await other.sendMail()).verdict, "continue");
  await other.quit();
  // Once its buffers are full the server reads no more of it: that is silence.
  const idle = setInterval(() => server.advance(1000), 50);
  await server.logged("silent for 1000 ms");
  clearInterval(idle);
  stuck = true;
  deaf.close();
  await flooding;
  await server.stop();
});

Deno.test("close is called once a connection, abort once a mail, however the connection ends", async () => {
  const calls: string[] = [];
  const filter: Filter = {
    connect() {},
    mail() {},
    header() {},
    abort: ({ sender }) => void calls.push(`abort ${sender?.address}`),
    close: () => void calls.push("close"),
  };
  const server = serving(filter);
  const ways: readonly (readonly [(client: MtaClient) => Promise<void>, string[]])[] = [
    [(client) => client.quit(), ["close"]],
    [(client) => Promise.resolve(client.close()), ["close"]],
    [async (client) => {
      await client.sendMail();
      await client.quit();
    }, ["close"]],
    [async (client) => {
      await client.sendMail({}, { abortAfter: "header" });
      await client.quit();
    }, ["abort sender@example.org", "close"]],
    [async (client) => {
      await client.command({ kind: "mail", address: utf8("<m@x>"), args: [] });
      client.close();
    }, ["abort m@x", "close"]],
    [async (client) => {
      await client.command({ kind: "mail", address: utf8("<m@x>"), args: [] });
      await client.quit();
    }, ["abort m@x", "close"]],
    [async (client) => {
      await client.sendMail();
      await client.newConnection();
      await client.quit();
    }, ["close", "close"]],
  ];
  for (const [way, expected] of ways) {
    calls.length = 0;
    const before = server.events.length;
    const client = await MtaClient.connect(server.connect());
    await way(client);
    while (server.events.length === before) await new Promise((resolve) => setTimeout(resolve));
    assert.deepEqual(calls, expected, way.toString());
  }
  calls.length = 0;
  await said(server.connect(), utf8("GET / HTTP/1.1\r\n\r\n"));
  server.connect().close();
  await server.stop();
  assert.deepEqual(calls, [], "a connection that never was one has no close");
});

Deno.test("the report of a mail says who, what and why", async () => {
  const server = serving({
    name: "gate",
    rcpt: (recipient) => recipient.domain === "bad.example" ? reject() : undefined,
    message(mail, { addHeader }) {
      if (mail.sender.address === "") return reject("5.7.1", "no bounces");
      addHeader("A", "1");
      addHeader("B", "2");
      return accept();
    },
  });
  const client = await MtaClient.connect(server.connect(), {
    client: { host: "mx.example", address: "192.0.2.9" },
  });
  await client.sendMail({ recipients: ["a@bad.example", "b@ok.example", "c@ok.example"] });
  await client.sendMail({ sender: "" });
  await client.sendMail({}, { abortAfter: "rcpt" });
  await client.quit();
  await server.stop();
  const short = server.mails.map((
    { queueId, client, sender, recipients, refused, verdict, reply, edits, stage },
  ) => ({
    queueId,
    client,
    sender,
    recipients,
    refused,
    verdict,
    reply,
    edits,
    stage,
  }));
  const common = { client: "192.0.2.9", refused: 0 };
  assert.deepEqual(short, [
    {
      ...common,
      queueId: "TEST1",
      sender: "sender@example.org",
      recipients: 2,
      refused: 1,
      verdict: "accept",
      reply: undefined,
      edits: 2,
      stage: "endOfMessage",
    },
    {
      ...common,
      queueId: "TEST2",
      sender: "",
      recipients: 1,
      verdict: "reject",
      reply: "550 5.7.1 no bounces",
      edits: 0,
      stage: "endOfMessage",
    },
    {
      ...common,
      queueId: undefined,
      sender: "sender@example.org",
      recipients: 1,
      verdict: "none",
      reply: undefined,
      edits: 0,
      stage: "abort",
    },
  ]);
  assert.ok(server.mails.every(({ filter }) => filter === "gate"));
});

Deno.test("a connection that is accepted while the server stops is ended as well", async () => {
  const closed = Promise.withResolvers<void>();
  const [near, far] = memoryPair();
  const late: Listener = {
    address: "late",
    close: () => closed.resolve(),
    async *[Symbol.asyncIterator]() {
      await closed.promise;
      yield far;
    },
  };
  const server = serving({ mail() {} }, { listeners: [late] });
  await server.stop();
  assert.deepEqual(await said(near), new Uint8Array(0));
});
