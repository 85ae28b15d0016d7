// A server that is given another chain, other limits and other listeners while it runs.
import assert from "node:assert/strict";
import { serving } from "../../tests/helpers/serving.ts";
import { utf8 } from "../../tests/property/wire.ts";
import type { Filter } from "../filter/mod.ts";
import { MtaClient } from "../testing/mta_client.ts";
import { dial, listen } from "../transport/deno.ts";
import { parseAddress } from "../transport/address.ts";
import { memoryListener } from "../transport/memory.ts";

const MESSAGE = "A: 1\n\nhello\n";

/** A filter that marks each mail with its name and the number of the mail in its connection. */
function marking(name: string): Filter {
  return {
    name,
    message(_mail, { addHeader, connection }) {
      connection.count = Number(connection.count ?? 0) + 1;
      addHeader("X-By", `${name} ${connection.count}`);
    },
  };
}

async function mark(client: MtaClient): Promise<string | undefined> {
  const { message } = await client.sendMail({ message: MESSAGE });
  return /^X-By: (.*)\r$/m.exec(message ?? "")?.[1];
}

/** Has it settled? Asked after everything that can run has run. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let over = false;
  void promise.finally(() => over = true);
  await new Promise((resolve) => setTimeout(resolve));
  return over;
}

Deno.test("open connections keep their chain for all their mails, new ones get the newest", async () => {
  const server = serving(marking("one"));
  const first = await MtaClient.connect(server.connect());
  const quiet = await MtaClient.connect(server.connect());
  assert.equal(await mark(first), "one 1");
  const one = server.replace(marking("two"));
  assert.equal(one.connections, 2);
  const second = await MtaClient.connect(server.connect());
  assert.equal(await mark(second), "two 1");
  assert.equal(await mark(first), "one 2");
  const two = server.replace(marking("three"));
  assert.equal(two.connections, 1);
  const third = await MtaClient.connect(server.connect());
  for (const n of [2, 3, 4]) {
    assert.equal(await mark(second), `two ${n}`);
    assert.equal(await mark(first), `one ${n + 1}`);
    assert.equal(await mark(third), `three ${n - 1}`);
  }
  // One that had not sent a mail at all before.
  assert.equal(await mark(quiet), "one 1");

  await second.quit();
  await two.gone;
  await first.quit();
  assert.equal(await settled(one.gone), false, "one connection is left");
  await quiet.quit();
  await one.gone;
  assert.equal(await mark(third), "three 4");
  await third.quit();
  await server.stop();
  assert.deepEqual(server.failures, []);
  assert.equal(server.mails.length, 14);
});

Deno.test("a chain goes in the middle of a mail, and with a hook at work: both finish on it", async () => {
  const entered = Promise.withResolvers<void>();
  const work = Promise.withResolvers<void>();
  const slow: Filter = {
    mail() {},
    async message(_mail, { addHeader }) {
      entered.resolve();
      await work.promise;
      addHeader("X-By", "slow");
    },
  };
  const server = serving(slow);
  const open = await MtaClient.connect(server.connect());
  await open.command({ kind: "mail", address: utf8("<a@b>"), args: [] });
  const busy = await MtaClient.connect(server.connect());
  const sending = busy.sendMail({ message: MESSAGE });
  await entered.promise;
  const { gone, connections } = server.replace(marking("fast"));
  assert.equal(connections, 2);
  work.resolve();
  assert.match((await sending).message ?? "", /^X-By: slow\r$/m);
  const { answer, edits } = await open.command({ kind: "endOfMessage", chunk: new Uint8Array(0) });
  assert.equal(answer?.verdict, "continue");
  assert.equal(edits.length, 1);
  await busy.quit();
  await open.quit();
  await gone;
  await server.stop();
});

Deno.test("a chain that nobody uses is gone at once; one whose hook still works is not", async () => {
  const server = serving(marking("one"));
  const { connections, gone } = server.replace({
    async message() {
      entered.resolve();
      await work.promise;
    },
  });
  assert.equal(connections, 0);
  await gone;
  const entered = Promise.withResolvers<void>();
  const work = Promise.withResolvers<void>();
  const client = await MtaClient.connect(server.connect());
  const sending = assert.rejects(client.sendMail(), { kind: "closed" });
  await entered.promise;
  const next = server.replace(marking("three"));
  // The MTA goes away, the hook does not know yet.
  client.close();
  await sending;
  assert.equal(await settled(next.gone), false);
  work.resolve();
  await next.gone;
  await server.stop();
});

Deno.test("limits: open connections keep theirs, but for their number, which is counted over all", async () => {
  const server = serving(marking("one"), { limits: { idle: 1000, recipients: 5, connections: 3 } });
  const first = await MtaClient.connect(server.connect());
  const { gone } = server.replace(marking("two"), { idle: 5000, recipients: 1, connections: 2 });
  const second = await MtaClient.connect(server.connect());
  await assert.rejects(MtaClient.connect(server.connect()), { kind: "closed" });
  await server.logged("Refusing connections: 2 are open, the limit is 2");
  const recipients = ["a@b.example", "c@d.example"];
  assert.equal((await first.sendMail({ recipients, message: MESSAGE })).verdict, "continue");
  assert.equal((await second.sendMail({ recipients, message: MESSAGE })).verdict, "tempfail");
  server.advance(1000);
  await server.logged("silent for 1000 ms");
  await gone;
  assert.equal(await mark(second), "two 1");
  server.advance(5000);
  await server.logged("silent for 5000 ms");
  server.replace(marking("three"));
  const more = await Promise.all([1, 2, 3].map(() => MtaClient.connect(server.connect())));
  for (const client of more) await client.quit();
  for (const client of [first, second]) client.close();
  await server.stop();
});

Deno.test("the limit for the drain is the newest one", async () => {
  const server = serving({ mail() {} }, { limits: { drain: 60_000 } });
  const client = await MtaClient.connect(server.connect());
  await client.command({ kind: "mail", address: utf8("<a@b>"), args: [] });
  const { gone } = server.replace({ mail() {} }, { drain: 1000 });
  server.drain();
  await new Promise((resolve) => setTimeout(resolve));
  server.advance(1000);
  await server.logged("Cutting 1 connections: still busy after 1000 ms");
  await gone;
  await server.ended;
  client.close();
});

Deno.test("listeners come and go while it runs; connections of one that is closed finish", async () => {
  const server = serving(marking("one"));
  const more = memoryListener();
  server.add(more);
  const open = await MtaClient.connect(more.connect());
  const socket = await listen(parseAddress("inet:0@127.0.0.1"));
  server.add(socket);
  const overTcp = await MtaClient.connect(await dial(parseAddress(socket.address)));
  more.close();
  socket.close();
  assert.throws(() => more.connect(), { kind: "refused" });
  await assert.rejects(dial(parseAddress(socket.address)), { name: "TransportError" });
  assert.equal(await mark(open), "one 1");
  assert.equal(await mark(overTcp), "one 1");
  const still = await MtaClient.connect(server.connect());
  assert.equal(await mark(still), "one 1");
  await Promise.all([open, overTcp, still].map((client) => client.quit()));
  await server.stop();
});

Deno.test("a listener that is added while the server stops is closed", async () => {
  const server = serving({ mail() {} });
  const client = await MtaClient.connect(server.connect());
  await client.command({ kind: "mail", address: utf8("<a@b>"), args: [] });
  server.drain();
  const late = memoryListener();
  server.add(late);
  assert.throws(() => late.connect(), { kind: "refused" });
  await client.abort();
  await server.ended;
  client.close();
});

Deno.test("many replacements while clients send: every mail by one chain, every connection served", async () => {
  const server = serving(marking("0"));
  const retired: Promise<void>[] = [];
  let newest = 0;
  let over = false;
  const used = new Set<number>();
  async function clients(): Promise<void> {
    while (!over) {
      const least = newest;
      const client = await MtaClient.connect(server.connect());
      const most = newest;
      const [by] = (await mark(client))!.split(" ").map(Number);
      assert.ok(least <= by && by <= most, `${by} is not within ${least} to ${most}`);
      for (let n = 2; n <= 5; n++) assert.equal(await mark(client), `${by} ${n}`);
      used.add(by);
      // Connections in memory never leave the microtasks by themselves.
      await new Promise((resolve) => setTimeout(resolve));
      await client.quit();
    }
  }
  const sending = Promise.all([1, 2, 3, 4].map(() => clients()));
  sending.catch(() => {});
  for (let n = 1; n <= 30; n++) {
    newest = n;
    retired.push(server.replace(marking(String(n))).gone);
    await new Promise((resolve) => setTimeout(resolve, n % 7));
  }
  over = true;
  await sending;
  await Promise.all(retired);
  await server.stop();
  assert.ok(used.size > 1, "all went through one");
  assert.deepEqual(server.failures, []);
});
