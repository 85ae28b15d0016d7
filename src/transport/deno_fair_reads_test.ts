// Many real sockets whose reads take turns: each gets on, in busy times, in silence and when they close.
import assert from "node:assert/strict";
import { FairReads } from "./deno_fair_reads.ts";

const SOCKETS = 150;

Deno.test("reads that are held back go on, and end with their socket", async () => {
  const path = `${await Deno.makeTempDir()}/s`;
  const listener = Deno.listen({ transport: "unix", path });
  const reads = new FairReads();
  const ends: Promise<string>[] = [];
  const served: Deno.Conn[] = [];
  /** Sends back each byte. */
  async function echo(socket: Deno.Conn): Promise<string> {
    const buffer = new Uint8Array(16);
    try {
      for (let count; (count = await reads.read(socket, buffer)) !== null;) {
        await socket.write(buffer.subarray(0, count));
      }
      return "ended";
    } catch (error) {
      return (error as Error).name;
    } finally {
      reads.open--;
    }
  }
  const clients: Deno.Conn[] = [];
  for (let i = 0; i < SOCKETS; i++) {
    const [client, socket] = await Promise.all([
      Deno.connect({ transport: "unix", path }),
      listener.accept(),
    ]);
    clients.push(client);
    served.push(socket);
    reads.open++;
    ends.push(echo(socket));
  }
  async function ask(client: Deno.Conn, times: number): Promise<void> {
    const answer = new Uint8Array(1);
    for (let i = 0; i < times; i++) {
      await client.write(Uint8Array.of(i));
      assert.equal(await client.read(answer), 1);
      assert.equal(answer[0], i);
    }
  }
  await Promise.all(clients.map((client) => ask(client, 60)));
  // Now few are busy, and what was held for the many must not stay so.
  for (const client of clients.slice(0, 3)) await ask(client, 20);
  await Promise.all(clients.map((client) => ask(client, 20)));
  for (const socket of served.slice(0, 50)) socket.close();
  for (const client of clients) client.close();
  const words = await Promise.all(ends);
  assert.deepEqual(words.slice(50), Array(SOCKETS - 50).fill("ended"));
  assert.ok(
    words.slice(0, 50).every((word) => ["BadResource", "Interrupted", "ended"].includes(word)),
    words.join(),
  );
  assert.equal(reads.open, 0);
  for (const socket of served.slice(50)) socket.close();
  listener.close();
  await Deno.remove(path.slice(0, -2), { recursive: true });
});

Deno.test("reads that are held back go on when nobody else reads any more", async () => {
  const path = `${await Deno.makeTempDir()}/s`;
  const listener = Deno.listen({ transport: "unix", path });
  const reads = new FairReads();
  const pairs: (readonly [client: Deno.Conn, served: Deno.Conn])[] = [];
  for (let i = 0; i < 190; i++) {
    pairs.push(await Promise.all([Deno.connect({ transport: "unix", path }), listener.accept()]));
    reads.open++;
  }
  const read = ([, served]: (typeof pairs)[number]) => reads.read(served, new Uint8Array(1));
  // A full round: from now on some have to wait.
  const first = pairs.slice(0, 150).map(read);
  await new Promise((resolve) => setTimeout(resolve, 0));
  const last = pairs.slice(150).map(read);
  for (const [client] of pairs) await client.write(Uint8Array.of(1));
  const patience = AbortSignal.timeout(10_000);
  const late = new Promise((_, reject) =>
    patience.onabort = () => reject(new Error("a read is held for ever"))
  );
  const all = await Promise.race([Promise.all([...first, ...last]), late]);
  assert.deepEqual(all, Array(190).fill(1));
  for (const socket of pairs.flat()) socket.close();
  listener.close();
  await Deno.remove(path.slice(0, -2), { recursive: true });
});
