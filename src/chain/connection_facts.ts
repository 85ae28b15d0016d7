/**
 * What an MTA has said of a connection, kept for links that hear of it later, for conditions, and for reports.
 *
 * @module
 */
import { type Client, HeaderList } from "../filter/mod.ts";
import {
  encodeCommand,
  type Frame,
  FrameWriter,
  MacroFrames,
  MacroStore,
  OwnFrame,
  parseCommand,
  SMFIC,
} from "../protocol/mod.ts";
import { clientOf } from "../session/addresses.ts";
import type { MailFacts } from "./selector.ts";

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
  readonly #frames = new MacroFrames();

  /** What conditions may know of the connection. */
  get facts(): Pick<MailFacts, "client" | "helo" | "macros"> {
    const { client, heloName: helo, macros } = this;
    return { client, helo, macros };
  }

  /** What they may know before there is a mail. */
  get early(): MailFacts {
    const stage = this.helo === undefined ? "connect" : "helo";
    return { ...this.facts, stage, sender: undefined, recipients: [], headers: NO_FIELDS, size: 0 };
  }

  /** The macro frame that holds for a stage. */
  macroFrame(stage: number): OwnFrame | undefined {
    return this.#frames.get(stage);
  }

  /** All macro frames that hold, for whoever looks at the mail after this connection has gone on. */
  macroFrames(): ReadonlyMap<number, OwnFrame> {
    return this.#frames.snapshot();
  }

  /** Takes a SMFIC_MACRO frame. @throws {ProtocolError} if it is malformed. */
  seeMacros(frame: Frame): void {
    this.macros.set(frame.bytes, frame.start, frame.end);
    this.#frames.see(frame);
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
