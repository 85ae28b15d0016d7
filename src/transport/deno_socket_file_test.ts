import assert from "node:assert/strict";
import { parseAddress, type UnixAddress } from "./address.ts";
import { dial, listen } from "./deno.ts";
import type { TransportError } from "./errors.ts";

type Place = { readonly directory: string; readonly path: string; readonly address: UnixAddress };

/** A test in a directory of its own; what it leaves there besides `leaves` is an error. */
function check(
  name: string,
  run: (place: Place) => Promise<void>,
  options: { readonly asRoot?: boolean } = {},
): void {
  Deno.test({
    name: `Unix socket file: ${name}`,
    ignore: options.asRoot === true && Deno.uid() !== 0,
    async fn() {
      const directory = await Deno.makeTempDir({ prefix: "millrace-socket-" });
      const path = `${directory}/m.sock`;
      try {
        await run({ directory, path, address: { kind: "unix", path } });
      } finally {
        await Deno.remove(directory, { recursive: true });
      }
    },
  });
}

check("it has the mode asked for, whatever the umask is", async ({ path, address }) => {
  for (const umask of [0, 0o022, 0o077]) {
    const before = Deno.umask(umask);
    try {
      for (const mode of [0o600, 0o660, 0o666, 0o777]) {
        const listener = await listen(address, { mode });
        assert.equal(modeOf(path), mode);
        listener.close();
      }
    } finally {
      Deno.umask(before);
    }
  }
});

check("without a mode it is open to owner and group", async ({ path, address }) => {
  const listener = await listen(address);
  assert.equal(modeOf(path), 0o660);
  listener.close();
});

check("a mode that is none is refused", async ({ address }) => {
  for (const mode of [-1, 0o1000, 6.5, NaN]) {
    await assert.rejects(listen(address, { mode }), RangeError);
  }
});

check("nobody can reach it before it has its mode and group", async ({ directory, path, address }) => {
  const { listen: original, renameSync } = Deno;
  const parents: string[] = [];
  const moved: unknown[] = [];
  // Looks at the very moment after the bind: the socket is not at its place, and where it is nobody may enter.
  function lookingListen(options: Deno.UnixListenOptions & { transport: "unix" }): Deno.UnixListener {
    const listener = original(options);
    const parent = options.path.slice(0, options.path.lastIndexOf("/"));
    parents.push(parent);
    assert.equal(modeOf(parent), 0o700);
    assert.equal(names(directory).includes("m.sock"), false);
    assert.equal(path.startsWith(parent), false);
    return listener;
  }
  /** And at the moment before it is put in its place: it has all it is to have. */
  function lookingRename(from: string | URL, to: string | URL): void {
    const { mode, gid } = Deno.lstatSync(from);
    moved.push({ to, mode: mode! & 0o7777, gid });
    renameSync(from, to);
  }
  const before = Deno.umask(0);
  Object.assign(Deno, { listen: lookingListen, renameSync: lookingRename });
  const group = Deno.uid() === 0 ? 8 : Deno.gid()!;
  try {
    const listener = await listen(address, { mode: 0o600, group });
    assert.equal(parents.length, 1);
    assert.deepEqual(moved, [{ to: path, mode: 0o600, gid: group }]);
    listener.close();
  } finally {
    Object.assign(Deno, { listen: original, renameSync });
    Deno.umask(before);
  }
});

check("it gets the group asked for, by name and by number", async ({ path, address }) => {
  const [name, , number] = Deno.readTextFileSync("/etc/group").split("\n")
    .map((line) => line.split(":")).find((fields) => fields[2] !== "0")!;
  for (const group of [name!, number!, Number(number)]) {
    const listener = await listen(address, { group, mode: 0o620 });
    assert.equal(Deno.lstatSync(path).gid, Number(number));
    assert.equal(modeOf(path), 0o620);
    listener.close();
  }
}, { asRoot: true });

