/**
 * Inside the sandbox: loads one filter and runs its sessions, frames in and out over the rings.
 *
 * The thread has the filter's rights and no others, a heap of its own, and can be halted at any instruction. Nothing
 * the runtime does depends on this code being left alone by the filter beside it; it only has to be hard to hurt by
 * accident.
 *
 * @module
 */
import { parentPort, workerData } from "node:worker_threads";
// Loaded before the hooks are set, because what the helpers import themselves is none of the filter's graph.
import "../../filter/mod.ts";
import type { Log } from "../../filter/mod.ts";
import { FrameReader, FrameWriter, ProtocolError } from "../../protocol/mod.ts";
import { describeFilter, loadFilter } from "../../session/filter_module.ts";
import { FilterError, readManifest } from "../../session/manifest.ts";
import { FilterSession } from "../../session/filter_session.ts";
import type { FilterPlan, SessionHost } from "../../session/plan.ts";
import { isThrown, thrownText } from "../../text/thrown.ts";
import { beHaltable } from "./haltable.ts";
import { harden } from "./harden.ts";
import { FromInmate, type InmateSetup, ToInmate, Vitals, type WardenReport } from "./messages.ts";
import type { Refused } from "./refusals.ts";
import { servePinned } from "./pinned_modules.ts";
import { RingReader, RingWriter } from "./ring.ts";

/** Bytes of a log line or failure message that are passed on. */
const NOTE_LIMIT = 4096;
/** Log lines and refusals in one second; more would only keep the runtime busy, and it takes them for an attack. */
const NOTE_RATE = 1000;
/** How often the thread shows that it is alive and what memory it has outside the heap, ms. */
const BEAT = 50;

const setup = workerData as InmateSetup;
const port = parentPort!;
const encoder = new TextEncoder();
const decoder = new TextDecoder();
// Captured before a filter can replace them.
const { memoryUsage } = Deno;
const { add, store } = Atomics;
const { apply } = Reflect;
const { postMessage } = port;
const every = setInterval;
const vitals = new Int32Array(setup.vitals);

/** One MTA connection inside. */
interface Room {
  readonly session: FilterSession;
  readonly frames: FrameReader;
  readonly out: FrameWriter;
  pending: Promise<void> | undefined;
  lost: boolean;
}

class Inmate {
  readonly #in = new RingReader(setup.toInmate);
  readonly #ring = new RingWriter(setup.fromInmate);
  readonly #rooms = new Map<number, Room>();
  readonly #plan: FilterPlan;
  /** Records that found no room in the ring. */
  readonly #backlog: { kind: number; session: number; payload: Uint8Array }[] = [];
  #draining = false;
  #second = 0;
  #notes = 0;
  #dropped = 0;

  constructor(plan: FilterPlan) {
    this.#plan = plan;
  }

  async run(): Promise<never> {
    const take = (kind: number, id: number, payload: Uint8Array): void => this.#take(kind, id, payload);
    for (;;) {
      this.#in.drain(take);
      this.#ring.flush();
      await this.#in.arrived();
    }
  }

