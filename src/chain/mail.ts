/**
 * A mail on its way through a chain: envelope, header and body as the links so far have left them.
 *
 * @module
 */
import { type EnvelopeAddress, HeaderList } from "../filter/mod.ts";
import {
  DATA_SIZE,
  encodeCommand,
  encodeReply,
  type Frame,
  FrameWriter,
  OwnFrame,
  parseCommand,
  type Reply,
  SMFIC,
} from "../protocol/mod.ts";
import { WireAddress } from "../session/addresses.ts";
import { type ConnectionFacts, macrosWith } from "./connection_facts.ts";
import { ChainHeaders } from "./headers.ts";
import { SpooledBody, type SpoolOptions } from "./spool.ts";
import type { Steps } from "./steps.ts";

/** A command and the macros before it. */
export interface Told {
  readonly macros: Frame | undefined;
  readonly frame: Frame;
}

/** All that a link can be told of a mail. */
export interface MailView {
  readonly connect: Frame | undefined;
  readonly helo: Frame | undefined;
  readonly sender: Frame | undefined;
  /** Those that all links so far have accepted. */
  readonly recipients: readonly Told[];
  readonly data: Frame | undefined;
  readonly headers: ChainHeaders;
  readonly endOfHeaders: Frame | undefined;
  readonly body: SpooledBody;
  /** The macro frame of a stage (SMFIC_ byte). */
  macros(stage: number): Frame | undefined;
}

/** A recipient as the mail has it. */
interface Recipient extends Told {
  readonly address: EnvelopeAddress;
}

type Change = Extract<Reply, { readonly kind: "changeSender" | "addRecipient" | "addRecipientWithArgs" }>;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The open mail of a connection. */
export class ChainMail implements MailView {
  readonly headers: ChainHeaders = new ChainHeaders();
  readonly recipients: Recipient[] = [];
  body: SpooledBody;
  sender: Frame | undefined;
  from: EnvelopeAddress | undefined;
  /** The sender as it came. */
  original: EnvelopeAddress | undefined;
  /** Recipients that were accepted, before any edit. */
  accepted = 0;
  /** Bytes that the client announced (SIZE, RFC 1870), 0 if it did not. */
  announced = 0;
  data: Frame | undefined;
  endOfHeaders: Frame | undefined;
  /** Bytes of header and body as they came. */
  size = 0;
  /** When it began, ms. */
  readonly began: number;
  /** Recipients that were refused. */
  refused = 0;
  /** The edits of each link that has made some, in order. */
  readonly #edits: (readonly Reply[])[] = [];
  readonly #connection: ConnectionFacts;
  /** The macros of MAIL, once a link has changed the sender. */
  #mailMacros: Frame | undefined;

  constructor(connection: ConnectionFacts, spool: SpoolOptions, began: number) {
    this.#connection = connection;
    this.body = new SpooledBody(spool);
    this.began = began;
  }

  get connect(): Frame | undefined {
    return this.#connection.connect;
  }

  get helo(): Frame | undefined {
    return this.#connection.helo;
  }

  macros(stage: number): Frame | undefined {
    return (stage === SMFIC.MAIL ? this.#mailMacros : undefined) ?? this.#connection.macroFrame(stage);
  }

  /** Takes SMFIC_MAIL. @throws {ProtocolError} if it is malformed. */
  open(frame: Frame): void {
    this.from = this.original = addressOf(frame);
    this.announced = Number(this.from?.parameter("SIZE") ?? 0) || 0;
    this.sender = OwnFrame.copy(frame);
  }

  /** Reads SMFIC_RCPT. It counts once it is pushed to `recipients`. @throws {ProtocolError} if it is malformed. */
  candidate(frame: Frame): Recipient {
    return {
      macros: this.#connection.macroFrame(SMFIC.RCPT),
      frame: OwnFrame.copy(frame),
      address: addressOf(frame)!,
    };
  }

  /** All links so far let it pass. */
  accept(candidate: Recipient): void {
    this.recipients.push(candidate);
    this.accepted++;
  }

  /** The recipients' addresses. */
  addresses(): EnvelopeAddress[] {
    return this.recipients.map(({ address }) => address);
  }

  /** The header as conditions see it. */
  fields(): HeaderList {
    return new HeaderList(this.headers.fields());
  }

  /** Does what the MTA would do with a link's edits, so that the next one sees it. */
  *apply(edits: readonly Reply[]): Steps {
    if (edits.length === 0) return;
    this.#edits.push(edits);
    const body = edits.flatMap((edit) => edit.kind === "replaceBody" ? [edit.chunk] : []);
    if (body.length > 0) yield* this.#replaceBody(body);
    for (const edit of edits) {
      switch (edit.kind) {
        case "addHeader":
        case "insertHeader":
        case "changeHeader":
          this.headers.apply(edit);
          break;
        case "changeSender":
          this.#changeSender(edit);
          break;
        case "addRecipient":
        case "addRecipientWithArgs":
          this.#addRecipient(edit);
          break;
        case "removeRecipient": {
          const gone = bare(decoder.decode(edit.address)).toLowerCase();
          const left = this.recipients.filter(({ address }) => address.address.toLowerCase() !== gone);
          this.recipients.splice(0, Infinity, ...left);
          break;
        }
      }
    }
  }

  *#replaceBody(pieces: readonly Uint8Array[]): Steps {
    this.body.release();
    // It is in memory already, as part of the edits.
    this.body = new SpooledBody({ memory: Infinity });
    for (const piece of wireLines(pieces)) {
      yield* this.body.append({ code: SMFIC.BODY, bytes: piece, start: 0, end: piece.length });
    }
  }

