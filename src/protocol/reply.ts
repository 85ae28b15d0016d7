/**
 * Replies: what a filter answers (SMFIR_*), as values and as frames.
 *
 * @module
 */
import { textEnd, texts, u32 } from "./bytes.ts";
import { letter, SMFIC, SMFIR } from "./codes.ts";
import { checked } from "./command.ts";
import { ProtocolError } from "./errors.ts";
import type { FrameWriter } from "./frame.ts";

/** Macro names asked for at one stage (SMFIM_* number), separated by blanks. */
export interface MacroList {
  readonly stage: number;
  readonly names: Uint8Array;
}

/** One reply. Text stays bytes. `args` is the one string of ESMTP parameters, or undefined if not sent. */
export type Reply =
  | {
    readonly kind: "negotiate";
    readonly version: number;
    readonly actions: number;
    readonly protocol: number;
    readonly macros: readonly MacroList[];
  }
  | { readonly kind: "continue" }
  | { readonly kind: "accept" }
  | { readonly kind: "reject" }
  | { readonly kind: "tempfail" }
  | { readonly kind: "discard" }
  | { readonly kind: "skip" }
  | { readonly kind: "progress" }
  /** Known so that a client can name it; never sent by millrace: Postfix before 2025-12 loses mail over it. */
  | { readonly kind: "shutdown" }
  | { readonly kind: "connectionFailed" }
  | { readonly kind: "replyCode"; readonly text: Uint8Array }
  | { readonly kind: "quarantine"; readonly reason: Uint8Array }
  | { readonly kind: "addHeader"; readonly name: Uint8Array; readonly value: Uint8Array }
  | {
    readonly kind: "insertHeader";
    readonly index: number;
    readonly name: Uint8Array;
    readonly value: Uint8Array;
  }
  | {
    readonly kind: "changeHeader";
    readonly index: number;
    readonly name: Uint8Array;
    readonly value: Uint8Array;
  }
  | { readonly kind: "replaceBody"; readonly chunk: Uint8Array }
  | { readonly kind: "changeSender"; readonly address: Uint8Array; readonly args: Uint8Array | undefined }
  | { readonly kind: "addRecipient"; readonly address: Uint8Array }
  | {
    readonly kind: "addRecipientWithArgs";
    readonly address: Uint8Array;
    readonly args: Uint8Array | undefined;
  }
  | { readonly kind: "removeRecipient"; readonly address: Uint8Array };

const PLAIN = {
  continue: SMFIR.CONTINUE,
  accept: SMFIR.ACCEPT,
  reject: SMFIR.REJECT,
  tempfail: SMFIR.TEMPFAIL,
  discard: SMFIR.DISCARD,
  skip: SMFIR.SKIP,
  progress: SMFIR.PROGRESS,
  shutdown: SMFIR.SHUTDOWN,
  connectionFailed: SMFIR.CONN_FAIL,
} as const;

type PlainKind = keyof typeof PLAIN;

const PLAIN_BY_CODE: ReadonlyMap<number, Reply> = new Map(
  Object.entries(PLAIN).map(([kind, code]) => [code, Object.freeze({ kind: kind as PlainKind })]),
);

/**
 * Reads the payload of a reply frame, `bytes` from `start` up to `end`.
 *
 * @throws {ProtocolError} `unknown-code`, `truncated`, `bad-text`, `bad-value` (a payload where none may be).
 */
export function parseReply(code: number, bytes: Uint8Array, start: number, end: number): Reply {
  const plain = PLAIN_BY_CODE.get(code);
  if (plain !== undefined) {
    // Postfix takes a surplus byte for a broken filter, so a client of ours says so as well.
    if (end > start) {
      throw new ProtocolError(
        "bad-value",
        `Cannot read reply ${letter(code)}: it has ${end - start} bytes too many`,
      );
    }
    return plain;
  }
  switch (code) {
    case SMFIC.OPTNEG:
      return {
        kind: "negotiate",
        version: u32(bytes, start, end, code, "version"),
        actions: u32(bytes, start + 4, end, code, "actions"),
        protocol: u32(bytes, start + 8, end, code, "protocol flags"),
        macros: parseMacroLists(bytes, start + 12, end),
      };
    case SMFIR.REPLYCODE:
      return { kind: "replyCode", text: only(bytes, start, end, code, "text") };
    case SMFIR.QUARANTINE:
      return { kind: "quarantine", reason: only(bytes, start, end, code, "reason") };
    case SMFIR.ADDHEADER: {
      const [name, value] = pair(bytes, start, end, code);
      return { kind: "addHeader", name, value };
    }
    case SMFIR.INSHEADER:
    case SMFIR.CHGHEADER: {
      const index = u32(bytes, start, end, code, "index");
      const [name, value] = pair(bytes, start + 4, end, code);
      return { kind: code === SMFIR.INSHEADER ? "insertHeader" : "changeHeader", index, name, value };
    }
    case SMFIR.REPLBODY:
      return { kind: "replaceBody", chunk: bytes.slice(start, end) };
    case SMFIR.CHGFROM:
    case SMFIR.ADDRCPT_PAR: {
      const [address, args] = addressAndArgs(bytes, start, end, code);
      return { kind: code === SMFIR.CHGFROM ? "changeSender" : "addRecipientWithArgs", address, args };
    }
    case SMFIR.ADDRCPT:
      return { kind: "addRecipient", address: only(bytes, start, end, code, "address") };
    case SMFIR.DELRCPT:
      return { kind: "removeRecipient", address: only(bytes, start, end, code, "address") };
    default:
      throw new ProtocolError(
        "unknown-code",
        `Cannot read reply ${letter(code)}: the milter protocol has none of that name`,
      );
  }
}

