import assert from "node:assert/strict";
import { test } from "node:test";
import { serving } from "../../tests/helpers/serving.ts";
import { concat, frameBytes, utf8 } from "../../tests/property/wire.ts";
import { accept, discard, type Filter, reject, tempfail } from "../filter/mod.ts";
import { memoryPair } from "../transport/memory.ts";
import type { Connection } from "../transport/types.ts";
import { MtaClient } from "./mta_client.ts";
import { MtaClientError, type MtaClientOptions } from "./mta_client_types.ts";
import { lettersOf } from "./trace.ts";

const DIALECTS = ["postfix", "sendmail"] as const;

/** Runs `work` with a client of a filter that millrace serves in memory. */
async function withClient(
  filter: Filter,
  options: MtaClientOptions,
  work: (client: MtaClient, server: ReturnType<typeof serving>) => Promise<void>,
): Promise<void> {
  const server = serving(filter);
  try {
    const client = await MtaClient.connect(server.connect(), options);
    await work(client, server);
  } finally {
    await server.stop();
  }
}

/** A client whose peer answers whatever comes with the given bytes, one piece for each read, then as `end` says. */
function withPeer(pieces: readonly Uint8Array[], end: "close" | "silent" = "silent"): Connection {
  const [client, peer] = memoryPair();
  const reader = peer.readable.getReader();
  const writer = peer.writable.getWriter();
  (async () => {
    for (const piece of pieces) {
      await reader.read();
      await writer.write(piece);
    }
    if (end === "close") {
      await reader.read();
      peer.close();
    } else while (!(await reader.read()).done);
  })().catch(() => {});
  return client;
}

const AGREED = frameBytes(0x4f, new Uint8Array([0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0, 0, 0]));
const CONTINUE = frameBytes(0x63);

test("many mails over one connection, each with its own outcome", async () => {
  const filter: Filter = {
    mail: (sender) => sender.domain === "bad.example" ? reject("5.7.1", "not from there") : undefined,
    rcpt: (recipient) => recipient.domain === "none.example" ? tempfail() : undefined,
    message(mail, { addHeader, addRecipient, replaceBody }) {
      const kind = mail.headers.get("X-Do");
      if (kind === "accept") return accept();
      if (kind === "discard") return discard();
      if (kind === "edit") {
        addHeader("X-Seen", mail.sender.address);
        replaceBody("new\r\n");
        addRecipient("extra@example.com");
      }
    },
  };
  for (const dialect of DIALECTS) {
    await withClient(filter, { dialect }, async (client, server) => {
      const results = [
        await client.sendMail({ message: "X-Do: edit\n\nold\n" }),
        await client.sendMail({ sender: "x@bad.example" }),
        await client.sendMail({ recipients: ["a@none.example", "b@example.com"] }),
        await client.sendMail({ recipients: ["a@none.example"] }),
        await client.sendMail({ message: "X-Do: discard\n\n" }),
        await client.sendMail({ message: "X-Do: accept\n\n" }),
        await client.sendMail({ sender: "", message: "A: 1\n\n" }),
      ];
      await client.quit();
      assert.deepEqual(results.map(({ verdict, stage }) => `${verdict} ${stage}`), [
        "continue endOfMessage",
        "reject mail",
        "continue endOfMessage",
        "tempfail rcpt",
        "discard endOfMessage",
        "continue endOfMessage",
        "continue endOfMessage",
      ]);
      assert.equal(results[0].message, "X-Do: edit\r\nX-Seen: sender@example.org\r\n\r\nnew\r\n");
      assert.deepEqual(results[0].mail?.recipients, ["<recipient@example.com>", "<extra@example.com>"]);
      assert.equal(results[1].reply, "550 5.7.1 not from there");
      assert.deepEqual(results[2].refused, [{ recipient: "<a@none.example>", reply: undefined }]);
      assert.deepEqual(results[2].mail?.recipients, ["<b@example.com>"]);
      assert.equal(results[6].message, "A: 1\r\n\r\n");
      for (const { warnings } of results) assert.deepEqual(warnings, []);
      assert.equal(server.mails.length, 7);
      assert.deepEqual(server.failures, []);
    });
  }
});

