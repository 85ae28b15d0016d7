// What every connection must do, run on each kind of them, through the streams and past them.
import assert from "node:assert/strict";
import { dial, listen } from "./deno.ts";
import { memoryPair } from "./memory.ts";
import type { Connection, Listener } from "./types.ts";

type Pair = { readonly client: Connection; readonly server: Connection; readonly end: () => void };

const transports: Readonly<Record<string, () => Promise<Pair>>> = {
  "tcp": () => socketPair({ kind: "inet", family: 4, host: "127.0.0.1", port: 0 }),
  "unix socket": async () => {
    const directory = await Deno.makeTempDir({ prefix: "millrace-contract-" });
    const { client, server, end } = await socketPair({ kind: "unix", path: `${directory}/s` });
    return {
      client,
      server,
      end: () => {
        end();
        Deno.removeSync(directory, { recursive: true });
      },
    };
  },
  "memory": () => {
    const [client, server] = memoryPair({ direct: true });
    return Promise.resolve({ client, server, end: () => [client, server].forEach((one) => one.close()) });
  },
  "memory with a buffer of one byte": () => {
    const [client, server] = memoryPair({ direct: true, bufferSize: 1 });
    return Promise.resolve({ client, server, end: () => [client, server].forEach((one) => one.close()) });
  },
};

/** One way to use a connection: the tests are the same for all. */
type Port = {
  /** At most about `limit` bytes, null at the end. */
  read(limit: number): Promise<Uint8Array | null>;
  write(bytes: Uint8Array): Promise<void>;
};

const ways: Readonly<Record<string, (connection: Connection) => Port>> = {
  direct: (connection) => {
    const direct = connection.direct!;
    return {
      async read(limit) {
        const into = new Uint8Array(limit);
        const count = await direct.read(into);
        return count === null ? null : into.subarray(0, count);
      },
      async write(bytes) {
        for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await direct.write(rest));
      },
    };
  },
  "default reader": (connection) => {
    const reader = connection.readable.getReader();
    const writer = connection.writable.getWriter();
    return {
      read: async () => (await reader.read()).value ?? null,
      write: (bytes) => writer.write(bytes),
    };
  },
  "BYOB reader": (connection) => {
    const reader = connection.readable.getReader({ mode: "byob" });
    const writer = connection.writable.getWriter();
    return {
      async read(limit) {
        const { value, done } = await reader.read(new Uint8Array(limit));
        return done ? null : value;
      },
      write: (bytes) => writer.write(bytes),
    };
  },
};

for (const [transport, open] of Object.entries(transports)) {
  for (const [way, use] of Object.entries(ways)) testBytes(`${transport}, ${way}`, open, use);
  testStreams(transport, open);
}

function testBytes(name: string, open: () => Promise<Pair>, use: (connection: Connection) => Port): void {
  function check(what: string, run: (pair: Pair, client: Port, server: Port) => Promise<void>): void {
    Deno.test(`${name}: ${what}`, async () => {
      const pair = await open();
      try {
        await run(pair, use(pair.client), use(pair.server));
      } finally {
        pair.end();
      }
    });
  }

  check("bytes arrive in order, however they were cut", async (_pair, client, server) => {
    const sent = pattern(20_000);
    const writing = (async () => {
      for (let at = 0, size = 1; at < sent.length; at += size, size = (size * 7) % 997 + 1) {
        await client.write(sent.subarray(at, at + size));
      }
    })();
    const got = await readExactly(server, sent.length, (seen) => (seen * 13) % 3001 + 1);
    await writing;
    assert.deepEqual(got, sent);
  });

  check("both directions work at the same time", async (_pair, client, server) => {
    const [up, down] = [pattern(30_000), pattern(30_000).reverse()];
    const [gotUp, gotDown] = await Promise.all([
      readExactly(server, up.length),
      readExactly(client, down.length),
      client.write(up),
      server.write(down),
    ]);
    assert.deepEqual(gotUp, up);
    assert.deepEqual(gotDown, down);
  });

  check("a waiting read gets bytes that are written later", async (_pair, client, server) => {
    const read = readExactly(server, 4);
    await client.write(pattern(4));
    assert.deepEqual(await read, pattern(4));
  });

  check("a writer that outruns the reader waits", async (pair, client, server) => {
    // Far more than the kernel holds for two sockets, so that only waiting can keep the difference small.
    const [total, most] = pair.client.peer === "memory" ? [200_000, 140_000] : [32 << 20, 16 << 20];
    const chunk = new Uint8Array(Math.min(65536, total / 20));
    let written = 0;
    const writing = (async () => {
      for (; written < total; written += chunk.length) await client.write(chunk);
    })();
    let read = 0;
    let ahead = 0;
    // Turns of the event loop in which a writer that does not wait would be done.
    for (let turn = 0; turn < 20; turn++) await nextTurn();
    for (; read < total;) {
      ahead = Math.max(ahead, written - read);
      const bytes = await server.read(chunk.length);
      assert.ok(bytes, "ended early");
      read += bytes.length;
    }
    await writing;
    assert.equal(read, written);
    assert.ok(ahead <= most, `${ahead} bytes ahead of the reader, expected at most ${most}`);
  });

  check(
    "close on one side ends the other, after the bytes that were sent",
    async (pair, client, server) => {
      const closing = client.write(pattern(500)).then(() => pair.client.close());
      assert.deepEqual(await readExactly(server, 500), pattern(500));
      await closing;
      assert.equal(await server.read(100), null);
      assert.equal(await server.read(100), null, "the end stays the end");
    },
  );

  check("a waiting read ends when the other side closes", async (pair, _client, server) => {
    const read = server.read(100);
    await nextTurn();
    pair.client.close();
    assert.equal(await read, null);
  });

  check("a waiting read ends when its own side closes", async (pair, _client, server) => {
    const read = server.read(100);
    await nextTurn();
    pair.server.close();
    assert.equal(await read, null);
    assert.equal(await server.read(100), null);
  });

  check("bytes that nobody read do not keep the other side from ending", async (pair, client, server) => {
    const waiting = server.write(pattern(1)).catch(() => {});
    const read = server.read(100);
    await nextTurn();
    pair.client.close();
    assert.equal(await read, null);
    await waiting;
    await assert.rejects(async () => {
      for (;;) await client.write(pattern(10));
    });
  });

  check("writing fails once the other side has closed", async (pair, _client, server) => {
    pair.client.close();
    assert.equal(await server.read(1), null);
    await assert.rejects(async () => {
      // TCP learns with the first write that nobody is there, and says so at the second.
      for (;;) await server.write(pattern(100));
    });
  });

  check("a waiting write fails when its own side closes", async (pair, client) => {
    const writing = assert.rejects(async () => {
      for (;;) await client.write(new Uint8Array(65536));
    });
    for (let turn = 0; turn < 20; turn++) await nextTurn();
    pair.client.close();
    await writing;
  });

  check("a waiting write fails when the other side closes", async (pair, client) => {
    const writing = assert.rejects(async () => {
      for (;;) await client.write(new Uint8Array(65536));
    });
    for (let turn = 0; turn < 20; turn++) await nextTurn();
    pair.server.close();
    await writing;
  });

  check("close may be called again, on both sides", (pair) => {
    for (const side of [pair.client, pair.server, pair.client, pair.server]) side.close();
    pair.client.close();
    return Promise.resolve();
  });
}

