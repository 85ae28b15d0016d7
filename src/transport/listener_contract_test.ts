// What every listener must do, run on each kind of them.
import assert from "node:assert/strict";
import { dial, listen } from "./deno.ts";
import { parseAddress } from "./address.ts";
import { memoryListener } from "./memory.ts";
import type { Connection, Listener } from "./types.ts";

type Door = { readonly listener: Listener; connect(): Promise<Connection>; cleanUp(): void };

const doors: Readonly<Record<string, () => Promise<Door>>> = {
  tcp: async () => {
    const listener = await listen(parseAddress("inet:0@127.0.0.1"));
    return { listener, connect: () => dial(parseAddress(listener.address)), cleanUp() {} };
  },
  "unix socket": async () => {
    const directory = await Deno.makeTempDir({ prefix: "millrace-listener-" });
    const listener = await listen({ kind: "unix", path: `${directory}/s` });
    return {
      listener,
      connect: () => dial(parseAddress(listener.address)),
      // Fails if the listener left anything behind.
      cleanUp: () => Deno.removeSync(directory),
    };
  },
  memory: () => {
    const listener = memoryListener();
    return Promise.resolve({
      listener,
      connect: () => new Promise((resolve) => resolve(listener.connect())),
      cleanUp() {},
    });
  },
};

for (const [kind, open] of Object.entries(doors)) testListener(kind, open);

function testListener(kind: string, open: () => Promise<Door>): void {
  function check(what: string, run: (door: Door) => Promise<void>): void {
    Deno.test(`${kind} listener: ${what}`, async () => {
      const door = await open();
      try {
        await run(door);
      } finally {
        door.listener.close();
        door.cleanUp();
      }
    });
  }

  check("connections come in order, those made before the loop as well", async ({ listener, connect }) => {
    const clients = [await connect(), await connect(), await connect()];
    let count = 0;
    for await (const server of listener) {
      await assertJoined(clients[count]!, server);
      if (++count === clients.length) break;
    }
  });

  check("leaving the loop closes it", async ({ listener, connect }) => {
    const client = await connect();
    for await (const server of listener) {
      await assertJoined(client, server);
      break;
    }
    await assert.rejects(connect(), { name: "TransportError" });
  });

  check("close ends the loop and leaves connections open", async ({ listener, connect }) => {
    const { promise, resolve } = Promise.withResolvers<Connection>();
    const loop = (async () => {
      for await (const server of listener) resolve(server);
    })();
    const client = await connect();
    const server = await promise;
    listener.close();
    listener.close();
    await loop;
    await assertJoined(client, server);
    await assert.rejects(connect(), { name: "TransportError" });
  });

  check("closed before anybody listens", async ({ listener }) => {
    listener.close();
    for await (const _ of listener) assert.fail("a connection out of nowhere");
  });

  check("connections that nobody accepted end with it", async ({ listener, connect }) => {
    const client = await connect();
    listener.close();
    const { done } = await client.readable.getReader().read();
    assert.equal(done, true);
    client.close();
  });

  check("it can be walked through once", async ({ listener }) => {
    const first = (async () => {
      for await (const connection of listener) connection.close();
    })();
    await assert.rejects(async () => {
      for await (const connection of listener) connection.close();
    }, TypeError);
    listener.close();
    await first;
  });
}

/** Sends a byte each way, then closes both. */
async function assertJoined(client: Connection, server: Connection): Promise<void> {
  for (const [from, to, byte] of [[client, server, 1], [server, client, 2]] as const) {
    const reader = to.readable.getReader();
    const [{ value }] = await Promise.all([
      reader.read(),
      from.writable.getWriter().write(Uint8Array.of(byte)),
    ]);
    assert.deepEqual([...value!], [byte]);
    reader.releaseLock();
  }
  client.close();
  server.close();
}
