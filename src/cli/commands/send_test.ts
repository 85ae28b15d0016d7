import assert from "node:assert/strict";
import { serving } from "../../../tests/helpers/serving.ts";
import { utf8 } from "../../../tests/property/wire.ts";
import type { Filter } from "../../filter/mod.ts";
import { parseAddress } from "../../transport/address.ts";
import { listen } from "../../transport/deno.ts";
import { readArgs } from "../args.ts";
import { CommandError, UsageError } from "../command.ts";
import { helpOf } from "../args.ts";
import { type TestIo, testIo, type TestIoOptions } from "../test_io.ts";
import { command } from "./send.ts";

const MAIL = "Subject: hi\nX-Tag: 1\n\nHello\n";
const FILES = { "a.eml": MAIL, "b.eml": "Subject: two\n\nBye\n" };

/** Runs `send` with these arguments behind the socket; a command error is given as its message. */
async function run(
  args: readonly string[],
  options: TestIoOptions = {},
): Promise<{ code: number; error: string; io: TestIo }> {
  const io = testIo({ files: FILES, ...options });
  try {
    return { code: await command.run(readArgs(command.spec, args), io), error: "", io };
  } catch (error) {
    if (error instanceof UsageError) return { code: 2, error: error.message, io };
    if (error instanceof CommandError) return { code: error.exitCode, error: error.message, io };
    throw error;
  }
}

/** Runs `work` with the address of a filter that millrace serves. */
async function withFilter(
  filter: Filter,
  work: (socket: string, server: ReturnType<typeof serving>) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "millrace-send-" });
  const listeners = await Promise.all(
    ["inet:0@127.0.0.1", `unix:${folder}/m.sock`].map((spec) => listen(parseAddress(spec))),
  );
  const server = serving(filter, { listeners });
  try {
    for (const { address } of listeners) await work(address, server);
  } finally {
    await server.stop();
    await Deno.remove(folder, { recursive: true });
  }
}

/** Runs `work` with the address of a server that says `greeting`, and `answer` to whatever comes. */
async function withStranger(
  { greeting = "", answer = "" }: { readonly greeting?: string; readonly answer?: string },
  work: (socket: string) => Promise<void>,
): Promise<void> {
  const listener = await listen(parseAddress("inet:0@127.0.0.1"));
  const serving = (async () => {
    for await (const connection of listener) {
      (async () => {
        const writer = connection.writable.getWriter();
        if (greeting !== "") await writer.write(utf8(greeting));
        for await (const bytes of connection.readable) {
          // Text protocols answer whole lines.
          if (answer !== "" && bytes.includes(0x0a)) await writer.write(utf8(answer));
        }
      })().catch(() => {});
    }
  })();
  try {
    await work(listener.address);
  } finally {
    listener.close();
    await serving;
  }
}

Deno.test("send shows frames, verdict, envelope and difference, all mails over one connection", async () => {
  const filter: Filter = {
    header() {},
    message: (_mail, { addHeader, removeHeader, addRecipient, quarantine }) => {
      addHeader("X-Seen", "yes");
      removeHeader("X-Tag");
      addRecipient("<new@example.com>");
      quarantine("odd");
    },
  };
  await withFilter(filter, async (socket, server) => {
    const before = server.events.length;
    const { code, io } = await run([socket, "a.eml", "b.eml"]);
    assert.equal(code, 0);
    assert.equal(
      io.out().slice(0, io.out().indexOf("b.eml\n")),
      `a.eml
  > O SMFIC_OPTNEG version 6, actions 0x1ff, protocol 0x1fffff
  < O SMFIC_OPTNEG ${/OPTNEG (version 6, actions 0xff, .*)\n {2}>/.exec(io.out())?.[1]}
  > C SMFIC_CONNECT client.example.org inet 192.0.2.1 port 40000
  > H SMFIC_HELO client.example.org
  > M SMFIC_MAIL <sender@example.org>
  > R SMFIC_RCPT <recipient@example.com>
${socket.startsWith("inet") ? "  > T SMFIC_DATA\n  < c SMFIR_CONTINUE\n" : ""}  > L SMFIC_HEADER Subject: hi
  < c SMFIR_CONTINUE
  > L SMFIC_HEADER X-Tag: 1
  < c SMFIR_CONTINUE
  > B SMFIC_BODY 7 bytes
  > E SMFIC_BODYEOB
  < m SMFIR_CHGHEADER 1 X-Tag:${" "}
  < i SMFIR_INSHEADER 2147483647 X-Seen: yes
  < + SMFIR_ADDRCPT <new@example.com>
  < q SMFIR_QUARANTINE odd
  < c SMFIR_CONTINUE
continue at endOfMessage
envelope <sender@example.org> to <recipient@example.com> <new@example.com>
quarantine: odd
--- a.eml
+++ a.eml (edited)
@@ -1,4 +1,4 @@
 Subject: hi
-X-Tag: 1
+X-Seen: yes
${" "}
 Hello

`,
    );
    while (server.events.length === before) await new Promise((resolve) => setTimeout(resolve));
    assert.equal(server.events.length, before + 1, "one connection for both mails");
  });
});

