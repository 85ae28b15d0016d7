/**
 * What went over a milter connection, frame by frame, in words.
 *
 * @module
 */
import {
  type Command,
  type Frame,
  letter,
  parseCommand,
  parseReply,
  type Reply,
  SMFIC,
  SMFIR,
} from "../protocol/mod.ts";

/** One frame. */
export interface TraceEntry {
  readonly from: "mta" | "filter";
  /** SMFIC_ or SMFIR_ byte. */
  readonly code: number;
  /** `SMFIC_MAIL`, `SMFIR_CONTINUE`; `?` for a byte that the protocol does not have. */
  readonly name: string;
  /** The payload for people: control characters escaped, cut where it is long. Empty if there is none. */
  readonly detail: string;
}

const LONGEST = 300;
const decoder = new TextDecoder();

/** Words for the reader's current frame. A frame that cannot be read is shown as its length. */
export function traceOf(from: TraceEntry["from"], frame: Frame): TraceEntry {
  const { code, bytes, start, end } = frame;
  return { from, code, name: frameName(from, code), detail: cut(detail(from, code, bytes, start, end)) };
}

/** The letters of a trace, a quick view of the order of frames: `O D C …`. */
export function lettersOf(trace: readonly TraceEntry[], from?: TraceEntry["from"]): string {
  return trace.filter((entry) => from === undefined || entry.from === from)
    .map(({ code }) => letter(code).replaceAll("'", "")).join(" ");
}

/** Name of a frame's byte as in Sendmail's headers. */
export function frameName(from: TraceEntry["from"], code: number): string {
  const [prefix, names] = from === "mta" ? ["SMFIC", SMFIC] as const : ["SMFIR", SMFIR] as const;
  if (code === SMFIC.OPTNEG) return "SMFIC_OPTNEG";
  const found = Object.entries(names).find(([, value]) => value === code);
  return found === undefined ? "?" : `${prefix}_${found[0]}`;
}

function detail(
  from: TraceEntry["from"],
  code: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): string {
  // Bodies are long and not worth a copy.
  if (code === (from === "mta" ? SMFIC.BODY : SMFIR.REPLBODY)) return `${end - start} bytes`;
  try {
    return from === "mta"
      ? commandDetail(parseCommand(code, bytes, start, end))
      : replyDetail(parseReply(code, bytes, start, end));
  } catch {
    return end > start ? `${end - start} bytes that cannot be read` : "";
  }
}

function commandDetail(command: Command): string {
  switch (command.kind) {
    case "negotiate":
      return options(command);
    case "macros":
      return [letter(command.stage), ...command.pairs.map(([name, value]) => `${text(name)}=${text(value)}`)]
        .join(" ");
    case "connect": {
      const where = command.family === "unknown" ? "" : ` ${text(command.address)} port ${command.port}`;
      return `${text(command.host)} ${command.family}${where}`;
    }
    case "helo":
      return text(command.name);
    case "mail":
    case "rcpt":
      return [command.address, ...command.args].map(text).join(" ");
    case "unknown":
      return text(command.command);
    case "header":
      return `${text(command.name)}: ${text(command.value)}`;
    case "endOfMessage":
      return command.chunk.length === 0 ? "" : `${command.chunk.length} bytes`;
    default:
      return "";
  }
}

function replyDetail(reply: Reply): string {
  switch (reply.kind) {
    case "negotiate":
      return [options(reply), ...reply.macros.map(({ stage, names }) => `macros ${stage}: ${text(names)}`)]
        .join(", ");
    case "replyCode":
      return text(reply.text);
    case "quarantine":
      return text(reply.reason);
    case "addHeader":
      return `${text(reply.name)}: ${text(reply.value)}`;
    case "insertHeader":
    case "changeHeader":
      return `${reply.index} ${text(reply.name)}: ${text(reply.value)}`;
    case "changeSender":
    case "addRecipientWithArgs":
      return text(reply.address) + (reply.args === undefined ? "" : ` ${text(reply.args)}`);
    case "addRecipient":
    case "removeRecipient":
      return text(reply.address);
    default:
      return "";
  }
}

function options(
  { version, actions, protocol }: { version: number; actions: number; protocol: number },
): string {
  return `version ${version}, actions 0x${hex(actions)}, protocol 0x${hex(protocol)}`;
}

function hex(value: number): string {
  return (value >>> 0).toString(16);
}

function text(bytes: Uint8Array): string {
  const short = decoder.decode(bytes.subarray(0, LONGEST * 2));
  return short.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => {
    const known = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0" }[char];
    return known ?? `\\u{${char.codePointAt(0)!.toString(16)}}`;
  });
}

function cut(words: string): string {
  return words.length <= LONGEST ? words : `${words.slice(0, LONGEST)}…`;
}
