/**
 * What a new carrier must be told of a connection that began with another one.
 *
 * @module
 */
import {
  MACRO_STAGES,
  MacroFrames,
  type Options,
  OwnFrame,
  parseCommand,
  SMFIC,
} from "../../protocol/mod.ts";

/** A frame to be replayed, whole. */
export interface ReplayFrame {
  readonly code: number;
  readonly bytes: Uint8Array;
}

/** The frames that make a connection what it is: negotiation, connect, helo, and the macros that hold. */
export class Prelude {
  #negotiation: Uint8Array | undefined;
  #connect: Uint8Array | undefined;
  #helo: Uint8Array | undefined;
  readonly #macros = new MacroFrames();

  /** Notes a frame, its length word included; the bytes are copied if they are kept. */
  see(code: number, frame: Uint8Array): void {
    switch (code) {
      case SMFIC.OPTNEG:
        this.#negotiation = frame.slice();
        break;
      case SMFIC.CONNECT:
        this.#connect = frame.slice();
        this.#helo = undefined;
        break;
      case SMFIC.HELO:
        this.#helo = frame.slice();
        break;
      case SMFIC.QUIT_NC:
        this.#connect = this.#helo = undefined;
        this.#macros.clear();
        break;
      case SMFIC.MACRO:
        this.#macros.see(new OwnFrame(frame));
    }
  }

  /** What the MTA offered, once it has. */
  get offer(): Options | undefined {
    const frame = this.#negotiation;
    if (frame === undefined) return undefined;
    const offer = parseCommand(SMFIC.OPTNEG, frame, 5, frame.length);
    return offer.kind === "negotiate" ? offer : undefined;
  }

  /** The frames in the order in which they came. */
  *frames(): Iterable<ReplayFrame> {
    if (this.#negotiation !== undefined) yield { code: SMFIC.OPTNEG, bytes: this.#negotiation };
    for (const stage of MACRO_STAGES) {
      const macros = this.#macros.get(stage);
      if (macros !== undefined) yield { code: SMFIC.MACRO, bytes: macros.bytes };
      if (stage === SMFIC.CONNECT && this.#connect !== undefined) yield { code: stage, bytes: this.#connect };
      if (stage === SMFIC.HELO && this.#helo !== undefined) yield { code: stage, bytes: this.#helo };
    }
  }
}
