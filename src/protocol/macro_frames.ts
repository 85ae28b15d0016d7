/**
 * The macro frames that hold, for whoever has to be told of a connection or a mail later.
 *
 * @module
 */
import { SMFIC } from "./codes.ts";
import type { Frame } from "./frame.ts";
import { OwnFrame } from "./own_frame.ts";

/** Stages in the order of a session; macros of CONNECT, HELO, MAIL and RCPT outdate those of later ones. */
export const MACRO_STAGES: readonly number[] = [
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
const OUTDATING = MACRO_STAGES.indexOf(SMFIC.RCPT);

/** One frame a stage. */
export class MacroFrames {
  readonly #frames = new Map<number, OwnFrame>();

  /** Takes a well-formed SMFIC_MACRO frame, by copying it. A stage that is not known is passed over. */
  see(frame: Frame): void {
    const stage = frame.bytes[frame.start];
    const level = frame.start < frame.end ? MACRO_STAGES.indexOf(stage) : -1;
    if (level === -1) return;
    const kept = this.#frames.get(stage);
    // Postfix repeats the same macros before each field and piece of body.
    if (kept !== undefined && same(kept, frame)) return;
    if (level <= OUTDATING) { for (const later of MACRO_STAGES.slice(level + 1)) this.#frames.delete(later); }
    this.#frames.set(stage, OwnFrame.copy(frame));
  }

  /** The frame of a stage (SMFIC_ byte). */
  get(stage: number): OwnFrame | undefined {
    return this.#frames.get(stage);
  }

  /** All of them as they are now. */
  snapshot(): Map<number, OwnFrame> {
    return new Map(this.#frames);
  }

  /** SMFIC_QUIT_NC: another client follows. */
  clear(): void {
    this.#frames.clear();
  }
}

function same(kept: Frame, frame: Frame): boolean {
  const length = frame.end - frame.start;
  if (kept.end - kept.start !== length) return false;
  for (let i = 0; i < length; i++) {
    if (kept.bytes[kept.start + i] !== frame.bytes[frame.start + i]) return false;
  }
  return true;
}