Deno.test("send plays what the options say", async () => {
  const seen: string[] = [];
  const filter: Filter = {
    negotiate: (offer) => void seen.push(`v${offer.version}`),
    connect: (client) => void seen.push(`${client.host} ${client.address}`),
    helo: (name) => void seen.push(name),
    mail: (sender, { macros }) =>
      void seen.push(`${sender.address} ${macros.get("auth_type")} ${macros.get("i")}`),
    rcpt: (recipient) => void seen.push(recipient.address),
  };
  await withFilter(filter, async (socket) => {
    seen.length = 0;
    const options = [
      "--dialect",
      "sendmail",
      "--from",
      "<me@x.example>",
      "--rcpt",
      "a@x.example",
      "--rcpt",
      "b@x.example",
    ];
    const client = [
      "--client",
      "mx.x.example[2001:db8::1]",
      "--helo",
      "hi.x.example",
      "--macro",
      "auth_type=PLAIN=x",
    ];
    const { code, io } = await run([
      socket,
      "a.eml",
      ...options,
      ...client,
      "--protocol-version",
      "4",
      "--macros",
    ]);
    assert.equal(code, 0, io.err());
    assert.deepEqual(seen, [
      "v4",
      "mx.x.example 2001:db8::1",
      "hi.x.example",
      "me@x.example PLAIN=x TEST1",
      "a@x.example",
      "b@x.example",
    ]);
    assert.match(io.out(), / {2}> D SMFIC_MACRO 'M' i=TEST1 \{auth_type\}=PLAIN=x /);
    assert.match(io.out(), /CONNECT mx\.x\.example inet6 IPv6:2001:db8:0:0:0:0:0:1 port 40000\n/);
  });
});

Deno.test("send shows refusals, and opens a new connection where the milter ended it", async () => {
  const filter: Filter = {
    helo: (name, { reject }) => name === "bad.example" ? reject("5.7.1", "not you") : undefined,
    rcpt: (recipient, { tempfail }) =>
      recipient.domain === "later.example" ? tempfail("4.7.1", "later") : undefined,
  };
  await withFilter(filter, async (socket) => {
    const refused = await run([socket, "a.eml", "b.eml", "--helo", "bad.example"]);
    assert.equal(refused.code, 0);
    assert.equal(refused.io.out().match(/> O SMFIC_OPTNEG/g)?.length, 2);
    assert.equal(refused.io.out().match(/^reject at helo: 550 5\.7\.1 not you$/gm)?.length, 2);
    const some = await run([socket, "a.eml", "--rcpt", "a@later.example", "--rcpt", "b@x.example"]);
    assert.match(
      some.io.out(),
      /^refused <a@later\.example>: 451 4\.7\.1 later\nenvelope .* to <b@x\.example>$/m,
    );
  });
});

Deno.test("send --json and --whole", async () => {
  await withFilter({ message: (_mail, { addHeader }) => addHeader("X-A", "b") }, async (socket) => {
    const { io } = await run([socket, "a.eml", "--json", "--whole"]);
    const [result, ...rest] = JSON.parse(io.out());
    assert.deepEqual(rest, []);
    assert.deepEqual([result.file, result.verdict, result.stage], ["a.eml", "continue", "endOfMessage"]);
    assert.equal(result.message, "Subject: hi\r\nX-Tag: 1\r\nX-A: b\r\n\r\nHello\r\n");
    assert.deepEqual(result.recipients, ["<recipient@example.com>"]);
    assert.deepEqual(result.frames.at(-1), {
      from: "filter",
      letter: "c",
      name: "SMFIR_CONTINUE",
      detail: "",
    });
    assert.match(result.diff, /^\+X-A: b$/m);
    const text = await run([socket, "a.eml", "--whole"]);
    assert.match(text.io.out(), /\nSubject: hi\nX-Tag: 1\nX-A: b\n\nHello\n/);
  });
});

