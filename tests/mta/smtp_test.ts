import { deepEqual, equal, rejects, throws } from "node:assert/strict";
import { bytesOf, dotStuffed, latin1, SmtpClient } from "./smtp.ts";

Deno.test("dotStuffed() doubles dots at the start of lines and closes the message", () => {
  const rows: readonly (readonly [message: string, wire: string])[] = [
    ["", ".\r\n"],
    ["a", "a\r\n.\r\n"],
    ["a\n", "a\r\n.\r\n"],
    [".\n..\na.\n", "..\r\n...\r\na.\r\n.\r\n"],
    ["a\r\n\n.b", "a\r\n\r\n..b\r\n.\r\n"],
    ["\xff\n", "\xff\r\n.\r\n"],
  ];
  for (const [message, wire] of rows) equal(latin1(dotStuffed(message)), wire, message);
  equal(latin1(dotStuffed(bytesOf("a\n.b\r\n"))), "a\n..b\r\n.\r\n");
  throws(() => dotStuffed("\u20ac"), RangeError);
});

/** A server that says these pieces, the first at once and one more for each thing it hears, and then listens on. */
function scripted(...pieces: string[]): { port: number } & AsyncDisposable {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    using connection = await listener.accept();
    for (const piece of pieces) {
      await connection.write(bytesOf(piece));
      if (await connection.read(new Uint8Array(1000)) === null) return;
    }
    while (await connection.read(new Uint8Array(1000)) !== null) { /* silence */ }
  })();
  return {
    port: listener.addr.port,
    async [Symbol.asyncDispose]() {
      listener.close();
      await serving.catch(() => {});
    },
  };
}

Deno.test("SmtpClient reads replies of several lines, and two that come at once", async () => {
  await using server = scripted("220 hi\r\n", "250-one\r\n250-\r\n250 three\r\n354 go\r\n");
  await using smtp = await SmtpClient.connect({ port: server.port });
  equal(smtp.greeting.code, 220);
  deepEqual(await smtp.command("A"), {
    code: 250,
    lines: ["one", "", "three"],
    raw: "250-one\r\n250-\r\n250 three\r\n",
  });
  equal((await smtp.command("B")).code, 354);
});

Deno.test("SmtpClient says what it waited for when no reply comes in time", async () => {
  await using server = scripted("220 hi\r\n", "250-");
  await using smtp = await SmtpClient.connect({ port: server.port, timeout: 50 });
  await rejects(smtp.ehlo(), /Waiting for the reply to "EHLO client.lab.example": nothing came within 50 ms/);
  await rejects(smtp.rset(), /the connection is closed/);
});

Deno.test("SmtpClient ends its wait when the signal says so", async () => {
  await using server = scripted("220 hi\r\n", "");
  const abort = new AbortController();
  await using smtp = await SmtpClient.connect({ port: server.port, signal: abort.signal });
  const reply = rejects(smtp.rset(), /Waiting for the reply to "RSET": the test gave up/);
  abort.abort();
  await reply;
});

Deno.test("SmtpClient refuses what is no reply", async () => {
  await using server = scripted("HTTP/1.1 400 Bad Request\r\n");
  await rejects(
    SmtpClient.connect({ port: server.port }),
    /"HTTP\/1.1 400 Bad Request\r\n" is no line of an SMTP reply/,
  );
});