test("frames go in the dialect's order", async () => {
  const filter: Filter = {
    connect() {},
    helo() {},
    mail() {},
    rcpt() {},
    data() {},
    header() {},
    body() {},
    endOfMessage() {},
  };
  const expected = {
    postfix: "O D C D H D M D R D T D L D B D E A D M D R A D M D R D T D L D B D E A A Q",
    sendmail: "O D C D H D M D R T L B D E D M D R A D M D R T L B D E Q",
  };
  for (const dialect of DIALECTS) {
    await withClient(filter, { dialect }, async (client) => {
      await client.sendMail();
      await client.sendMail({}, { abortAfter: "rcpt" });
      await client.sendMail();
      await client.quit();
      assert.equal(lettersOf(client.trace, "mta"), expected[dialect]);
    });
  }
});

test("a mail broken off at every stage is aborted, and the next one is whole", async () => {
  const aborted: number[] = [];
  const filter: Filter = {
    mail() {},
    rcpt() {},
    data() {},
    header() {},
    endOfHeaders() {},
    body() {},
    endOfMessage: ({ headers, recipients, addHeader }) =>
      addHeader("X-Saw", `${headers.length} ${recipients.length}`),
    abort: (context) => void aborted.push(context.headers.length),
  };
  for (const dialect of DIALECTS) {
    for (const version of [2, 4, 6]) {
      aborted.length = 0;
      await withClient(filter, { dialect, version }, async (client) => {
        for (const abortAfter of ["mail", "rcpt", "data", "header", "endOfHeaders", "body"] as const) {
          const broken = await client.sendMail({ recipients: ["a@x.example", "b@x.example"] }, {
            abortAfter,
          });
          assert.deepEqual([broken.stage, broken.mail], [abortAfter, undefined]);
          const whole = await client.sendMail();
          assert.match(whole.message!, /X-Saw: 1 1\r/, `${dialect} ${version} ${abortAfter}`);
        }
        await client.quit();
      });
      assert.deepEqual(aborted, [0, 0, 0, 1, 1, 1], `${dialect} ${version}`);
    }
  }
});

test("a connection that the filter ends: mails pass it by, or are refused with it", async () => {
  for (const dialect of DIALECTS) {
    await withClient(
      { connect: () => reject("5.7.1", "go away"), mail() {} },
      { dialect },
      async (client) => {
        const first = await client.sendMail();
        const second = await client.sendMail();
        assert.deepEqual([first.verdict, first.stage, first.reply], [
          "reject",
          "connect",
          "550 5.7.1 go away",
        ]);
        assert.deepEqual([second.verdict, second.stage, second.trace], ["reject", "connect", []]);
        assert.equal(client.over, true);
        await client.quit();
        assert.equal(lettersOf(client.trace, "mta"), dialect === "postfix" ? "O D C" : "O D C Q");
      },
    );
    await withClient({ helo: () => accept(), mail: () => reject() }, { dialect }, async (client) => {
      const { verdict, stage, mail } = await client.sendMail();
      assert.deepEqual([verdict, stage, mail?.recipients], ["accept", "helo", ["<recipient@example.com>"]]);
      await client.quit();
    });
  }
});

test("a second SMTP connection on the same socket", async () => {
  let closed = 0;
  const hosts: string[] = [];
  const filter: Filter = {
    connect: (client, { connection }) => {
      hosts.push(`${client.host} ${Object.keys(connection).length}`);
      connection.seen = true;
    },
    message: (_mail, { addHeader }) => addHeader("X", "y"),
    close: () => void closed++,
  };
  await withClient(filter, {}, async (client) => {
    await client.sendMail();
    await client.newConnection();
    assert.equal(closed, 1);
    assert.match((await client.sendMail()).message!, /X: y/);
    await client.quit();
  });
  assert.deepEqual(hosts, ["client.example.org 0", "client.example.org 0"]);
  assert.equal(closed, 2);
});

