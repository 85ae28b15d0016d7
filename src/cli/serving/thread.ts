/**
 * A thread beside the program's own: answers what connects to the TCP addresses, as the program tells it.
 *
 * @module
 */
import { parentPort, workerData } from "node:worker_threads";
import { parseConfig } from "../../config/parse.ts";
import { GuardBoard } from "../../links/sandbox/guard_board.ts";
import { beHaltable } from "../../links/sandbox/haltable.ts";
import { memoryGuard } from "../../links/sandbox/memory_guard.ts";
import { SharedPlaces } from "../../server/places.ts";
import { printable } from "../../text/show.ts";
import { parseAddress } from "../../transport/address.ts";
import { CommandError } from "../command.ts";
import { denoIo, type Io, type Output } from "../io.ts";
import type { ReadConfig } from "../load_config.ts";
import { type OpenLog, openLog } from "../log.ts";
import { type Prepared, reasonOf, Service } from "./service.ts";
import { InlineCode } from "./inline_code.ts";
import { BEAT, type Order, type Report, type ThreadConfig, type ThreadSetup } from "./thread_messages.ts";
import { handleUncaught } from "./uncaught.ts";

const { thread, places, beats, guards, isTerminal, color } = workerData as ThreadSetup;
const beat = new Int32Array(beats);
beHaltable();
memoryGuard.share(new GuardBoard(guards, thread));
setInterval(() => Atomics.add(beat, thread, 1), BEAT);
const code = new InlineCode();
const stop = new AbortController();
let taken = Promise.withResolvers<void>();
let running: { readonly service: Service; readonly log: OpenLog } | undefined;
let next: Prepared | undefined;
let served: Promise<void> | undefined;

function say(report: Report): void {
  parentPort!.postMessage(report);
}

/** Log lines leave the process in one place; here they wait until that has taken those before. */
const stderr: Output = {
  isTerminal,
  color,
  write: (text) => say({ said: "log", lines: new TextEncoder().encode(text) }),
  async writeLater(lines) {
    taken = Promise.withResolvers();
    say({ said: "log", lines });
    await taken.promise;
  },
};
const io: Io = { ...denoIo(), stderr };

function start({ config }: ReadConfig): NonNullable<typeof running> {
  const log = openLog(config.log, stderr);
  const event: OpenLog["server"]["event"] = (level, message, fields) =>
    log.server.event(level, message, { ...fields, thread });
  const own: OpenLog = { ...log, server: { ...log.server, event } };
  handleUncaught(io, own.server);
  const service = new Service({
    ...{ io, log: own, code, signal: stop.signal, places: new SharedPlaces(places, thread) },
    shared: "further",
  });
  return { service, log: own };
}

async function prepare({ text, file, base, listen, code: others }: ThreadConfig): Promise<void> {
  try {
    code.expect(others);
    const config = parseConfig(text, { file: printable(file) });
    // What is not a thread's is left out: the control socket, and Unix sockets, which have one listener.
    const own = { ...config, listen: listen.map(parseAddress), control: undefined };
    const read = { text, file, base: new URL(base), config: own };
    running ??= start(read);
    next = await running.service.prepare(read);
    say({ said: "prepared" });
  } catch (error) {
    const code = error instanceof CommandError ? error.exitCode : 1;
    say({ said: "failed", message: reasonOf(error), code });
  }
}

function adopt(): void {
  const { service, log } = running!;
  const { config } = next!.read;
  log.configure(config.log);
  const connections = service.adopt(next!);
  next = undefined;
  served ??= service.run();
  say({ said: "adopted", connections });
}

async function end(): Promise<void> {
  stop.abort();
  running?.service.giveUp();
  await served;
  await running?.service.close();
  await running?.log.close();
  close();
}

parentPort!.on("message", (order: Order): void => {
  switch (order.do) {
    case "prepare":
      return void prepare(order.read);
    case "adopt":
      return adopt();
    case "drop":
      void next?.[Symbol.asyncDispose]();
      return next = undefined;
    case "log on":
      return taken.resolve();
    case "stop":
      return void end();
  }
});
