// TCP, and what listen and dial do for every kind of socket. Unix socket files: deno_socket_file_test.ts.
import assert from "node:assert/strict";
import { type InetAddress, parseAddress } from "./address.ts";
import { dial, dialFlags, listen, listenFlags } from "./deno.ts";
import type { Connection, Listener } from "./types.ts";

const anyPort = parseAddress("inet:0@127.0.0.1");

Deno.test("listen() on port 0 takes a free port and says which", async () => {
  const listener = await listen(anyPort);
  const address = parseAddress(listener.address) as InetAddress;
  assert.equal(address.host, "127.0.0.1");
  assert.ok(address.port > 0);
  const client = await dial(address);
  const server = await next(listener);
  assert.equal(client.peer, `127.0.0.1:${address.port}`);
  assert.match(server.peer, /^127\.0\.0\.1:[1-9][0-9]*$/);
  assert.ok(client.delayedAck && server.delayedAck);
  client.close();
  server.close();
});

Deno.test("listen() and dial() speak IPv6", async () => {
  const listener = await listen(parseAddress("inet6:0@::1"));
  assert.match(listener.address, /^inet6:[1-9][0-9]*@\[::1\]$/);
  const client = await dial(parseAddress(listener.address));
  const server = await next(listener);
  assert.match(server.peer, /^\[::1\]:[1-9][0-9]*$/);
  client.close();
  server.close();
});

Deno.test("localhost is the loopback address of the family asked for", async () => {
  for (const [text, peer] of [["inet:0@localhost", "127.0.0.1:"], ["inet6:0@localhost", "[::1]:"]] as const) {
    const listener = await listen(parseAddress(text));
    const client = await dial(parseAddress(listener.address));
    assert.ok(client.peer.startsWith(peer), client.peer);
    client.close();
    listener.close();
  }
});

Deno.test("listen() without a host takes connections to any address of the machine", async () => {
  const listener = await listen(parseAddress("inet:0"));
  const { port } = parseAddress(listener.address) as InetAddress;
  for (const host of ["127.0.0.1", "127.0.0.2"]) {
    (await dial({ kind: "inet", family: 4, host, port })).close();
  }
  listener.close();
});

Deno.test("listen() says which port is taken", async () => {
  const owner = await listen(anyPort);
  const { port } = parseAddress(owner.address) as InetAddress;
  await assert.rejects(listen(parseAddress(owner.address)), {
    name: "TransportError",
    kind: "in-use",
    message: new RegExp(
      `^Cannot listen on ${owner.address}: .*already listens on port ${port};.*choose another`,
    ),
  });
  owner.close();
  // Closing gives it back at once.
  (await listen(parseAddress(owner.address))).close();
});

Deno.test("listen() says when an address is not this machine's", async () => {
  // RFC 5737: for documentation only, nobody has it.
  await assert.rejects(listen(parseAddress("inet:8891@192.0.2.1")), {
    kind: "missing",
    message: /192\.0\.2\.1/,
  });
});

Deno.test("listen() and dial() say when a host name is not known", async () => {
  // RFC 6761: never resolves.
  const address = parseAddress("inet:8891@nobody.invalid");
  await assert.rejects(listen(address), { kind: "missing", message: /"nobody\.invalid" is not known/ });
  await assert.rejects(dial(address), { kind: "missing", message: /"nobody\.invalid" is not known/ });
});

Deno.test("listen() refuses a backlog below 1", async () => {
  for (const backlog of [0, -5, 1.5, NaN]) await assert.rejects(listen(anyPort, { backlog }), RangeError);
});

Deno.test("dial() says when nobody listens", async () => {
  const listener = await listen(anyPort);
  listener.close();
  await assert.rejects(dial(parseAddress(listener.address)), {
    name: "TransportError",
    kind: "refused",
    message: new RegExp(`^Cannot connect to ${listener.address}: nothing listens on port`),
  });
});

