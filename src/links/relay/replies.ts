/**
 * The stream of replies from a filter for one relayed connection: put together, checked, and told apart into those the
 * MTA waits for and those that come too late or were only replayed.
 *
 * @module
 */
import {
  type Agreement,
  checkAnswer,
  DATA_SIZE,
  DATA_SIZE_1M,
  DATA_SIZE_256K,
  effectiveOffer,
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
import type { Carrier } from "./carrier.ts";
import { ReplyCheck } from "./reply_check.ts";

/** How much of edits is kept, bytes. */
const EDITS_LIMIT = 256 * 1024 * 1024;

/** An answer that is not for the MTA. */
interface Passed {
  readonly code: number;
  /** What goes on once it is there: it answers a frame that was replayed. Without it, it comes too late. */
  readonly then: (() => void) | undefined;
}

/** What the replies need to know of their session. */
export interface Asked {
  /** The command byte that is waited for, undefined if none. */
  waiting(): number | undefined;
  /** What the MTA offered. */
  offer(): Options | undefined;
  /** The filter says that it still works at the end of a message. */
  progressed(): void;
  /** Takes the final reply to the command that is waited for. */
  answer(reply: Reply): void;
}

/** Collects and checks replies. */
export class RelayReplies {
  /** What holds for the connection, once it is negotiated. */
  agreement: Agreement | undefined;
  readonly #asked: Asked;
  readonly #editsLimit: number;
  readonly #check = new ReplyCheck();
  /** Edits of the pending end of message; the MTA gets them with the verdict or not at all. */
  readonly #edits = new FrameWriter();
  /** The new body, apart: Postfix wants its pieces in one run, with no other edit between. */
  readonly #body = new FrameWriter();
  #edited = 0;
  #incoming = new FrameReader(undefined, 256);
  #passed: Passed[] = [];
  /** A verdict that a replayed connect or helo brought: it holds for the command that is waited for. */
  #replayed: Reply | undefined;
  #carrier: Pick<Carrier, "understand"> | undefined;

  /** @param editsLimit Bytes of the edits of one mail, a new body included. */
  constructor(asked: Asked, editsLimit = EDITS_LIMIT) {
    this.#asked = asked;
    this.#editsLimit = editsLimit;
  }

  /** Answers are still to come that nobody waits for. */
  get behind(): boolean {
    return this.#passed.length > 0;
  }

  /** The next answer, after those already expected, is not for the MTA. `then` runs when a replayed one is there. */
  passOver(code: number, then?: () => void): void {
    this.#passed.push({ code, then });
    this.dropEdits();
  }

  /** A new carrier, or none: nothing of the old one's is left. */
  restart(carrier?: Pick<Carrier, "understand">): void {
    this.#carrier = carrier;
    this.#passed = [];
    this.#replayed = undefined;
    this.#incoming = new FrameReader(undefined, 256);
    this.dropEdits();
  }

  /** Forgets the edits of a mail that ends otherwise. */
  dropEdits(): void {
    this.#edits.truncate(0);
    this.#body.truncate(0);
    this.#edited = 0;
  }

  /** Appends the edits collected, the body last; gives how many they are. They are gone afterwards. */
  writeEdits(out: FrameWriter): number {
    // A body comes in pieces and is one edit.
    const count = this.#edited + (this.#body.length > 0 ? 1 : 0);
    out.frames(this.#edits.take()).frames(this.#body.take());
    this.#edited = 0;
    return count;
  }

  /**
   * Takes bytes from the filter.
   *
   * @throws {ProtocolError} for a reply that is malformed, unasked or not legal.
   */
  take(payload: Uint8Array): void {
    this.#incoming.push(payload);
    const frame = this.#incoming;
    while (frame.next()) {
      if (this.#passed.length > 0) {
        this.#pass(frame);
        continue;
      }
      const code = this.#asked.waiting();
      if (code === undefined) {
        throw new ProtocolError(
          "wrong-stage",
          `The filter sent reply ${letter(frame.code)} when nothing was asked`,
        );
      }
      const reply = this.#read(frame, code);
      if (reply === undefined) continue;
      if (isFinal(reply)) {
        const replayed = this.#replayed;
        this.#replayed = undefined;
        this.#asked.answer(replayed ?? reply);
      } else this.#collect(frame, reply);
    }
  }

  /** The current frame as a legal answer to command `code`; undefined if it says nothing that matters. */
  #read(frame: Frame, code: number): Reply | undefined {
    if (code === SMFIC.OPTNEG) return this.#negotiated(frame);
    const reply = this.#carrier!.understand(
      parseReply(frame.code, frame.bytes, frame.start, frame.end),
      code,
    );
    if (reply === undefined) return undefined;
    if (reply.kind === "progress" && code === SMFIC.BODYEOB) {
      this.#asked.progressed();
      return undefined;
    }
    this.#check.check(reply, code, this.agreement!);
    return reply;
  }

  #collect(frame: Frame, reply: Reply): void {
    const isBody = reply.kind === "replaceBody";
    (isBody ? this.#body : this.#edits).frames(frame.bytes.subarray(frame.start - 5, frame.end));
    if (!isBody) this.#edited++;
    if (this.#edits.length + this.#body.length > this.#editsLimit) {
      throw new ProtocolError(
        "too-large",
        `The filter's edits of one mail are over ${this.#editsLimit} bytes`,
      );
    }
  }

  #pass(frame: Frame): void {
    const { code, then } = this.#passed[0];
    if (then === undefined && code !== SMFIC.CONNECT && code !== SMFIC.HELO) {
      if (!isFinal(parseReply(frame.code, frame.bytes, frame.start, frame.end))) return;
      this.#passed.shift();
      return;
    }
    const before = this.agreement!;
    const reply = this.#read(frame, code);
    if (reply === undefined) return;
    if (
      reply.kind === "negotiate" &&
      (reply.version !== before.version || reply.actions !== before.actions ||
        reply.protocol !== before.protocol)
    ) {
      throw new ProtocolError(
        "bad-value",
        "The filter negotiates otherwise than what holds for the connection",
      );
    }
    this.#passed.shift();
    if (then === undefined) return;
    if (reply.kind !== "continue" && reply.kind !== "negotiate") this.#replayed = reply;
    then();
  }

  #negotiated(frame: Frame): Extract<Reply, { kind: "negotiate" }> {
    const reply = parseReply(frame.code, frame.bytes, frame.start, frame.end);
    const offer = this.#asked.offer();
    const answer = reply.kind === "negotiate" ? this.#carrier!.understand(reply, SMFIC.OPTNEG) : undefined;
    if (answer?.kind !== "negotiate" || offer === undefined) {
      throw new ProtocolError(
        "wrong-stage",
        `The filter answered the negotiation with ${letter(frame.code)}`,
      );
    }
    checkAnswer(effectiveOffer(offer), answer);
    const { version, actions, protocol, macros } = answer;
    this.agreement ??= { version, actions, protocol, macros, dataSize: dataSizeOf(protocol) };
    return answer;
  }
}

function dataSizeOf(protocol: number): number {
  if ((protocol & SMFIP.MDS_1M) !== 0) return DATA_SIZE_1M;
  return (protocol & SMFIP.MDS_256K) !== 0 ? DATA_SIZE_256K : DATA_SIZE;
}

/** What is agreed when nobody can say what the filter wants: MAIL and nothing else, for the policy to answer. */
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
  /** The frame, while there is no carrier yet that could take it. */
  readonly unsent?: Uint8Array;
}

/** What a final reply means; `code` is that of its text, if it has one. */
export function verdictKind(reply: Reply, code: number | undefined): Verdict["kind"] {
  if (reply.kind === "replyCode") return code! < 500 ? "tempfail" : "reject";
  return reply.kind as Verdict["kind"];
}