check(
  "a group that does not exist is refused, and nothing is left behind",
  async ({ directory, address }) => {
    await refused(listen(address, { group: "no-such-group" }), "missing", /"no-such-group".*\/etc\/group/);
    await refused(listen(address, { group: -1 }), "missing", /group -1/);
    assert.deepEqual(names(directory), []);
  },
);

check("it is alone in its directory, and gone after close", async ({ directory, address }) => {
  const listener = await listen(address);
  assert.deepEqual(names(directory), ["m.sock"]);
  assert.equal(listener.address, `unix:${address.path}`);
  listener.close();
  assert.deepEqual(names(directory), []);
  listener.close();
});

check("one left over from a program that has ended is replaced", async ({ directory, path, address }) => {
  makeStale(path);
  await refused(dial(address), "refused", /left over/);
  const listener = await listen(address);
  await assertReachable(address);
  listener.close();
  assert.deepEqual(names(directory), []);
});

check("one that somebody listens on is refused and goes on working", async ({ directory, path, address }) => {
  const owner = Deno.listen({ transport: "unix", path });
  const before = Deno.lstatSync(path);
  await refused(listen(address), "in-use", /already listens there/);
  assert.equal(Deno.lstatSync(path).ino, before.ino);
  await assertReachable(address);
  assert.deepEqual(names(directory), ["m.sock"]);
  owner.close();
});

check("one whose queue is full counts as in use, and dial waits for room", async ({ path, address }) => {
  // Deno's own queue holds 1024; Perl can ask for a short one, and accepts when told.
  const program =
    "use IO::Socket::UNIX; $| = 1; my $s = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) " +
    'or die; print "ready\n"; <STDIN>; my @all; push @all, $s->accept() for 1 .. $ARGV[1]; <STDIN>;';
  const waiting: Deno.Conn[] = [];
  const held = 2;
  const owner = new Deno.Command("perl", {
    args: ["-e", program, path, String(held + 1)],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const commands = owner.stdin.getWriter();
  const output = owner.stdout.getReader();
  assert.equal(new TextDecoder().decode((await output.read()).value), "ready\n");
  for (let count = 0; count < held; count++) waiting.push(await Deno.connect({ transport: "unix", path }));
  await assert.rejects(Deno.connect({ transport: "unix", path }), Deno.errors.WouldBlock);

  await refused(listen(address), "in-use", /already listens there/);
  await assert.rejects(dial(address, { signal: AbortSignal.abort("early") }), (reason) => reason === "early");
  await refused(dial(address, { timeout: 20 }), "timeout", /no answer within 20 ms/);
  const patient = dial(address);
  await commands.write(new TextEncoder().encode("\n"));
  (await patient).close();

  for (const connection of waiting) connection.close();
  await commands.close();
  await output.cancel();
  await owner.status;
});

check("whatever is not a socket is refused and kept", async ({ directory, path, address }) => {
  Deno.writeTextFileSync(path, "precious");
  await refused(listen(address), "not-a-socket", /a regular file of that name/);
  assert.equal(Deno.readTextFileSync(path), "precious");
  Deno.removeSync(path);
  Deno.mkdirSync(path);
  await refused(listen(address), "not-a-socket", /a directory of that name/);
  Deno.removeSync(path);
  // A link to a left-over socket is still not a socket.
  makeStale(`${directory}/other`);
  Deno.symlinkSync(`${directory}/other`, path);
  await refused(listen(address), "not-a-socket", /a symbolic link of that name/);
  assert.deepEqual(names(directory), ["m.sock", "other"]);
});

check("what a killed run left in the middle is cleared away", async ({ directory, address }) => {
  const place = `${directory}/.m.sock.new`;
  Deno.mkdirSync(place);
  makeStale(`${place}/s`);
  const listener = await listen(address);
  assert.deepEqual(names(directory), ["m.sock"]);
  listener.close();
  // Nothing else is cleared away.
  Deno.writeTextFileSync(place, "precious");
  await refused(listen(address), "not-a-socket", /\.m\.sock\.new is needed.*regular file/);
  assert.equal(Deno.readTextFileSync(place), "precious");
});

check("close leaves a file alone that took its place", async ({ path, address }) => {
  const first = await listen(address);
  Deno.removeSync(path);
  const second = await listen(address);
  first.close();
  await assertReachable(address);
  Deno.removeSync(path);
  Deno.writeTextFileSync(path, "precious");
  second.close();
  assert.equal(Deno.readTextFileSync(path), "precious");
});

check("close goes on when the directory is gone", async ({ directory, address }) => {
  const errors: TransportError[] = [];
  const listener = await listen(address, { onError: (error) => errors.push(error) });
  Deno.removeSync(directory, { recursive: true });
  listener.close();
  assert.deepEqual(errors, []);
  Deno.mkdirSync(directory);
});

check("of many that start at once over a leftover, one wins", async ({ directory, path, address }) => {
  for (let round = 0; round < 5; round++) {
    makeStale(path);
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => listen(address)));
    const winners = results.flatMap((result) => result.status === "fulfilled" ? [result.value] : []);
    const kinds = results.flatMap((result) => result.status === "rejected" ? [result.reason.kind] : []);
    assert.equal(winners.length, 1);
    assert.deepEqual(kinds, Array(7).fill("in-use"));
    await assertReachable(address);
    winners[0]!.close();
    assert.deepEqual(names(directory), []);
  }
});

