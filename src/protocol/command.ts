/**
 * Commands: what the MTA sends (SMFIC_*), as values and as frames.
 *
 * Text stays bytes, so what came in can go out unchanged.
 *
 * @module
 */
import { MAX_STRINGS, textEnd, texts, u32 } from "./bytes.ts";
import { letter, SMFIC } from "./codes.ts";
import { ProtocolError } from "./errors.ts";
import type { FrameWriter } from "./frame.ts";
import { kept } from "./kept.ts";

/** One command. `bytes` fields are copies, in buffers shared with others, and free of NUL, except the chunks. */
export type Command =
  | {
    readonly kind: "negotiate";
    readonly version: number;
    readonly actions: number;
    readonly protocol: number;
  }
  | { readonly kind: "macros"; readonly stage: number; readonly pairs: readonly MacroPair[] }
  | ConnectCommand
  | { readonly kind: "helo"; readonly name: Uint8Array }
  | { readonly kind: "mail"; readonly address: Uint8Array; readonly args: readonly Uint8Array[] }
  | { readonly kind: "rcpt"; readonly address: Uint8Array; readonly args: readonly Uint8Array[] }
  | { readonly kind: "data" }
  | { readonly kind: "unknown"; readonly command: Uint8Array }
  | { readonly kind: "header"; readonly name: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: "endOfHeaders" }
  | { readonly kind: "body"; readonly chunk: Uint8Array }
  | { readonly kind: "endOfMessage"; readonly chunk: Uint8Array }
  | { readonly kind: "abort" }
  | { readonly kind: "quit" }
  | { readonly kind: "quitNewConnection" };

/** Name and value of a macro, the name as on the wire: `i`, `{mail_addr}`. */
export type MacroPair = readonly [name: Uint8Array, value: Uint8Array];

/** SMFIC_CONNECT. Port and address are there for every family but unknown. */
export interface ConnectCommand {
  readonly kind: "connect";
  readonly host: Uint8Array;
  readonly family: "inet" | "inet6" | "unix" | "unknown";
  readonly port: number;
  readonly address: Uint8Array;
}

const FAMILIES = { 0x34: "inet", 0x36: "inet6", 0x4c: "unix", 0x55: "unknown" } as const;
const FAMILY_BYTES = { inet: 0x34, inet6: 0x36, unix: 0x4c, unknown: 0x55 } as const;
const EMPTY = new Uint8Array(0);

/**
 * Reads the payload of a command frame, `bytes` from `start` up to `end`.
 *
 * @throws {ProtocolError} `unknown-code`, `truncated`, `bad-text`, `bad-value` or `too-many`.
 */
export function parseCommand(code: number, bytes: Uint8Array, start: number, end: number): Command {
  switch (code) {
    case SMFIC.OPTNEG:
      return {
        kind: "negotiate",
        version: u32(bytes, start, end, code, "version"),
        actions: u32(bytes, start + 4, end, code, "actions"),
        protocol: u32(bytes, start + 8, end, code, "protocol flags"),
      };
    case SMFIC.MACRO: {
      if (start >= end) {
        throw new ProtocolError("truncated", "Cannot read command 'D': it ends before the stage letter");
      }
      return { kind: "macros", stage: bytes[start], pairs: parseMacroPairs(bytes, start + 1, end) };
    }
    case SMFIC.CONNECT:
      return parseConnect(bytes, start, end);
    case SMFIC.HELO:
      return { kind: "helo", name: single(bytes, start, end, code, "name") };
    case SMFIC.MAIL: {
      const [address, ...args] = envelope(bytes, start, end, code);
      return { kind: "mail", address, args };
    }
    case SMFIC.RCPT: {
      const [address, ...args] = envelope(bytes, start, end, code);
      return { kind: "rcpt", address, args };
    }
    case SMFIC.DATA:
      return { kind: "data" };
    case SMFIC.UNKNOWN:
      return { kind: "unknown", command: single(bytes, start, end, code, "command") };
    case SMFIC.HEADER: {
      const nameEnd = headerNameEnd(bytes, start, end);
      return { kind: "header", name: bytes.slice(start, nameEnd), value: bytes.slice(nameEnd + 1, end - 1) };
    }
    case SMFIC.EOH:
      return { kind: "endOfHeaders" };
    case SMFIC.BODY:
      return { kind: "body", chunk: bytes.slice(start, end) };
    case SMFIC.BODYEOB:
      return { kind: "endOfMessage", chunk: bytes.slice(start, end) };
    case SMFIC.ABORT:
      return { kind: "abort" };
    case SMFIC.QUIT:
      return { kind: "quit" };
    case SMFIC.QUIT_NC:
      return { kind: "quitNewConnection" };
    default:
      throw new ProtocolError(
        "unknown-code",
        `Cannot read command ${letter(code)}: the milter protocol has none of that name`,
      );
  }
}

/**
 * Checks a header payload (`name NUL value NUL`) and gives the index of the NUL after the name.
 *
 * @throws {ProtocolError} `truncated` or `bad-text`; also for an empty name.
 */
export function headerNameEnd(bytes: Uint8Array, start: number, end: number): number {
  const nameEnd = textEnd(bytes, start, end, SMFIC.HEADER, "header name");
  if (nameEnd === start) {
    throw new ProtocolError("bad-text", "Cannot read command 'L': the header name is empty");
  }
  if (nameEnd + 1 >= end) {
    throw new ProtocolError("truncated", "Cannot read command 'L': it ends before the header value");
  }
  if (bytes[end - 1] !== 0) {
    throw new ProtocolError("bad-text", "Cannot read command 'L': the header value has no closing NUL");
  }
  return nameEnd;
}

