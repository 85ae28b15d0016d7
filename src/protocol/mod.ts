/**
 * The milter protocol: bytes to meaning and back, both sides of the wire. Pure: no await, no timers, no runtime.
 *
 * @module
 */
export * from "./codes.ts";
export {
  type Command,
  type ConnectCommand,
  encodeCommand,
  headerNameEnd,
  type MacroPair,
  parseCommand,
} from "./command.ts";
export { ProtocolError, type ProtocolErrorCode } from "./errors.ts";
export { foreignProtocol } from "./foreign.ts";
export { DEFAULT_FRAME_LIMIT, type Frame, FrameReader, framesIn, FrameWriter } from "./frame.ts";
export { copyBytes, kept, room } from "./kept.ts";
export { MACRO_STAGES, MacroFrames } from "./macro_frames.ts";
export { MacroStore } from "./macros.ts";
export {
  agree,
  type Agreement,
  checkAnswer,
  effectiveOffer,
  isSent,
  type Options,
  type Wants,
  wantsReply,
} from "./negotiate.ts";
export { frameHead, OwnFrame } from "./own_frame.ts";
export { encodeReply, isFinal, type MacroList, parseReply, type Reply } from "./reply.ts";
export { Effect, nextState, State, stateName, step } from "./state.ts";