Deno.test("nothing of a mail or reply steers the terminal", async () => {
  const filter: Filter = { message: (_mail, { addHeader }) => addHeader("X-A", "\x1b[2J") };
  await withFilter(filter, async (socket) => {
    for (const whole of [[], ["--whole"]]) {
      const { io } = await run([socket, "evil.eml", ...whole], {
        files: { "evil.eml": "Subject: \x1b[31m\u202e\n\n\x9b2J\x07\n" },
      });
      assert.doesNotMatch(io.out().replaceAll("\n", ""), /[\p{Cc}\p{Cf}]/u);
    }
  });
});

Deno.test("a wrong port is named", async () => {
  const rows: readonly (readonly [Parameters<typeof withStranger>[0], RegExp])[] = [
    [{ answer: "HTTP/1.1 400 Bad Request\r\n\r\n" }, /the peer is an HTTP server/],
    [{ answer: "UNKNOWN COMMAND\n" }, /the peer is clamd itself; point to the port of clamav-milter/],
    [{ greeting: "220 mx.example ESMTP\r\n" }, /the peer is an SMTP or FTP server/],
    [{ greeting: "* OK IMAP4 ready\r\n" }, /the peer is an IMAP server/],
    [{}, /did not send the answer to the option negotiation within 100 ms: is a milter listening there\?/],
  ];
  for (const [stranger, message] of rows) {
    await withStranger(stranger, async (socket) => {
      const { code, error } = await run([socket, "a.eml", "--timeout", "100ms"]);
      assert.equal(code, 1);
      assert.match(error, message);
      assert.ok(error.startsWith(`${socket}: `), error);
    });
  }
});

Deno.test("wrong usage, with what to write instead", async () => {
  const rows: readonly (readonly [readonly string[], RegExp])[] = [
    [["inet:127.0.0.1:8891", "a.eml"], /the order of Postfix.*write inet:8891@127\.0\.0\.1/],
    [["tcp:8891@127.0.0.1", "a.eml"], /write inet:8891@127\.0\.0\.1/],
    [["127.0.0.1:8891", "a.eml"], /write inet:8891@127\.0\.0\.1/],
    [["/run/m.sock", "a.eml"], /write unix:\/run\/m\.sock/],
    [["inet:8891@0.0.0.0", "a.eml"], /for listening only; write inet:8891@127\.0\.0\.1/],
    [["inet:0@127.0.0.1", "a.eml"], /port 0 is only for listening/],
    [["unix:/m", "a.eml", "--dialect", "exim"], /--dialect is "exim", expected postfix or sendmail/],
    [["unix:/m", "a.eml", "--protocol-version", "7"], /--protocol-version is "7", expected 2 to 6/],
    [["unix:/m", "a.eml", "--timeout", "soon"], /--timeout is "soon", expected a time such as/],
    [["unix:/m", "a.eml", "--timeout", "0s"], /--timeout is "0s"/],
    [["unix:/m", "a.eml", "--macro", "i"], /--macro is "i", expected NAME=VALUE/],
    [["unix:/m", "a.eml", "--client", "mx.example"], /--client is "mx\.example", expected HOST\[IP\]/],
    [["unix:/m"], /SOCKET MAIL\.eml… is missing/],
  ];
  for (const [args, message] of rows) {
    const { code, error } = await run(args);
    assert.equal(code, 2, args.join(" "));
    assert.match(error, message);
  }
});

Deno.test("what cannot be reached or read is 1, and what was done before is shown", async () => {
  const gone = await run(["unix:/nowhere/at/all.sock", "a.eml"]);
  assert.equal(gone.code, 1);
  assert.match(gone.error, /^Cannot connect to unix:\/nowhere\/at\/all\.sock: there is no such socket/);
  await withFilter({ message: () => {} }, async (socket) => {
    const { code, error, io } = await run([socket, "a.eml", "none.eml", "--json"]);
    assert.equal(code, 1);
    assert.equal(error, 'Cannot read the mail "none.eml": there is no such file');
    assert.equal(JSON.parse(io.out()).length, 1);
  });
});

Deno.test("the help says what the exit codes are", () => {
  assert.match(helpOf(command.spec), /Exit codes: 0 the milter answered every mail/);
});