function parseMacroLists(bytes: Uint8Array, start: number, end: number): MacroList[] {
  const lists: MacroList[] = [];
  for (let at = start; at < end;) {
    if (lists.length === 16) {
      throw new ProtocolError("too-many", "Cannot read reply 'O': over 16 macro lists");
    }
    const stage = u32(bytes, at, end, SMFIC.OPTNEG, "macro list");
    const stop = textEnd(bytes, at + 4, end, SMFIC.OPTNEG, "macro list");
    lists.push({ stage, names: bytes.slice(at + 4, stop) });
    at = stop + 1;
  }
  return lists;
}

function only(bytes: Uint8Array, start: number, end: number, code: number, field: string): Uint8Array {
  const found = texts(bytes, start, end, code, field);
  if (found.length !== 1) {
    throw new ProtocolError(
      found.length === 0 ? "truncated" : "bad-value",
      `Cannot read reply ${letter(code)}: it has ${found.length} texts, expected one ${field}`,
    );
  }
  return found[0];
}

function pair(bytes: Uint8Array, start: number, end: number, code: number): [Uint8Array, Uint8Array] {
  const found = texts(bytes, start, end, code, "header");
  if (found.length !== 2) {
    throw new ProtocolError(
      found.length < 2 ? "truncated" : "bad-value",
      `Cannot read reply ${letter(code)}: it has ${found.length} texts, expected header name and value`,
    );
  }
  if (found[0].length === 0) {
    throw new ProtocolError("bad-text", `Cannot read reply ${letter(code)}: the header name is empty`);
  }
  return [found[0], found[1]];
}

function addressAndArgs(
  bytes: Uint8Array,
  start: number,
  end: number,
  code: number,
): [Uint8Array, Uint8Array | undefined] {
  const found = texts(bytes, start, end, code, "address");
  if (found.length !== 1 && found.length !== 2) {
    throw new ProtocolError(
      found.length === 0 ? "truncated" : "bad-value",
      `Cannot read reply ${
        letter(code)
      }: it has ${found.length} texts, expected an address and at most one of arguments`,
    );
  }
  return [found[0], found[1]];
}

/**
 * Appends the frame of a reply.
 *
 * @throws {RangeError} if a text holds a NUL or a header name is empty.
 */
export function encodeReply(reply: Reply, out: FrameWriter): void {
  switch (reply.kind) {
    case "negotiate":
      out.begin(SMFIC.OPTNEG).u32(reply.version).u32(reply.actions).u32(reply.protocol);
      for (const list of reply.macros) out.u32(list.stage).text(checked(list.names));
      out.end();
      return;
    case "replyCode":
      out.begin(SMFIR.REPLYCODE).text(checked(reply.text)).end();
      return;
    case "quarantine":
      out.begin(SMFIR.QUARANTINE).text(checked(reply.reason)).end();
      return;
    case "addHeader":
      out.begin(SMFIR.ADDHEADER).text(headerName(reply.name)).text(checked(reply.value)).end();
      return;
    case "insertHeader":
    case "changeHeader":
      out.begin(reply.kind === "insertHeader" ? SMFIR.INSHEADER : SMFIR.CHGHEADER).u32(reply.index)
        .text(headerName(reply.name)).text(checked(reply.value)).end();
      return;
    case "replaceBody":
      out.begin(SMFIR.REPLBODY).raw(reply.chunk).end();
      return;
    case "changeSender":
    case "addRecipientWithArgs":
      out.begin(reply.kind === "changeSender" ? SMFIR.CHGFROM : SMFIR.ADDRCPT_PAR).text(
        checked(reply.address),
      );
      if (reply.args !== undefined) out.text(checked(reply.args));
      out.end();
      return;
    case "addRecipient":
    case "removeRecipient":
      out.begin(reply.kind === "addRecipient" ? SMFIR.ADDRCPT : SMFIR.DELRCPT).text(checked(reply.address))
        .end();
      return;
    default:
      out.simple(PLAIN[reply.kind]);
  }
}

function headerName(name: Uint8Array): Uint8Array {
  if (name.length === 0) throw new RangeError("Cannot send a header edit: the header name is empty");
  return checked(name);
}

/** Does this reply end the answer to a command? Progress, quarantine and the edits do not. */
export function isFinal(reply: Reply): boolean {
  switch (reply.kind) {
    case "negotiate":
    case "continue":
    case "accept":
    case "reject":
    case "tempfail":
    case "discard":
    case "skip":
    case "shutdown":
    case "connectionFailed":
    case "replyCode":
      return true;
    default:
      return false;
  }
}
