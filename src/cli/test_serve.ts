/**
 * `serve` in the test's own process, and an MTA that talks to it.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  type Command as MilterCommand,
  encodeCommand,
  FrameReader,
  FrameWriter,
  SMFIC,
} from "../protocol/mod.ts";
import { parseAddress } from "../transport/address.ts";
import { dial } from "../transport/deno.ts";
import { readArgs } from "./args.ts";
import { command } from "./commands/serve.ts";
import { type TestIo, testIo, type TestIoOptions } from "./test_io.ts";

const encoder = new TextEncoder();
/** A filter that marks every mail. */
export const MARK = "export default { message(_mail, c) { c.addHeader('X-A', 'b'); } };";

/** A `serve` under test. */
export interface Running {
  readonly io: TestIo;
  readonly folder: string;
  /** The address that was bound, once it listens. */
  address(): Promise<string>;
  /** Resolves to the exit code. */
  readonly ended: Promise<number>;
}

/** Serves a filter in this process; ends it with SIGTERM if the test has not. */
export async function serving(
  filter: string,
  use: (running: Running) => Promise<void>,
  options: TestIoOptions & { readonly config?: string } = {},
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "millrace_serve_" });
  const io = testIo(options);
  try {
    await Deno.writeTextFile(`${folder}/f.ts`, filter);
    const config = options.config ??
      "listen: inet:0@127.0.0.1\nfilters: [{ use: ./f.ts, isolation: none }]\nlog: { level: debug }\n";
    await Deno.writeTextFile(`${folder}/m.yaml`, config.replaceAll("FOLDER", folder));
    const ended = command.run(readArgs(command.spec, ["-c", `${folder}/m.yaml`]), io);
    let over = false;
    const settled = ended.then(() => over = true, () => over = true);
    const address = async () => {
      await Promise.race([io.errHas("Sendmail"), settled]);
      const found = /Listening on ([^\s"]+)/.exec(io.err())?.[1];
      assert.ok(found, `it does not listen:\n${io.err()}`);
      return found;
    };
    try {
      await use({ io, folder, address, ended });
    } finally {
      if (!over) io.send("SIGTERM");
      await settled;
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Plays an MTA with one mail, up to the reply to its end; then quits unless told to stay. */
export async function sendMail(
  address: string,
  sender: string,
): Promise<{ codes: string; quit: () => void }> {
  const connection = await dial(parseAddress(address));
  const writer = connection.writable.getWriter();
  const reader = connection.readable.getReader();
  const send = async (...commands: MilterCommand[]) => {
    const frames = new FrameWriter();
    for (const item of commands) encodeCommand(item, frames);
    await writer.write(frames.take());
  };
  const frames = new FrameReader();
  let codes = "";
  const until = async (code: string) => {
    while (!codes.endsWith(code)) {
      if (frames.next()) codes += String.fromCharCode(frames.code);
      else {
        const { value, done } = await reader.read();
        if (done) return;
        frames.push(value);
      }
    }
  };
  await send({ kind: "negotiate", version: 6, actions: 0x1ff, protocol: 0x1fffff });
  await until("O");
  const text = (value: string) => encoder.encode(value);
  await send(
    { kind: "connect", host: text("mx.example"), family: "inet", port: 25, address: text("192.0.2.7") },
    { kind: "macros", stage: SMFIC.MAIL, pairs: [[text("i"), text("4fX1")]] },
    { kind: "mail", address: text(sender), args: [] },
    { kind: "rcpt", address: text("<r@b.example>"), args: [] },
    { kind: "data" },
    { kind: "endOfMessage", chunk: new Uint8Array(0) },
  );
  // The answer to DATA, then that to the end of the message.
  codes = "";
  await until("c");
  codes += "|";
  await until("c");
  const quit = () => {
    // The server may have gone first.
    send({ kind: "quit" }).catch(() => {}).finally(() => connection.close());
  };
  return { codes, quit };
}

/** The JSON log lines with that message. */
export function logged(io: TestIo, message: string | RegExp): Record<string, unknown>[] {
  const lines = io.err().split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
  return lines.filter((line) =>
    typeof message === "string" ? line.message === message : message.test(line.message)
  );
}
