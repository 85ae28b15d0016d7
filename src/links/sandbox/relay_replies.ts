/**
 * The stream of replies from a sandbox for one connection: put together, checked, and told apart into those the MTA
 * waits for and those that come too late or were only replayed.
 *
 * @module
 */
import {
  type Agreement,
  checkAnswer,
  DATA_SIZE,
  DATA_SIZE_1M,
  DATA_SIZE_256K,
  type Frame,
  FrameReader,
  FrameWriter,
  isFinal,
  letter,
  type Options,
  parseReply,
  ProtocolError,
  type Reply,
  SMFIC,
  SMFIP,
} from "../../protocol/mod.ts";
import type { Verdict } from "../../filter/mod.ts";
import { ReplyCheck } from "./reply_check.ts";

/** Bytes of the edits of one mail, a new body included. */
const EDITS_LIMIT = 256 * 1024 * 1024;

/** Collects and checks replies. */
export class RelayReplies {
  /** What holds for the connection, once it is negotiated. */
  agreement: Agreement | undefined;
  readonly #check = new ReplyCheck();
  /** Edits of the pending end of message; the MTA gets them with the verdict or not at all. */
  readonly #edits = new FrameWriter();
  #edited = 0;
  #body = false;
  #incoming = new FrameReader(undefined, 256);
  /** The commands whose answers are not for the MTA: replayed, or answered by policy already. */
  #passed: number[] = [];
  /** A verdict that a replayed connect or helo brought: it holds for the command that is waited for. */
  #replayed: Reply | undefined;

  /** Answers are still to come that nobody waits for. */
  get behind(): boolean {
    return this.#passed.length > 0;
  }

  /** The next answer, after those already expected, is not for the MTA. */
  passOver(code: number): void {
    this.#passed.push(code);
    this.dropEdits();
  }

  /** A new sandbox: nothing of the old one's is left. */
  restart(): void {
    this.#passed = [];
    this.#replayed = undefined;
    this.#incoming = new FrameReader(undefined, 256);
    this.dropEdits();
  }

  /** Forgets the edits of a mail that ends otherwise. */
  dropEdits(): void {
    this.#edits.truncate(0);
    this.#edited = 0;
    this.#body = false;
  }

  /** The edits collected, and how many; they are gone afterwards. */
  takeEdits(): { readonly frames: Uint8Array; readonly count: number } {
    const count = this.#edited;
    this.#edited = 0;
    this.#body = false;
    return { frames: this.#edits.take(), count };
  }

  /**
   * Takes bytes from the sandbox, and hands each final reply to the command that is waited for to `answer`.
   *
   * @param waiting The command byte that is waited for, undefined if none.
   * @param offer What the MTA offered.
   * @throws {ProtocolError} for a reply that is malformed, unasked or not legal.
   */
  take(
    payload: Uint8Array,
    waiting: () => number | undefined,
    offer: () => Options | undefined,
    answer: (reply: Reply) => void,
  ): void {
    this.#incoming.push(payload);
    const frame = this.#incoming;
    while (frame.next()) {
      if (this.#passed.length > 0) {
        this.#pass(frame, offer);
        continue;
      }
      const code = waiting();
      if (code === undefined) {
        throw new ProtocolError(
          "wrong-stage",
          `The sandbox sent reply ${letter(frame.code)} when nothing was asked`,
        );
      }
      const reply = code === SMFIC.OPTNEG
        ? this.#negotiated(frame, offer())
        : this.#check.read(frame, code, this.agreement!);
      if (isFinal(reply)) {
        const replayed = this.#replayed;
        this.#replayed = undefined;
        answer(replayed ?? reply);
      } else this.#collect(frame, reply);
    }
  }

  #collect(frame: Frame, reply: Reply): void {
    this.#edits.frames(frame.bytes.subarray(frame.start - 5, frame.end));
    // A body comes in pieces and is one edit.
    if (reply.kind !== "replaceBody" || !this.#body) this.#edited++;
    if (reply.kind === "replaceBody") this.#body = true;
    if (this.#edits.length > EDITS_LIMIT) {
      throw new ProtocolError("too-large", `The sandbox's edits of one mail are over ${EDITS_LIMIT} bytes`);
    }
  }

  #pass(frame: Frame, offer: () => Options | undefined): void {
    const code = this.#passed[0];
    if (code === SMFIC.OPTNEG) {
      const before = this.agreement!;
      const answer = this.#negotiated(frame, offer());
      if (
        answer.version !== before.version || answer.actions !== before.actions ||
        answer.protocol !== before.protocol
      ) {
        throw new ProtocolError(
          "bad-value",
          "The filter negotiates otherwise than what holds for the connection",
        );
      }
      this.#passed.shift();
      return;
    }
    const reply = parseReply(frame.code, frame.bytes, frame.start, frame.end);
    if (!isFinal(reply)) return;
    this.#passed.shift();
    if (code !== SMFIC.CONNECT && code !== SMFIC.HELO) return;
    this.#check.read(frame, code, this.agreement!);
    if (reply.kind !== "continue") this.#replayed = reply;
  }

  #negotiated(frame: Frame, offer: Options | undefined): Extract<Reply, { kind: "negotiate" }> {
    const answer = parseReply(frame.code, frame.bytes, frame.start, frame.end);
    if (answer.kind !== "negotiate" || offer === undefined) {
      throw new ProtocolError(
        "wrong-stage",
        `The sandbox answered the negotiation with ${letter(frame.code)}`,
      );
    }
    checkAnswer(offer, answer);
    const { version, actions, protocol, macros } = answer;
    this.agreement ??= { version, actions, protocol, macros, dataSize: dataSizeOf(protocol) };
    return answer;
  }
}

function dataSizeOf(protocol: number): number {
  if ((protocol & SMFIP.MDS_1M) !== 0) return DATA_SIZE_1M;
  return (protocol & SMFIP.MDS_256K) !== 0 ? DATA_SIZE_256K : DATA_SIZE;
}

/** What is agreed when no sandbox can say what its filter wants: MAIL and nothing else, for the policy to answer. */
export function agreementWithout(offer: Options): Agreement {
  const nothing = SMFIP.NOCONNECT | SMFIP.NOHELO | SMFIP.NORCPT | SMFIP.NODATA | SMFIP.NOHDRS | SMFIP.NOEOH |
    SMFIP.NOBODY | SMFIP.NOUNKNOWN;
  const version = Math.min(6, offer.version);
  return { version, actions: 0, protocol: nothing & offer.protocol, macros: [], dataSize: DATA_SIZE };
}

/** A command that waits for its answer. */
export interface Waiting {
  readonly code: number;
  readonly out: FrameWriter;
  readonly resolve: () => void;
  /** The mail is decided, or the connection accepted: the answer moves nothing. */
  readonly passive: boolean;
  /** The frame, while there is no sandbox yet to send it to. */
  readonly unsent?: Uint8Array;
}

/** What a final reply means; `code` is that of its text, if it has one. */
export function verdictKind(reply: Reply, code: number | undefined): Verdict["kind"] {
  if (reply.kind === "replyCode") return code! < 500 ? "tempfail" : "reject";
  return reply.kind as Verdict["kind"];
}