Deno.test("dial() refuses addresses that are only for listening", async () => {
  await assert.rejects(dial(parseAddress("inet:8891")), {
    name: "AddressError",
    suggestion: "inet:8891@127.0.0.1",
  });
  await assert.rejects(dial(parseAddress("inet6:8891")), {
    name: "AddressError",
    suggestion: "inet6:8891@[::1]",
  });
  await assert.rejects(dial(anyPort), { name: "AddressError", message: /port 0/ });
});

Deno.test("dial() gives up at once when its signal was aborted before", async () => {
  const reason = new Error("no longer wanted");
  await assert.rejects(dial(parseAddress("inet:1@127.0.0.1"), { signal: AbortSignal.abort(reason) }), reason);
});

Deno.test("dial() gives up on abort and after its timeout", async () => {
  await withFullQueue(async (address) => {
    const controller = new AbortController();
    const attempt = dial(address, { signal: controller.signal });
    const reason = new Error("shutting down");
    controller.abort(reason);
    await assert.rejects(attempt, reason);
    await assert.rejects(dial(address, { timeout: 20 }), {
      name: "TransportError",
      kind: "timeout",
      message: /^Cannot connect to inet:.*no answer within 20 ms/,
    });
  });
});

Deno.test("TCP_NODELAY and keep-alive are set on both ends", async () => {
  // Deno cannot read socket options back, so the calls are watched, on the class that all its TCP sockets have.
  const raw = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const probe = await Deno.connect({ hostname: "127.0.0.1", port: raw.addr.port });
  const sockets: { setNoDelay: unknown; setKeepAlive: unknown } = Object.getPrototypeOf(probe);
  probe.close();
  raw.close();
  const { setNoDelay, setKeepAlive } = sockets;
  const calls: string[] = [];
  try {
    sockets.setNoDelay = (on: boolean) => calls.push(`no delay ${on}`);
    sockets.setKeepAlive = (on: boolean) => calls.push(`keep alive ${on}`);
    const listener = await listen(anyPort);
    const client = await dial(parseAddress(listener.address));
    const server = await next(listener);
    client.close();
    server.close();
  } finally {
    Object.assign(sockets, { setNoDelay, setKeepAlive });
  }
  assert.deepEqual(calls, ["no delay true", "keep alive true", "no delay true", "keep alive true"]);
});

Deno.test("listenFlags() and dialFlags() name one address each", () => {
  assert.deepEqual(listenFlags(parseAddress("inet:8891@127.0.0.1")), ["--allow-net=127.0.0.1:8891"]);
  assert.deepEqual(listenFlags(parseAddress("inet6:8891@localhost")), ["--allow-net=[::1]:8891"]);
  assert.deepEqual(dialFlags(parseAddress("inet:8891@milter.example")), ["--allow-net=milter.example:8891"]);
  const unix = parseAddress("unix:/run/millrace/m.sock");
  assert.deepEqual(listenFlags(unix, { group: "mail" }), [
    "--allow-read=/run/millrace,/etc/group",
    "--allow-write=/run/millrace/m.sock,/run/millrace/.m.sock.new",
    "--allow-net=unix:/run/millrace/m.sock,unix:/run/millrace/.m.sock.new/s",
  ]);
  assert.deepEqual(listenFlags(unix, { group: 8 })[0], "--allow-read=/run/millrace");
});

/** A listener that accepts nobody and whose queue takes nobody more: connecting then waits. */
async function withFullQueue(run: (address: InetAddress) => Promise<void>): Promise<void> {
  const listener = await listen(anyPort, { backlog: 1 });
  const address = parseAddress(listener.address) as InetAddress;
  const waiting: Connection[] = [];
  // Linux takes one more than the backlog says.
  for (let count = 0; count < 2; count++) waiting.push(await dial(address));
  try {
    await run(address);
  } finally {
    for (const connection of waiting) connection.close();
    listener.close();
  }
}

async function next(listener: Listener): Promise<Connection> {
  for await (const connection of listener) return connection;
  throw new Error("the listener ended without a connection");
}
