/**
 * What a new carrier must be told of a connection that began with another one.
 *
 * @module
 */
import { type Options, parseCommand, SMFIC } from "../../protocol/mod.ts";

/** Stages in the order of a session; macros of a stage outdate those after it. */
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
];

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
  readonly #macros = new Map<number, Uint8Array>();

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
        this.#seeMacros(frame);
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
    for (const stage of ORDER) {
      const macros = this.#macros.get(stage);
      if (macros !== undefined) yield { code: SMFIC.MACRO, bytes: macros };
      if (stage === SMFIC.CONNECT && this.#connect !== undefined) yield { code: stage, bytes: this.#connect };
      if (stage === SMFIC.HELO && this.#helo !== undefined) yield { code: stage, bytes: this.#helo };
    }
  }

  #seeMacros(frame: Uint8Array): void {
    const stage = frame[5];
    const level = ORDER.indexOf(stage);
    if (level === -1) return;
    const kept = this.#macros.get(stage);
    // Postfix repeats the same macros before each header and body piece.
    if (kept !== undefined && same(kept, frame)) return;
    if (level < ORDER.indexOf(SMFIC.DATA)) {
      for (const later of ORDER.slice(level + 1)) this.#macros.delete(later);
    }
    this.#macros.set(stage, frame.slice());
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