function testStreams(transport: string, open: () => Promise<Pair>): void {
  function checkStreams(what: string, run: (pair: Pair) => Promise<void>): void {
    Deno.test(`${transport}: ${what}`, async () => {
      const pair = await open();
      try {
        await run(pair);
      } finally {
        pair.end();
      }
    });
  }

  checkStreams("closing the writable leaves the other direction open", async ({ client, server }) => {
    const writer = client.writable.getWriter();
    const writing = writer.write(pattern(3)).then(() => writer.close());
    assert.deepEqual(await readAll(server.readable), pattern(3));
    await writing;
    const answer = server.writable.getWriter();
    const answering = answer.write(pattern(5)).then(() => answer.close());
    assert.deepEqual(await readAll(client.readable), pattern(5));
    await answering;
  });

  checkStreams("aborting the writable ends the connection on both sides", async ({ client, server }) => {
    const own = client.readable.getReader().read();
    const other = server.readable.getReader().read();
    await client.writable.abort("test");
    assert.equal((await own).done, true);
    assert.equal((await other).done, true);
    await assert.rejects(client.direct!.write(pattern(1)));
  });

  checkStreams("cancelling the readable ends the connection on both sides", async ({ client, server }) => {
    await client.readable.cancel("test");
    assert.equal((await server.readable.getReader().read()).done, true);
    await assert.rejects(client.direct!.write(pattern(1)));
  });

  checkStreams("the streams can be piped and are the same at each access", async ({ client, server }) => {
    assert.equal(client.readable, client.readable);
    assert.equal(client.writable, client.writable);
    const echo = server.readable.pipeTo(server.writable);
    const writer = client.writable.getWriter();
    const writing = writer.write(pattern(10_000)).then(() => writer.close());
    assert.deepEqual(await readAll(client.readable), pattern(10_000));
    await Promise.all([echo, writing]);
  });

  checkStreams("the peer has a name for logs", ({ client, server }) => {
    for (const { peer } of [client, server]) assert.match(peer, /^(127\.0\.0\.1:[1-9][0-9]*|unix|memory)$/);
    return Promise.resolve();
  });
}

async function socketPair(address: Parameters<typeof listen>[0]): Promise<Pair> {
  const listener = await listen(address);
  const bound = address.kind === "unix"
    ? address
    : { ...address, port: Number(/^inet:([0-9]+)@/.exec(listener.address)![1]) };
  const [client, server] = await Promise.all([dial(bound), firstOf(listener)]);
  return { client, server, end: () => [client, server].forEach((one) => one.close()) };
}

/** The first connection; the listener is closed after it. */
async function firstOf(listener: Listener): Promise<Connection> {
  for await (const connection of listener) return connection;
  throw new Error("the listener ended without a connection");
}

async function readExactly(
  port: Port,
  count: number,
  limit: (seen: number) => number = () => count,
): Promise<Uint8Array> {
  const all = new Uint8Array(count);
  for (let seen = 0; seen < count;) {
    const bytes = await port.read(Math.min(limit(seen), count - seen));
    assert.ok(bytes, `ended after ${seen} of ${count} bytes`);
    all.set(bytes, seen);
    seen += bytes.length;
  }
  return all;
}

async function readAll(readable: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: number[] = [];
  for await (const chunk of readable) chunks.push(...chunk);
  return Uint8Array.from(chunks);
}

function pattern(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8)) & 0xff);
}

/** One turn of the event loop, timers included. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