test("macros reach the filter as each mail server sends them", async () => {
  const seen: (string | undefined)[] = [];
  const filter: Filter = {
    mail: (_sender, { macros, queueId }) => void seen.push(queueId, macros.get("mail_host")),
    rcpt: (_recipient, { queueId }) => void seen.push(queueId),
    endOfMessage: ({ macros, queueId }) =>
      void seen.push(queueId, macros.get("{auth_type}"), macros.get("msg_id")),
  };
  const mail = {
    message: "Message-Id: <1@x>\n\n",
    recipients: ["a@x.example", "b@x.example"],
    macros: { "{auth_type}": "PLAIN" },
  };
  const expected = {
    postfix: [undefined, "example.org", undefined, "TEST1", "TEST1", "PLAIN", undefined],
    sendmail: ["TEST1", "example.org.", "TEST1", "TEST1", "TEST1", "PLAIN", "<1@x>"],
  };
  for (const dialect of DIALECTS) {
    seen.length = 0;
    await withClient(filter, { dialect }, async (client) => {
      await client.sendMail(mail);
      await client.quit();
    });
    assert.deepEqual(seen, expected[dialect], dialect);
  }
});

test("a filter's own macro lists are honoured", async () => {
  let seen: string | undefined;
  const filter: Filter = {
    macros: { endOfMessage: ["client_addr"] },
    endOfMessage: ({ macros }) => void (seen = macros.get("client_addr")),
  };
  for (const dialect of DIALECTS) {
    seen = undefined;
    await withClient(
      filter,
      { dialect, client: { host: "[2001:db8::1]", address: "2001:db8::1" } },
      async (client) => {
        await client.sendMail();
        await client.quit();
        assert.deepEqual(client.warnings, []);
      },
    );
    assert.equal(seen, "IPv6:2001:db8::1", dialect);
  }
});

test("leading blanks are added and taken off again", async () => {
  const filter: Filter = {
    leadingSpace: true,
    header: (field) => assert.deepEqual(field.raw, utf8(" test")),
    endOfMessage: ({ addHeader }) => addHeader("X-A", " b"),
  };
  await withClient(filter, {}, async (client, server) => {
    assert.equal((await client.sendMail()).message, "Subject: test\r\nX-A: b\r\n\r\nTest.\r\n");
    await client.quit();
    assert.deepEqual(server.failures, []);
  });
});