  #changeSender({ address, args }: Change & { readonly args: Uint8Array | undefined }): void {
    this.sender = envelopeFrame("mail", address, args);
    this.from = addressOf(this.sender);
    const text = encoder.encode(this.from!.address);
    this.#mailMacros = macrosWith(this.macros(SMFIC.MAIL), SMFIC.MAIL, "{mail_addr}", text);
  }

  #addRecipient(edit: Change): void {
    const frame = envelopeFrame("rcpt", edit.address, "args" in edit ? edit.args : undefined);
    const address = addressOf(frame)!;
    // MTAs deliver to each once.
    if (
      this.recipients.some((known) => known.address.address.toLowerCase() === address.address.toLowerCase())
    ) return;
    const macros = macrosWith(undefined, SMFIC.RCPT, "{rcpt_addr}", encoder.encode(address.address));
    this.recipients.push({ macros, frame, address });
  }

  /** Appends the edits of all links as one list. One link's own leave as it made them. */
  encodeEdits(out: FrameWriter): void {
    const [only] = this.#edits;
    if (this.#edits.length === 1) {
      for (const edit of only) encodeReply(edit, out);
      return;
    }
    this.headers.encode(out);
    const all = this.#edits.flat();
    for (const edit of all) if (isEnvelope(edit)) encodeReply(edit, out);
    // The MTA takes one body, in one run.
    const last = this.#edits.findLast((edits) => edits.some(({ kind }) => kind === "replaceBody")) ?? [];
    for (const edit of last) if (edit.kind === "replaceBody") encodeReply(edit, out);
  }

  /** The mail as it is now, for whoever looks at it later; the body is to be released. */
  snapshot(): MailView {
    const macros = new Map<number, Frame>(this.#connection.macroFrames());
    if (this.#mailMacros !== undefined) macros.set(SMFIC.MAIL, this.#mailMacros);
    const { connect, helo, sender, data, endOfHeaders } = this;
    return {
      connect,
      helo,
      sender,
      data,
      endOfHeaders,
      recipients: [...this.recipients],
      headers: this.headers.snapshot(),
      body: this.body.share(),
      macros: (stage) => macros.get(stage),
    };
  }
}

const CR = 0x0d;
const LF = 0x0a;

/** A body as an MTA shows it to the next milter: lines end with CRLF, the last one too (Postfix). */
function* wireLines(pieces: readonly Uint8Array[]): Iterable<Uint8Array> {
  let last = LF;
  for (const piece of pieces) {
    const bare: number[] = [];
    for (let at = piece.indexOf(LF); at !== -1; at = piece.indexOf(LF, at + 1)) {
      if ((at === 0 ? last : piece[at - 1]) !== CR) bare.push(at);
    }
    if (piece.length > 0) last = piece[piece.length - 1];
    if (bare.length === 0) {
      yield piece;
      continue;
    }
    const lines = new Uint8Array(piece.length + bare.length);
    let from = 0;
    for (const [more, at] of [...bare, piece.length].entries()) {
      lines.set(piece.subarray(from, at), from + more);
      if (at < piece.length) lines[at + more] = CR;
      from = at;
    }
    // A frame has its limit.
    for (let at = 0; at < lines.length; at += DATA_SIZE) yield lines.subarray(at, at + DATA_SIZE);
  }
  if (last !== LF) yield Uint8Array.of(CR, LF);
}

function isEnvelope({ kind }: Reply): boolean {
  return kind === "changeSender" || kind === "addRecipient" || kind === "addRecipientWithArgs" ||
    kind === "removeRecipient" || kind === "quarantine";
}

function addressOf(frame: Frame): EnvelopeAddress | undefined {
  const command = parseCommand(frame.code, frame.bytes, frame.start, frame.end);
  return command.kind === "mail" || command.kind === "rcpt"
    ? new WireAddress(command.address, command.args)
    : undefined;
}

function bare(address: string): string {
  return address.startsWith("<") && address.endsWith(">") ? address.slice(1, -1) : address;
}

/** MAIL or RCPT as an MTA would have sent it. */
function envelopeFrame(kind: "mail" | "rcpt", address: Uint8Array, args: Uint8Array | undefined): OwnFrame {
  const out = new FrameWriter();
  encodeCommand({
    kind,
    address: encoder.encode(`<${bare(decoder.decode(address))}>`),
    args: decoder.decode(args).split(" ").filter((arg) => arg !== "").slice(0, 100).map((arg) =>
      encoder.encode(arg)
    ),
  }, out);
  return new OwnFrame(out.take().slice());
}
