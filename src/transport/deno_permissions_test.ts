// In programs of their own: exactly the Deno rights that deno.ts names, the file rights of an ordinary user, too few
// file descriptors, several programs at once. `deno run` on this file is that program, see `child`.
import assert from "node:assert/strict";
import process from "node:process";
import { parseAddress } from "./address.ts";
import { dial, dialFlags, listen, listenFlags, type ListenOptions } from "./deno.ts";
import { TransportError } from "./errors.ts";

/** Number of the user and group nobody, with no rights anywhere. */
const nobody = 65534;
/** A group that no user is in, root included. */
const foreignGroup = 54321;

if (import.meta.main) {
  await child(Deno.args);
  Deno.exit(0);
}

type Said = { readonly what: string; readonly kind?: string; readonly message?: string };

/**
 * `listen ADDRESS OPTIONS`: listens until stdin ends. `dial ADDRESS`. `exhaust ADDRESS`: listens with no file
 * descriptor left, and has some again after the first failure. Says what it does, one JSON object a line.
 */
async function child([user, command, address, options = "{}"]: string[]): Promise<void> {
  if (user === "nobody") {
    // Only now, when all is loaded: that user may not be let in where Deno and this file are (root's home).
    process.setgid!(nobody);
    process.setuid!(nobody);
  }
  function say(said: Said): void {
    console.log(JSON.stringify(said));
  }
  try {
    const where = parseAddress(address!);
    if (command === "dial") {
      (await dial(where)).close();
      say({ what: "dialled" });
      return;
    }
    const files: Deno.FsFile[] = [];
    const onError: ListenOptions["onError"] = ({ kind, message }) => {
      say({ what: "failed", kind, message });
      for (const file of files.splice(0)) file.close();
    };
    const listener = await listen(where, { ...JSON.parse(options), onError });
    if (command === "exhaust") {
      try {
        for (;;) files.push(Deno.openSync("/dev/null"));
      } catch {
        // Too many open files: as wanted.
      }
    }
    say({ what: `listening on ${listener.address}` });
    const accepting = (async () => {
      for await (const connection of listener) {
        say({ what: "accepted" });
        connection.close();
      }
    })();
    await Deno.stdin.read(new Uint8Array(1));
    listener.close();
    await accepting;
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    say({ what: "refused", kind: error.kind, message: error.message });
  }
}

type Program = {
  /** The next thing it says. */
  next(): Promise<Said>;
  /** Ends its input, waits until it has ended, and checks that it ended well. */
  finish(): Promise<void>;
};

type Start = {
  readonly flags: readonly string[];
  readonly args: readonly string[];
  /** With the file rights of the user nobody; only root can start such a program. Has all of `--allow-sys`. */
  readonly asNobody?: boolean;
  /** At most so many open files. */
  readonly files?: number;
};