  #take(kind: number, id: number, payload: Uint8Array): void {
    if (kind === ToInmate.OPEN) {
      const session = new FilterSession(this.#plan, this.#hostOf(id), payload[0] === 1);
      this.#rooms.set(id, {
        session,
        frames: new FrameReader(undefined, 1024),
        out: new FrameWriter(),
        pending: undefined,
        lost: false,
      });
      return;
    }
    const room = this.#rooms.get(id);
    if (room === undefined) return;
    if (kind === ToInmate.FRAMES) {
      room.frames.push(payload);
      this.#sweep(id, room);
    } else if (kind === ToInmate.EXPIRE) {
      room.pending = undefined;
      room.frames.held = false;
      this.#hold(id, room, room.session.expire(room.out, Number(decoder.decode(payload))));
      this.#sweep(id, room);
    } else if (kind === ToInmate.LOST) {
      room.lost = true;
      const done = (): void => {
        this.#rooms.delete(id);
        this.#send(FromInmate.DONE, id, new Uint8Array(0));
        this.#ring.flush();
      };
      const last = room.session.lost();
      if (last === undefined) done();
      else last.then(done, done);
    }
  }

  /** Handles every whole frame of a session that waits for nothing. */
  #sweep(id: number, room: Room): void {
    try {
      while (room.pending === undefined && room.frames.next()) {
        this.#hold(id, room, room.session.receive(room.frames, room.out));
      }
    } catch (error) {
      // The runtime has checked every frame before: only a filter that meddles gets here.
      if (!isThrown(error, ProtocolError)) throw error;
      this.#note(FromInmate.FAILURE, id, { kind: "protocol", hook: "", message: error.message });
    }
    // Of many connections most wait for their next frame, and need no buffer for it.
    room.frames.rest();
    this.#answer(id, room);
  }

  #hold(id: number, room: Room, pending: Promise<void> | undefined): void {
    if (pending === undefined) return;
    room.pending = pending;
    room.frames.held = true;
    const settled = (): void => {
      if (room.pending !== pending) return;
      room.pending = undefined;
      room.frames.held = false;
      this.#sweep(id, room);
      this.#ring.flush();
    };
    pending.then(settled, settled);
  }

  #answer(id: number, room: Room): void {
    if (room.out.length > 0 && !room.lost) this.#send(FromInmate.REPLY, id, room.out.take());
  }

  #send(kind: number, session: number, payload: Uint8Array): void {
    for (let at = 0; at === 0 || at < payload.length; at += this.#ring.largest) {
      const piece = payload.length <= this.#ring.largest
        ? payload
        : payload.subarray(at, at + this.#ring.largest);
      if (this.#backlog.length > 0 || !this.#ring.write(kind, session, piece)) {
        this.#backlog.push({ kind, session, payload: piece.slice() });
      }
    }
    if (this.#backlog.length > 0 && !this.#draining) void this.#drainBacklog();
  }

  async #drainBacklog(): Promise<void> {
    this.#draining = true;
    while (this.#backlog.length > 0) {
      const { kind, session, payload } = this.#backlog[0];
      if (this.#ring.write(kind, session, payload)) {
        this.#backlog.shift();
        continue;
      }
      this.#ring.flush();
      await this.#ring.room();
    }
    this.#ring.flush();
    this.#draining = false;
  }

  #note(kind: number, session: number, note: object): void {
    let text: string;
    try {
      text = JSON.stringify(note, (_, value) => typeof value === "string" ? value.slice(0, 1000) : value) ??
        "{}";
    } catch (error) {
      text = JSON.stringify({
        level: "warn",
        kind: "error",
        hook: "",
        message: `a record that is no plain data: ${thrownText(error)}`,
      });
    }
    if (text.length > NOTE_LIMIT) {
      text = JSON.stringify({
        level: "warn",
        kind: "error",
        hook: "",
        message: `${text.slice(0, NOTE_LIMIT - 200)} …`,
      });
    }
    this.#send(kind, session, encoder.encode(text));
    this.#ring.flush();
  }

  #hostOf(id: number): SessionHost {
    return {
      now: () => performance.now(),
      log: this.logOf(id),
      // The runtime makes its own report; it has seen all it needs.
      mail: () => {},
      failure: ({ kind, hook, message }) => this.#note(FromInmate.FAILURE, id, { kind, hook, message }),
    };
  }

  refused(right: string, value: string): void {
    if (this.#mayNote()) this.#note(FromInmate.REFUSAL, 0, { right, value });
  }

  #mayNote(): boolean {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#notes = 0;
      if (this.#dropped > 0) this.#note(FromInmate.LOG, 0, { level: "warn", dropped: this.#dropped });
      this.#dropped = 0;
    }
    if (++this.#notes <= NOTE_RATE) return true;
    this.#dropped++;
    return false;
  }

  logOf(id: number): Log {
    const write = (level: string) => (message: string, fields?: Readonly<Record<string, unknown>>): void => {
      if (this.#mayNote()) this.#note(FromInmate.LOG, id, { level, message: String(message), fields });
    };
    return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  }
}

/** Log lines of a filter that is still starting; the rest is dropped. */
const EARLY_LINES = 100;

/** A log that remembers, for the time before there is a ring to write to. */
function earlyLog(): Log & { flush(to: Log): void } {
  const lines: ((to: Log) => void)[] = [];
  const at = (level: keyof Log) => (...args: Parameters<Log["info"]>): void => {
    if (lines.length < EARLY_LINES) lines.push((to) => to[level](...args));
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    flush: (to) => lines.forEach((line) => line(to)),
  };
}

function report(message: WardenReport): void {
  apply(postMessage, port, [message]);
}

function beat(): void {
  store(vitals, Vitals.EXTERNAL, memoryUsage().external / 1024);
  add(vitals, Vitals.BEATS, 1);
}

async function start(): Promise<void> {
  beHaltable();
  beat();
  every(beat, BEAT);
  // A pending waitAsync does not keep the thread alive, a listener does.
  port.on("message", () => {});
  const helpers = new URL("../../filter/mod.ts", import.meta.url).href;
  const own = typeof setup.code === "string" ? new URL("./", setup.code).href : "none:";
  const earlyRefusals: Parameters<Refused>[] = [];
  const refusals: { tell: Refused } = {
    tell: (right, value) => {
      if (earlyRefusals.length < EARLY_LINES) earlyRefusals.push([right, value]);
    },
  };
  const refused: Refused = (right, value) => refusals.tell(right, value);
  const conditions = new URL("../../conditions/mod.ts", import.meta.url).href;
  servePinned(typeof setup.code === "string" ? undefined : setup.code, helpers, own, refused, conditions);
  const early = earlyLog();
  const log: { inner: Log } = { inner: early };
  harden((level, words) => log.inner[level](words), refused);
  const entry = typeof setup.code === "string" ? setup.code : setup.code.entry;
  const controller = new AbortController();
  const env = {
    options: setup.options,
    signal: controller.signal,
    log: {
      debug: (...args: Parameters<Log["debug"]>) => log.inner.debug(...args),
      info: (...args: Parameters<Log["info"]>) => log.inner.info(...args),
      warn: (...args: Parameters<Log["warn"]>) => log.inner.warn(...args),
      error: (...args: Parameters<Log["error"]>) => log.inner.error(...args),
    },
  };
  if (setup.manifestOnly) {
    const manifest = readManifest((await import(entry)).manifest)?.data;
    report({ kind: "ready", description: { name: undefined, hooks: [], declared: {}, manifest } });
    return;
  }
  const loaded = await loadFilter(() => import(entry), env);
  const { filter } = loaded;
  const inmate = new Inmate({ name: setup.name, filter, policy: setup.policy, limits: setup.limits });
  log.inner = inmate.logOf(0);
  early.flush(log.inner);
  refusals.tell = (right, value) => inmate.refused(right, value);
  for (const [right, value] of earlyRefusals) inmate.refused(right, value);
  report({ kind: "ready", description: describeFilter(loaded) });
  await inmate.run();
}

start().catch((error) => {
  report({
    kind: "load-failed",
    // A FilterError is the runtime's own sentence; of others the name helps.
    message: isThrown(error, FilterError) ? error.message : thrownText(error),
  });
});
