/**
 * The MTA's session with the test as its filter: commands in, letters of frames out.
 *
 * @module
 */
import assert from "node:assert/strict";
import { encodeReply, FrameReader, FrameWriter, type Reply } from "../../src/protocol/mod.ts";
import type { MtaDialect } from "../../src/session/mta_dialect.ts";
import { MtaSession } from "../../src/session/mta_session.ts";
import type { MtaCommand, MtaEvent, MtaOptions } from "../../src/session/mta_types.ts";
import { toHex, utf8 } from "../property/wire.ts";

export const EMPTY = new Uint8Array(0);
export const CONTINUE: Reply = { kind: "continue" };

/** A session with a wire at which the test plays the filter. */
export class Play {
  readonly session: MtaSession;
  readonly warnings: string[] = [];
  /** What the session has written. */
  readonly out = new FrameWriter();

  constructor(dialect: MtaDialect, options: Partial<MtaOptions> = {}) {
    this.session = new MtaSession({ dialect, warn: (message) => this.warnings.push(message), ...options });
  }

  /** Negotiates; the filter answers with these protocol flags and all actions. */
  negotiated(protocol = 0, actions = 0x1ff, version = 6): this {
    this.session.start(this.out);
    this.out.take();
    this.answer({ kind: "negotiate", version, actions, protocol, macros: [] });
    return this;
  }

  /** Sends a command; gives the letters of the frames that went out, and `?` behind them if an answer is due. */
  send(command: MtaCommand): string {
    const sent = this.session.send(command, this.out);
    return this.written() + (sent === "asked" ? "?" : "");
  }

  /** Letters of the frames written since. */
  written(): string {
    const frames = new FrameReader();
    frames.push(this.out.take());
    let letters = "";
    while (frames.next()) letters += String.fromCharCode(frames.code);
    return letters;
  }

  bytes(): string {
    return toHex(this.out.take());
  }

  answer(reply: Reply): MtaEvent {
    const frame = new FrameWriter();
    encodeReply(reply, frame);
    return this.take(frame.view());
  }

  take(bytes: Uint8Array): MtaEvent {
    const reader = new FrameReader();
    reader.push(bytes);
    assert.ok(reader.next());
    return this.session.receive(reader, this.out);
  }

  /** Sends commands, each answered with continue where an answer is due; gives the letters. */
  pass(...commands: MtaCommand[]): string {
    return commands.map((command) => {
      const letters = this.send(command);
      if (letters.endsWith("?")) this.answer(CONTINUE);
      return letters.replace("?", "");
    }).join(" ");
  }

  /** Up to, not including, the answer to a command of this kind. */
  upTo(kind: MtaCommand["kind"]): this {
    for (const command of ALL) {
      if (command.kind === kind) {
        assert.ok(this.send(command).endsWith("?"), kind);
        return this;
      }
      this.pass(command);
    }
    throw new Error(kind);
  }
}

export const connect: MtaCommand = {
  kind: "connect",
  host: utf8("localhost"),
  family: "inet",
  port: 48294,
  address: utf8("127.0.0.1"),
};
export const helo: MtaCommand = { kind: "helo", name: utf8("client.example.org") };
export const mail: MtaCommand = { kind: "mail", address: utf8("<sender@example.org>"), args: [] };
export const rcpt: MtaCommand = { kind: "rcpt", address: utf8("<rcpt@example.test>"), args: [] };
export const data: MtaCommand = { kind: "data" };
export const header: MtaCommand = { kind: "header", name: utf8("Subject"), value: utf8("test") };
export const endOfHeaders: MtaCommand = { kind: "endOfHeaders" };
export const body: MtaCommand = { kind: "body", chunk: utf8("hello\r\n") };
export const endOfMessage: MtaCommand = { kind: "endOfMessage", chunk: EMPTY };
export const abort: MtaCommand = { kind: "abort" };
export const quit: MtaCommand = { kind: "quit" };
export const unknown: MtaCommand = { kind: "unknown", command: utf8("FROB") };
/** One mail from the connection on. */
export const ALL: readonly MtaCommand[] = [
  connect,
  helo,
  mail,
  rcpt,
  data,
  header,
  endOfHeaders,
  body,
  endOfMessage,
];
/** The same from MAIL on. */
export const MAIL: readonly MtaCommand[] = ALL.slice(2);