function start({ flags, args, asNobody = false, files }: Start): Program {
  const file = new URL(import.meta.url).pathname;
  const run = [Deno.execPath(), "run", "--no-prompt", "--no-config", "--no-lock", "--quiet", "--no-check"];
  const words = [...run, ...(asNobody ? ["--allow-sys"] : []), ...flags, file];
  words.push(asNobody ? "nobody" : "same", ...args);
  const command = files === undefined
    ? words
    : ["sh", "-c", `ulimit -n ${files} && exec "$@"`, "sh", ...words];
  const running = new Deno.Command(command[0]!, {
    args: command.slice(1),
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const lines = textLines(running.stdout);
  return {
    async next() {
      const { value, done } = await lines.next();
      assert.ok(!done, "the program ended without a word");
      return JSON.parse(value);
    },
    async finish() {
      await running.stdin.close();
      for await (const line of lines) assert.fail(`unexpected: ${line}`);
      assert.equal((await running.status).code, 0);
    },
  };
}

function check(name: string, run: (directory: string) => Promise<void>, needsRoot = false): void {
  Deno.test({
    name: `socket programs: ${name}`,
    ignore: needsRoot && Deno.uid() !== 0,
    async fn() {
      const directory = await Deno.makeTempDir({ prefix: "millrace-rights-" });
      try {
        await run(directory);
      } finally {
        await Deno.remove(directory, { recursive: true });
      }
    },
  });
}

check("a Unix socket with exactly the rights named, over a leftover too", async (directory) => {
  const address = parseAddress(`unix:${directory}/m.sock`);
  for (const round of ["fresh", "leftover"]) {
    if (round === "leftover") await leaveStale(`${directory}/m.sock`);
    const options = { group: groupName(), mode: 0o666 };
    const server = start({
      flags: listenFlags(address, options),
      args: ["listen", `unix:${directory}/m.sock`, JSON.stringify(options)],
    });
    assert.deepEqual(await server.next(), { what: `listening on unix:${directory}/m.sock` });
    assert.equal(Deno.lstatSync(`${directory}/m.sock`).mode! & 0o777, 0o666);
    const client = start({ flags: dialFlags(address), args: ["dial", `unix:${directory}/m.sock`] });
    assert.deepEqual(await client.next(), { what: "dialled" });
    assert.deepEqual(await server.next(), { what: "accepted" });
    await client.finish();
    await server.finish();
    assert.deepEqual([...Deno.readDirSync(directory)], []);
  }
});

check("TCP with exactly the rights named", async () => {
  const probe = await listen(parseAddress("inet:0@127.0.0.1"));
  probe.close();
  const address = parseAddress(probe.address);
  const server = start({ flags: listenFlags(address), args: ["listen", probe.address] });
  assert.deepEqual(await server.next(), { what: `listening on ${probe.address}` });
  const client = start({ flags: dialFlags(address), args: ["dial", probe.address] });
  assert.deepEqual(await client.next(), { what: "dialled" });
  assert.deepEqual(await server.next(), { what: "accepted" });
  await client.finish();
  await server.finish();
});

check("with any right less, the message names all that are needed", async (directory) => {
  const text = `unix:${directory}/m.sock`;
  const address = parseAddress(text);
  await leaveStale(`${directory}/m.sock`);
  for (const [command, flags] of [["listen", listenFlags(address)], ["dial", dialFlags(address)]] as const) {
    for (const missing of flags) {
      // Each address of a list is needed as well: leave out the last one.
      const shortened = missing.includes(",") ? [missing.slice(0, missing.lastIndexOf(","))] : [];
      const program = start({
        flags: [...flags.filter((flag) => flag !== missing), ...shortened],
        args: [command, text],
      });
      const said = await program.next();
      assert.deepEqual([said.what, said.kind], ["refused", "flag"], `${command} without ${missing}`);
      assert.ok(said.message!.endsWith(`; add ${flags.join(" ")}`), said.message);
      await program.finish();
    }
  }
});

check("an ordinary user is told who owns the directory", async (directory) => {
  Deno.chmodSync(directory, 0o755);
  const text = `unix:${directory}/m.sock`;
  const flags = listenFlags(parseAddress(text)).filter((flag) => !flag.startsWith("--allow-read"));
  const program = start({
    flags: [...flags, `--allow-read=${directory},/etc`],
    args: ["listen", text],
    asNobody: true,
  });
  const said = await program.next();
  assert.deepEqual([said.what, said.kind], ["refused", "denied"]);
  assert.match(
    said.message!,
    /no permission to create a file in \S+ \(owner root \(0\), group root \(0\), mode 0755\)/,
  );
  assert.match(said.message!, /user that runs this program, nobody \(65534\); make that user the owner/);
  await program.finish();
}, true);

check(
  "an ordinary user is told who owns the socket, and may connect once the mode says so",
  async (directory) => {
    Deno.chmodSync(directory, 0o755);
    const text = `unix:${directory}/m.sock`;
    const address = parseAddress(text);
    for (const mode of [0o660, 0o666]) {
      const listener = await listen(address, { mode, group: foreignGroup });
      const program = start({ flags: dialFlags(address), args: ["dial", text], asNobody: true });
      const said = await program.next();
      if (mode === 0o666) {
        assert.deepEqual(said, { what: "dialled" });
      } else {
        assert.deepEqual([said.what, said.kind], ["refused", "denied"]);
        assert.match(
          said.message!,
          /no permission to write to the socket \(owner 0, group 54321, mode 0660\)/,
        );
      }
      await program.finish();
      listener.close();
    }
  },
  true,
);

check("an ordinary user who may not look inside is told where the way ends", async (directory) => {
  const text = `unix:${directory}/inner/m.sock`;
  Deno.mkdirSync(`${directory}/inner`);
  for (const command of ["listen", "dial"]) {
    const program = start({
      flags: ["--allow-read", "--allow-write", "--allow-net"],
      args: [command, text],
      asNobody: true,
    });
    const said = await program.next();
    assert.deepEqual([said.what, said.kind], ["refused", "denied"]);
    assert.ok(
      said.message!.includes(`${directory} (owner root (0), group root (0), mode 0700)`),
      said.message,
    );
    await program.finish();
  }
}, true);

check("a group that the user is not in is refused", async (directory) => {
  Deno.chownSync(directory, nobody, nobody);
  const text = `unix:${directory}/m.sock`;
  const options = { group: foreignGroup };
  const program = start({
    flags: listenFlags(parseAddress(text), options),
    args: ["listen", text, JSON.stringify(options)],
    asNobody: true,
  });
  const said = await program.next();
  assert.deepEqual([said.what, said.kind], ["refused", "denied"]);
  assert.match(said.message!, /cannot be given to group 54321: only root and members/);
  assert.deepEqual([...Deno.readDirSync(directory)], []);
  await program.finish();
}, true);

check("ports below 1024 are refused to ordinary users with a way out", async () => {
  const program = start({ flags: ["--allow-net"], args: ["listen", "inet:1@127.0.0.1"], asNobody: true });
  const said = await program.next();
  // Where the system lets everybody have low ports (ip_unprivileged_port_start), it listens.
  if (said.what === "refused") {
    assert.equal(said.kind, "denied");
    assert.match(said.message!, /ports below 1024; choose a higher one/);
  }
  await program.finish();
}, true);

check(
  "without free file descriptors it says so, goes on, and accepts when there are some",
  async (directory) => {
    const address = parseAddress(`unix:${directory}/m.sock`);
    const server = start({
      flags: [...listenFlags(address).filter((flag) => !flag.startsWith("--allow-read")), "--allow-read"],
      args: ["exhaust", `unix:${directory}/m.sock`],
      files: 200,
    });
    assert.match((await server.next()).what, /^listening/);
    const client = await dial(address);
    const said = await server.next();
    assert.deepEqual([said.what, said.kind], ["failed", "accept"]);
    assert.match(said.message!, /Too many open files.*next attempt in 5 ms.*LimitNOFILE/);
    // The connection that could not be taken was not lost.
    assert.deepEqual(await server.next(), { what: "accepted" });
    assert.equal(await client.direct!.read(new Uint8Array(1)), null);
    client.close();
    await server.finish();
  },
);

check("of several programs that start at once over a leftover, one wins", async (directory) => {
  const text = `unix:${directory}/m.sock`;
  await leaveStale(`${directory}/m.sock`);
  const programs = Array.from(
    { length: 4 },
    () => start({ flags: listenFlags(parseAddress(text)), args: ["listen", text] }),
  );
  const said = await Promise.all(programs.map((program) => program.next()));
  assert.deepEqual(said.map(({ what, kind }) => kind ?? what).sort(), [
    "in-use",
    "in-use",
    "in-use",
    `listening on ${text}`,
  ]);
  (await dial(parseAddress(text))).close();
  for (const [index, program] of programs.entries()) {
    // The winner met the others, who asked whether it lives, and this dial.
    for (let met = 0; said[index]!.kind === undefined && met < programs.length; met++) {
      assert.deepEqual(await program.next(), { what: "accepted" });
    }
    await program.finish();
  }
  assert.deepEqual([...Deno.readDirSync(directory)], []);
});

/** A socket file whose program has ended without removing it. */
async function leaveStale(path: string): Promise<void> {
  const code = `Deno.listen({ transport: "unix", path: ${JSON.stringify(path)} }); Deno.exit(0);`;
  const { code: status } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-config", "--no-lock", code],
  }).output();
  assert.equal(status, 0);
  assert.ok(Deno.lstatSync(path).isSocket);
}

/** The name of a group that this user may give files to. */
function groupName(): string {
  const id = String(Deno.gid());
  return Deno.readTextFileSync("/etc/group").split("\n")
    .map((line) => line.split(":")).find((fields) => fields[2] === id)![0]!;
}

async function* textLines(
  bytes: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string, void, void> {
  let rest = "";
  for await (const text of bytes.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