/** Name and value of each macro of a SMFIC_MACRO payload, behind its stage letter. A name may be empty, a value too. */
export function parseMacroPairs(bytes: Uint8Array, start: number, end: number): MacroPair[] {
  const strings = texts(bytes, start, end, SMFIC.MACRO, "macro");
  if (strings.length % 2 !== 0) {
    throw new ProtocolError("truncated", "Cannot read command 'D': the last macro has a name and no value");
  }
  const pairs: MacroPair[] = [];
  for (let i = 0; i < strings.length; i += 2) pairs.push([strings[i], strings[i + 1]]);
  return pairs;
}

function parseConnect(bytes: Uint8Array, start: number, end: number): ConnectCommand {
  const code = SMFIC.CONNECT;
  const hostEnd = textEnd(bytes, start, end, code, "host name");
  const host = kept(bytes, start, hostEnd);
  const at = hostEnd + 1;
  if (at >= end) {
    throw new ProtocolError("truncated", "Cannot read command 'C': it ends before the address family");
  }
  const family = FAMILIES[bytes[at] as keyof typeof FAMILIES];
  if (family === undefined) {
    throw new ProtocolError(
      "bad-value",
      `Cannot read command 'C': address family ${letter(bytes[at])} is not 4, 6, L or U`,
    );
  }
  // Sendmail sends nothing after U; other senders may fill port and address all the same.
  if (family === "unknown") return { kind: "connect", host, family, port: 0, address: EMPTY };
  if (end - at < 4) {
    throw new ProtocolError("truncated", "Cannot read command 'C': it ends inside port or address");
  }
  const port = bytes[at + 1] << 8 | bytes[at + 2];
  const addressEnd = textEnd(bytes, at + 3, end, code, "address");
  return { kind: "connect", host, family, port, address: kept(bytes, at + 3, addressEnd) };
}

function single(bytes: Uint8Array, start: number, end: number, code: number, field: string): Uint8Array {
  return kept(bytes, start, textEnd(bytes, start, end, code, field));
}

function envelope(
  bytes: Uint8Array,
  start: number,
  end: number,
  code: number,
): [Uint8Array, ...Uint8Array[]] {
  const [address, ...args] = texts(bytes, start, end, code, "address or argument");
  if (address === undefined) {
    throw new ProtocolError("truncated", `Cannot read command ${letter(code)}: it ends before the address`);
  }
  return [address, ...args];
}

/**
 * Appends the frame of a command.
 *
 * @throws {RangeError} if a text holds a NUL, or a list is too long: that would be our mistake, not the peer's.
 */
export function encodeCommand(command: Command, out: FrameWriter): void {
  switch (command.kind) {
    case "negotiate":
      out.begin(SMFIC.OPTNEG).u32(command.version).u32(command.actions).u32(command.protocol).end();
      return;
    case "macros":
      checkCount(command.pairs.length * 2);
      out.begin(SMFIC.MACRO).u8(command.stage);
      for (const [name, value] of command.pairs) out.text(checked(name)).text(checked(value));
      out.end();
      return;
    case "connect":
      out.begin(SMFIC.CONNECT).text(checked(command.host)).u8(FAMILY_BYTES[command.family]);
      if (command.family !== "unknown") out.u16(command.port).text(checked(command.address));
      out.end();
      return;
    case "helo":
      out.begin(SMFIC.HELO).text(checked(command.name)).end();
      return;
    case "mail":
    case "rcpt":
      checkCount(command.args.length + 1);
      out.begin(command.kind === "mail" ? SMFIC.MAIL : SMFIC.RCPT).text(checked(command.address));
      for (const arg of command.args) out.text(checked(arg));
      out.end();
      return;
    case "unknown":
      out.begin(SMFIC.UNKNOWN).text(checked(command.command)).end();
      return;
    case "header":
      if (command.name.length === 0) throw new RangeError("Cannot send a header: its name is empty");
      // The value may hold a NUL: Sendmail's may, and only the last byte closes it.
      out.begin(SMFIC.HEADER).text(checked(command.name)).text(command.value).end();
      return;
    case "body":
      out.begin(SMFIC.BODY).raw(command.chunk).end();
      return;
    case "endOfMessage":
      out.begin(SMFIC.BODYEOB).raw(command.chunk).end();
      return;
    default:
      out.simple(PLAIN[command.kind]);
  }
}

const PLAIN = {
  data: SMFIC.DATA,
  endOfHeaders: SMFIC.EOH,
  abort: SMFIC.ABORT,
  quit: SMFIC.QUIT,
  quitNewConnection: SMFIC.QUIT_NC,
} as const;

/** Gives the text back if it can be closed by a NUL. @throws {RangeError} if it holds one. */
export function checked(text: Uint8Array): Uint8Array {
  if (text.includes(0)) {
    throw new RangeError("Cannot send a text with a NUL byte inside: NUL ends a text on the wire");
  }
  return text;
}

function checkCount(count: number): void {
  if (count > MAX_STRINGS) {
    throw new RangeError(`Cannot send ${count} strings in one frame, the limit is ${MAX_STRINGS}`);
  }
}
