/**
 * What an MTA has said of a connection, kept for links that hear of it later, for conditions, and for reports.
 *
 * @module
 */
import { type Client, HeaderList } from "../filter/mod.ts";
import { encodeCommand, type Frame, FrameWriter, MacroStore, parseCommand, SMFIC } from "../protocol/mod.ts";
import { clientOf } from "../session/addresses.ts";
import type { MailFacts } from "./selector.ts";
import { OwnFrame } from "./spool.ts";

/** Stages in the order of a session: what begins at one outdates the macros of those after it. */
const ORDER: readonly number[] = [
  SMFIC.CONNECT,
  SMFIC.HELO,
  SMFIC.MAIL,
  SMFIC.RCPT,
  SMFIC.DATA,
  SMFIC.HEADER,
  SMFIC.EOH,
  SMFIC.BODY,
  SMFIC.BODYEOB,
  SMFIC.UNKNOWN,
];
const NO_FIELDS = new HeaderList([]);
const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** One SMTP client's connection. */
export class ConnectionFacts {
  connect: OwnFrame | undefined;
  helo: OwnFrame | undefined;
  client: Client | undefined;
  heloName: string | undefined;
  readonly macros: MacroStore = new MacroStore();
  readonly #frames = new Map<number, OwnFrame>();

  /** What conditions may know before there is a mail. */
  get facts(): MailFacts {
    const { client, heloName, macros, helo } = this;
    const stage = helo === undefined ? "connect" : "helo";
    return {
      stage,
      client,
      helo: heloName,
      sender: undefined,
      recipients: [],
      headers: NO_FIELDS,
      size: 0,
      macros,
    };
  }

  /** The macro frame that holds for a stage. */
  macroFrame(stage: number): OwnFrame | undefined {
    return this.#frames.get(stage);
  }

  /** All macro frames that hold, for whoever looks at the mail after this connection has gone on. */
  macroFrames(): ReadonlyMap<number, OwnFrame> {
    return new Map(this.#frames);
  }

  /** Takes a SMFIC_MACRO frame. @throws {ProtocolError} if it is malformed. */
  seeMacros(frame: Frame): void {
    this.macros.set(frame.bytes, frame.start, frame.end);
    const stage = frame.bytes[frame.start];
    const level = ORDER.indexOf(stage);
    if (frame.start === frame.end || level === -1) return;
    const kept = this.#frames.get(stage);
    // Postfix repeats the same macros before each field and piece of body.
    if (kept !== undefined && same(kept, frame)) return;
    if (level < ORDER.indexOf(SMFIC.DATA)) {
      for (const later of ORDER.slice(level + 1)) this.#frames.delete(later);
    }
    this.#frames.set(stage, OwnFrame.copy(frame));
  }

  /** Takes SMFIC_CONNECT or SMFIC_HELO. @throws {ProtocolError} if it is malformed. */
  see(frame: Frame): void {
    const command = parseCommand(frame.code, frame.bytes, frame.start, frame.end);
    if (command.kind === "connect") {
      this.client = clientOf(command);
      this.connect = OwnFrame.copy(frame);
      this.helo = this.heloName = undefined;
    } else if (command.kind === "helo") {
      this.heloName = decoder.decode(command.name);
      this.helo = OwnFrame.copy(frame);
    }
  }

  /** SMFIC_QUIT_NC: another client follows. */
  clear(): void {
    this.connect =
      this.helo =
      this.client =
      this.heloName =
        undefined;
    this.macros.clear();
    this.#frames.clear();
  }
}

/** A macro frame with one value replaced, or a frame with that value alone. */
export function macrosWith(
  frame: Frame | undefined,
  stage: number,
  name: string,
  value: Uint8Array,
): OwnFrame {
  const wire = encoder.encode(name);
  const pairs: (readonly [Uint8Array, Uint8Array])[] = [];
  if (frame !== undefined) {
    const command = parseCommand(SMFIC.MACRO, frame.bytes, frame.start, frame.end);
    if (command.kind === "macros") {
      pairs.push(...command.pairs.filter(([key]) => decoder.decode(key) !== name));
    }
  }
  const out = new FrameWriter();
  encodeCommand({ kind: "macros", stage, pairs: [...pairs, [wire, value]] }, out);
  return new OwnFrame(out.take().slice());
}

function same(kept: OwnFrame, frame: Frame): boolean {
  const length = frame.end - frame.start;
  if (kept.end - kept.start !== length) return false;
  for (let i = 0; i < length; i++) {
    if (kept.bytes[kept.start + i] !== frame.bytes[frame.start + i]) return false;
  }
  return true;
}
