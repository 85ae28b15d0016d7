// Another millrace as the upstream, over real sockets; and servers there that are no milter.
import assert from "node:assert/strict";
import type { Filter } from "../../src/filter/mod.ts";
import { InlineLink } from "../../src/links/inline.ts";
import { DEFAULT_LIMITS } from "../../src/server/limits.ts";
import { uniformPolicy } from "../../src/session/policy.ts";
import { MtaClient } from "../../src/testing/mta_client.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { dial, listen } from "../../src/transport/deno.ts";
import { Millrace, upstreamOf } from "./upstreams.ts";

const DIALECTS = ["postfix", "sendmail"] as const;

/** Reads everything, edits everything. */
const BUSY: Filter = {
  name: "busy",
  async message(mail, edits) {
    let size = 0;
    for await (const chunk of mail.body.stream()) size += chunk.length;
    edits.addHeader("X-Size", String(size));
    edits.insertHeader(0, "X-Top", `${mail.sender.address} ${mail.recipients.length}`);
    edits.changeHeader("Subject", "changed");
    edits.addRecipient("<more@example.org>");
    edits.replaceBody(mail.body.bytes().slice(0, 300_000));
    return mail.sender.address.startsWith("bad") ? edits.reject("5.7.1", "100% no") : undefined;
  },
};

function inline(filter: Filter): InlineLink {
  return new InlineLink({
    name: filter.name ?? "f",
    filter,
    policy: uniformPolicy(),
    limits: DEFAULT_LIMITS,
  });
}

for (const kind of ["tcp", "unix"] as const) {
  Deno.test(`millrace behind millrace behind millrace, over ${kind}: all mails as with the filter alone`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "millrace-upstream-" });
    const address = (n: number) =>
      parseAddress(kind === "tcp" ? "inet:0@127.0.0.1" : `unix:${folder}/m${n}.sock`);
    const [lowest, middle] = await Promise.all([listen(address(0)), listen(address(1))]);
    const last = new Millrace(inline(BUSY), 60_000, [lowest]);
    const inner = upstreamOf(dial, { address: parseAddress(lowest.address) }).link;
    const second = new Millrace(inner, 60_000, [middle]);
    const outer = upstreamOf(dial, { address: parseAddress(middle.address) }).link;
    const first = new Millrace(outer);
    const message = `Subject: old\n\n${"line of text\n".repeat(100_000)}`;
    for (const dialect of DIALECTS) {
      for (const version of [2, 4, 6]) {
        const [direct, through] = await Promise.all(
          [last, first].map((millrace) => MtaClient.connect(millrace.connect(), { dialect, version })),
        );
        for (const sender of ["a@x.example", "bad@x.example", "b@x.example"]) {
          const [left, right] = await Promise.all(
            [direct, through].map((client) => client.sendMail({ sender, message })),
          );
          const label = `${dialect} ${version} ${sender}`;
          assert.deepEqual(
            [right.verdict, right.reply, right.stage],
            [left.verdict, left.reply, left.stage],
            label,
          );
          assert.equal(right.message, left.message, label);
          assert.deepEqual(right.mail?.recipients, left.mail?.recipients, label);
          assert.deepEqual(right.warnings, left.warnings, label);
          assert.equal(right.verdict, sender.startsWith("bad") ? "reject" : "continue");
        }
        await Promise.all([direct.quit(), through.quit()]);
      }
    }
    for (const millrace of [first, second, last]) {
      assert.deepEqual(millrace.failures, []);
      await millrace.stop();
    }
    await Promise.all([outer.close(), inner.close()]);
    assert.equal(outer.connections + inner.connections, 0);
    await Deno.remove(folder, { recursive: true });
  });
}

Deno.test("an upstream that starts late: the policy answers, then it is used, and the log has two lines of it", async () => {
  const folder = await Deno.makeTempDir({ prefix: "millrace-upstream-" });
  const address = parseAddress(`unix:${folder}/late.sock`);
  let now = 0;
  const { link, events } = upstreamOf(dial, { address, now: () => now });
  const front = new Millrace(link);
  for (let i = 0; i < 10; i++) {
    const client = await MtaClient.connect(front.connect());
    assert.equal((await client.sendMail()).verdict, "tempfail");
    client.close();
  }
  const late = new Millrace(inline(BUSY), 60_000, [await listen(address)]);
  now += 60_000;
  const client = await MtaClient.connect(front.connect());
  assert.equal((await client.sendMail()).verdict, "continue");
  await client.quit();
  await front.stop();
  await late.stop();
  await link.close();
  assert.deepEqual(
    events.filter(({ level }) => level !== "debug").map(({ level, message }) => [level, message.slice(-13)]),
    [["error", "icy: tempfail"], ["info", "answers again"]],
  );
  await Deno.remove(folder, { recursive: true });
});

Deno.test("servers that are no milter are told by name where they show themselves", async () => {
  const web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => new Response("hello"));
  const smtp = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const greeted = smtp.accept().then(async (socket) => {
    await socket.write(new TextEncoder().encode("220 mx.example ESMTP\r\n"));
    return socket;
  });
  for (
    const [port, words] of [
      [web.addr.port, /HTTP server|closed the connection/],
      [
        (smtp.addr as Deno.NetAddr).port,
        /no milter at inet:\d+@127\.0\.0\.1: the peer is an SMTP server's greeting/,
      ],
    ] as const
  ) {
    const { link } = upstreamOf(dial, { address: parseAddress(`inet:${port}@127.0.0.1`) });
    const front = new Millrace(link);
    const client = await MtaClient.connect(front.connect());
    assert.equal((await client.sendMail()).verdict, "tempfail");
    assert.match(front.failures[0].message, words);
    client.close();
    await front.stop();
    await link.close();
  }
  (await greeted).close();
  smtp.close();
  await web.shutdown();
});
