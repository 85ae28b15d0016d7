// Stopping while mail is under way.
import assert from "node:assert/strict";
import { serving } from "../../tests/helpers/serving.ts";
import { utf8 } from "../../tests/property/wire.ts";
import type { Filter } from "../filter/mod.ts";
import { MtaClient } from "../testing/mta_client.ts";
import { dial, listen } from "../transport/deno.ts";
import { parseAddress } from "../transport/address.ts";

const mail = { kind: "mail", address: utf8("<a@b>"), args: [] } as const;
const rcpt = { kind: "rcpt", address: utf8("<c@d>"), args: [] } as const;
const header = { kind: "header", name: utf8("A"), value: utf8("b") } as const;
const end = { kind: "endOfMessage", chunk: new Uint8Array(0) } as const;

Deno.test("an open mail finishes, idle connections end at once, new ones are refused", async () => {
  const filter: Filter = {
    mail() {},
    header() {},
    message: (_mail, { addHeader }) => addHeader("X-Done", "yes"),
  };
  const server = serving(filter);
  const idle = await MtaClient.connect(server.connect());
  await idle.sendMail();
  const busy = await MtaClient.connect(server.connect());
  for (const command of [mail, rcpt]) await busy.command(command);
  server.drain();
  assert.throws(() => server.connect(), { name: "TransportError", kind: "refused" });
  await server.logged("ended (drain)");
  await assert.rejects(idle.sendMail(), { kind: "closed" });
  let ended = false;
  void server.ended.then(() => ended = true);
  await busy.command(header);
  assert.equal(ended, false);
  const { answer, edits } = await busy.command(end);
  assert.equal(answer?.verdict, "continue");
  assert.equal(edits.length, 1);
  await server.ended;
  await assert.rejects(busy.sendMail(), { kind: "closed" });
  busy.close();
  assert.deepEqual(server.failures, []);
});

Deno.test("a mail that is aborted, or whose MTA goes, ends the wait as well", async () => {
  for (const way of ["abort", "close", "next"] as const) {
    const server = serving({ mail() {}, header() {} });
    const client = await MtaClient.connect(server.connect());
    await client.command(mail);
    server.drain();
    if (way === "abort") await client.abort();
    else if (way === "close") client.close();
    else {
      // A mail in place of the open one is served still: there was no moment without one.
      await client.command(mail);
      await client.command(end);
    }
    await server.ended;
    client.close();
  }
});

Deno.test("a hook that works at the time of the signal finishes, and its reply goes out", async () => {
  const entered = Promise.withResolvers<void>();
  const work = Promise.withResolvers<void>();
  const server = serving({
    async message(_mail, { reject }) {
      entered.resolve();
      await work.promise;
      return reject("5.7.1", "still me");
    },
  });
  const client = await MtaClient.connect(server.connect());
  const sending = client.sendMail();
  await entered.promise;
  server.drain();
  work.resolve();
  assert.equal((await sending).reply, "550 5.7.1 still me");
  await server.ended;
  client.close();
});

Deno.test("after the limit what is left is cut: no verdict leaves, the MTA keeps the mail", async () => {
  const calls: string[] = [];
  const hang = new Promise<void>(() => {});
  const entered = Promise.withResolvers<void>();
  const filter: Filter = {
    mail() {},
    endOfMessage() {
      entered.resolve();
      return hang;
    },
    abort: () => void calls.push("abort"),
    close: () => void calls.push("close"),
  };
  const server = serving(filter, { limits: { drain: 1000 }, timeout: 100_000 });
  const open = await MtaClient.connect(server.connect());
  await open.command(mail);
  const hanging = await MtaClient.connect(server.connect());
  const sending = hanging.sendMail();
  const refused = assert.rejects(sending, { kind: "closed" });
  await entered.promise;
  server.drain();
  // The wait begins once the listeners have ended.
  await new Promise((resolve) => setTimeout(resolve));
  server.advance(999);
  // Two looks at the clock, at least.
  await new Promise((resolve) => setTimeout(resolve, 250));
  assert.ok(!server.events.some((event) => event.includes("Cutting")));
  server.advance(1);
  await server.logged("Cutting 2 connections: still busy after 1000 ms");
  await refused;
  await server.ended;
  await assert.rejects(open.command(end), { kind: "closed" });
  assert.ok(calls.includes("close"));
});

Deno.test("a server that is stopped before it starts serves nobody", async () => {
  const server = serving({});
  await server.stop();
  assert.deepEqual(server.events, []);
});

Deno.test("sockets are free again after the stop", async () => {
  const folder = await Deno.makeTempDir({ prefix: "millrace-drain-" });
  const specs = ["inet:0@127.0.0.1", `unix:${folder}/m.sock`];
  const listeners = await Promise.all(specs.map((spec) => listen(parseAddress(spec))));
  const addresses = listeners.map(({ address }) => parseAddress(address));
  const server = serving({ mail() {} }, { listeners });
  const clients = await Promise.all(addresses.map(async (address) => MtaClient.connect(await dial(address))));
  for (const client of clients) await client.command(mail);
  server.drain();
  for (const address of addresses) await assert.rejects(dial(address), { name: "TransportError" });
  for (const client of clients) await client.command(end);
  await server.ended;
  for (const client of clients) client.close();
  for (const address of addresses) (await listen(address)).close();
  await Deno.remove(folder, { recursive: true });
});