check("a start waits for another one in the same directory", async ({ directory, address }) => {
  const other = Deno.openSync(directory);
  other.lockSync(true);
  const order: string[] = [];
  const listening = listen(address).finally(() => order.push("listening"));
  // Attempts on the lock go through the event loop; a start that did not care for it would be done by then.
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
  order.push("released");
  other.close();
  const listener = await listening;
  assert.deepEqual(order, ["released", "listening"]);
  listener.close();
});

check("several sockets live in one directory", async ({ directory }) => {
  const paths = Array.from({ length: 5 }, (_, index) => `${directory}/${index}`);
  const listeners = await Promise.all(paths.map((path) => listen({ kind: "unix", path })));
  assert.deepEqual(names(directory), ["0", "1", "2", "3", "4"]);
  for (const path of paths) await assertReachable({ kind: "unix", path });
  for (const listener of listeners) listener.close();
  assert.deepEqual(names(directory), []);
});

check("a missing directory is named, with the way to make it", async ({ directory }) => {
  const address = parseAddress(`unix:${directory}/a/b/m.sock`);
  await refused(listen(address), "missing", /\/a\/b does not exist; create it.*install -d .*\/a\/b\)/);
  Deno.writeTextFileSync(`${directory}/file`, "");
  await refused(
    listen(parseAddress(`unix:${directory}/file/m.sock`)),
    "missing",
    /file is a regular file, not a dir/,
  );
});

check("a path with no room for the place of birth is refused", async ({ directory }) => {
  const name = "x".repeat(105 - directory.length);
  const address = parseAddress(`unix:${directory}/${name}`);
  await refused(listen(address), "other", /bytes too long/);
  assert.deepEqual(names(directory), []);
});

check("dial says what is wrong with the path", async ({ directory, path, address }) => {
  await refused(dial(address), "missing", /no such socket/);
  Deno.writeTextFileSync(path, "");
  await refused(dial(address), "not-a-socket", /a regular file, not a socket/);
  await refused(dial(parseAddress(`unix:${directory}`)), "not-a-socket", /a directory, not a socket/);
});

/** A socket file whose listener is gone: bound under another name, which is what Deno then removes. */
function makeStale(path: string): void {
  const listener = Deno.listen({ transport: "unix", path: `${path}-` });
  Deno.renameSync(`${path}-`, path);
  listener.close();
}

async function assertReachable(address: UnixAddress): Promise<void> {
  (await dial(address)).close();
}

async function refused(attempt: Promise<unknown>, kind: string, message: RegExp): Promise<void> {
  await assert.rejects(attempt, { name: "TransportError", kind, message });
}

function modeOf(path: string): number {
  return Deno.lstatSync(path).mode! & 0o7777;
}

function names(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
}