test("the connection is closed and the error says what came instead of an answer", async () => {
  const rows: readonly (readonly [string, readonly Uint8Array[], string, RegExp])[] = [
    [
      "HTTP",
      [utf8("HTTP/1.1 400 Bad Request\r\n\r\n")],
      "stranger",
      /an HTTP server \(it said "HTTP\/1.1 400/,
    ],
    ["clamd", [utf8("UNKNOWN COMMAND\n")], "stranger", /clamd itself/],
    ["SMTP", [utf8("220 mx.example ESMTP\r\n")], "stranger", /an SMTP or FTP server/],
    ["TLS", [new Uint8Array([0x15, 3, 1, 0, 2, 2, 10])], "stranger", /a TLS server/],
    ["text", [utf8("hello, who is there?\n")], "stranger", /some other server \(it said "hello, who/],
    ["a reply instead of options", [CONTINUE], "broken", /'O' \(SMFIC_OPTNEG\) is expected/],
    [
      "more than offered",
      [frameBytes(0x4f, new Uint8Array([0, 0, 0, 6, 0, 0, 2, 0, 0, 0, 0, 0]))],
      "broken",
      /not offered/,
    ],
    ["short options", [frameBytes(0x4f, new Uint8Array(8))], "broken", /ends inside the protocol flags/],
    ["length 0", [new Uint8Array(8)], "broken", /length is 0/],
  ];
  for (const [name, pieces, kind, message] of rows) {
    const connection = withPeer(pieces);
    await assert.rejects(MtaClient.connect(connection, { timeout: 10_000 }), (error) => {
      assert.ok(error instanceof MtaClientError, name);
      assert.equal(error.kind, kind, name);
      assert.match(error.message, message, name);
      return true;
    });
  }
  await assert.rejects(MtaClient.connect(withPeer([], "close")), {
    kind: "closed",
    message: /may be no milter/,
  });
  await assert.rejects(MtaClient.connect(withPeer([]), { timeout: 5 }), {
    kind: "timeout",
    message: /is a milter listening/,
  });
});

test("broken answers in a mail", async () => {
  const edit = frameBytes(0x68, utf8("X\0y\0"));
  const reads = (...pieces: Uint8Array[]) => [AGREED, ...pieces];
  const rows: readonly (readonly [string, readonly Uint8Array[], string, RegExp])[] = [
    ["an edit at CONNECT", reads(edit), "broken", /only come while the end of the message is answered/],
    ["two answers", reads(concat(CONTINUE, CONTINUE)), "broken", /no command waits for one/],
    ["a byte too many", reads(frameBytes(0x63, utf8("x"))), "broken", /bytes too many/],
    ["a bad reply text", reads(frameBytes(0x79, utf8("550 4.7.1 no\0"))), "broken", /not of class 5/],
    ["nothing", reads(), "timeout", /did not send the answer to 'C' within 20 ms/],
    ["nothing at HELO", reads(CONTINUE), "timeout", /the answer to 'H'/],
  ];
  for (const [name, pieces, kind, message] of rows) {
    const client = await MtaClient.connect(withPeer(pieces), {
      timeout: name.startsWith("nothing") ? 20 : 10_000,
    });
    await assert.rejects(client.sendMail(), { kind, message }, name);
  }
  const gone = await MtaClient.connect(withPeer([AGREED], "close"));
  await assert.rejects(gone.sendMail(), { kind: "closed", message: /its log may say why/ });
});

test("progress starts the wait anew, but Sendmail's limit for the end of a message holds", async () => {
  const [near, far] = memoryPair();
  const writer = far.writable.getWriter();
  const reader = far.readable.getReader();
  const frames = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) await reader.read();
  };
  const connecting = MtaClient.connect(near, { dialect: "sendmail", timeout: 10_000, endTimeout: 60 });
  await frames(1);
  // Nothing but the end of the message is wanted.
  await writer.write(frameBytes(0x4f, new Uint8Array([0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 3, 0x7f])));
  const client = await connecting;
  const sending = client.sendMail();
  const failed = assert.rejects(sending, { kind: "timeout", message: /the answer to 'E'/ });
  const beat = setInterval(() => void writer.write(frameBytes(0x70)).catch(() => {}), 5);
  await failed;
  clearInterval(beat);
  assert.ok(lettersOf(client.trace, "filter").startsWith("O p"));
});

test("an abort signal closes the connection and is the reason", async () => {
  const controller = new AbortController();
  const client = await MtaClient.connect(withPeer([AGREED]), { signal: controller.signal });
  const sending = client.sendMail();
  const reason = new Error("enough");
  controller.abort(reason);
  await assert.rejects(sending, (error) => error === reason);
  await assert.rejects(
    MtaClient.connect(withPeer([]), { signal: controller.signal }),
    (error) => error === reason,
  );
});

test("the trace is fit for people, whatever the bytes", async () => {
  await withClient(
    { header() {}, message: (_mail, { addHeader }) => addHeader("X-A", "b\n c") },
    {},
    async (client) => {
      await client.sendMail({ message: `Subject: a\x1b[31m${"x".repeat(1000)}\n\n${"y".repeat(70_000)}` });
      await client.quit();
      const details = client.trace.map(({ name, detail }) => `${name} ${detail}`);
      assert.ok(details.includes("SMFIC_BODY 65535 bytes"));
      assert.ok(details.includes("SMFIR_INSHEADER 2147483647 X-A: b\\n c"));
      const subject = details.find((detail) => detail.startsWith("SMFIC_HEADER"))!;
      assert.match(subject, /^SMFIC_HEADER Subject: a\\u\{1b\}\[31mx+…$/);
      assert.ok(subject.length < 400);
    },
  );
});
