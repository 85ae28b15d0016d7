/**
 * One connection to an upstream milter, for one MTA connection.
 *
 * @module
 */
import {
  FrameWriter,
  isFinal,
  type Options,
  parseCommand,
  ProtocolError,
  type Reply,
  SMFIC,
} from "../../protocol/mod.ts";
import { directOf } from "../../transport/direct.ts";
import { messageOf } from "../../transport/errors.ts";
import type { Connection, DirectConnection } from "../../transport/types.ts";
import type { Carrier, CarrierEnd, CarrierUser, Late } from "../relay/carrier.ts";
import { answerFor, meant, type Warn } from "./liberal.ts";
import { LibmilterOrder } from "./order.ts";

/** Bytes that wait for the socket before whoever sends has to wait. */
const BACKLOG = 256 * 1024;
/** Bytes of one read; replies are small, and a new body comes in many of them. */
const READ = 8192;

/** Who opened a connection, and wants to know what became of it. */
export interface UpstreamOwner {
  /** The milter, for messages: `inet:11332@127.0.0.1`. */
  readonly where: string;
  readonly warn: Warn;
  /** A milter has answered the negotiation. */
  reached(): void;
  /** None will; without a reason, where that says nothing of the next attempt. */
  failed(end?: CarrierEnd): void;
  /** The socket is closed. */
  closed(connection: UpstreamConnection): void;
}

/** A connection to a milter. */
export class UpstreamConnection implements Carrier {
  readonly #owner: UpstreamOwner;
  readonly #connection: Connection;
  readonly #io: DirectConnection;
  readonly #user: CarrierUser;
  readonly #order = new LibmilterOrder();
  readonly #out = new FrameWriter();
  #state: "open" | "leaving" | "over" = "open";
  #answerData = false;
  #offer: Options | undefined;
  /** The protocol flags that hold towards the MTA, once negotiated. */
  #protocol: number | undefined;
  /** The milter owes an answer. */
  #asked = false;
  #flushing = false;
  #writing: Promise<void> | undefined;
  /** For those who wait until the milter has read what was sent. */
  #room: PromiseWithResolvers<void> | undefined;

  constructor(owner: UpstreamOwner, connection: Connection, user: CarrierUser) {
    this.#owner = owner;
    this.#connection = connection;
    this.#io = directOf(connection);
    this.#user = user;
  }

  get instead(): Reply | undefined {
    return this.#order.instead;
  }

  open(answerData: boolean): void {
    this.#answerData = answerData;
    void this.#read();
  }

  send(code: number, frame: Uint8Array, passive: boolean): Promise<void> | undefined {
    if (this.#state !== "open") return undefined;
    if (code === SMFIC.OPTNEG) {
      const offer = parseCommand(code, frame, 5, frame.length);
      if (offer.kind === "negotiate") this.#offer = offer;
    }
    if (code === SMFIC.QUIT_NC || (code === SMFIC.CONNECT && this.#order.connected)) {
      // libmilter hardly ever takes either, so a new SMTP connection gets a milter connection of its own.
      void this.lost();
      this.#user.gone({ kind: "unavailable", message: "the SMTP connection is over" });
      return undefined;
    }
    const order = this.#order;
    let sends: boolean;
    try {
      sends = order.take(code, passive, frame[5]);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.end({ kind: "protocol", message: error.message });
      return undefined;
    }
    if (order.aborts) this.#out.simple(SMFIC.ABORT);
    if (sends) this.#out.frames(frame);
    if (order.asks) this.#asked = true;
    this.#flushSoon();
    if (this.#out.length <= BACKLOG) return undefined;
    return (this.#room ??= Promise.withResolvers()).promise;
  }

  understand(reply: Reply, code: number): Reply | undefined {
    const { warn } = this.#owner;
    if (code === SMFIC.OPTNEG && reply.kind === "negotiate" && this.#offer !== undefined) {
      const answer = answerFor(reply, this.#offer, this.#answerData, warn);
      this.#order.agree(answer.version, reply.protocol);
      this.#protocol = answer.protocol;
      this.#asked = false;
      this.#owner.reached();
      return answer;
    }
    if (isFinal(reply)) {
      this.#asked = false;
      this.#order.answered(reply, code);
    }
    return meant(reply, code, this.#protocol ?? 0, warn);
  }

  expire(_late: Late): "gone" {
    this.#close();
    return "gone";
  }

  abandon(end: CarrierEnd): void {
    if (this.#state === "over") return;
    const { where } = this.#owner;
    const message = `${where} does not negotiate: ${end.message}; is a milter listening there?`;
    if (this.#protocol === undefined) {
      this.#owner.failed(end.kind === "timeout" ? { ...end, message } : undefined);
    }
    this.#close();
  }

  lost(): Promise<void> | undefined {
    if (this.#state !== "open") return undefined;
    // A milter that is at work, or does not read, learns of the end sooner than of an SMFIC_QUIT behind all that.
    if (this.#asked || this.#room !== undefined || this.#protocol === undefined) {
      if (this.#protocol === undefined) this.#owner.failed();
      this.#close();
      return undefined;
    }
    this.#state = "leaving";
    if (this.#order.mailOpen) this.#out.simple(SMFIC.ABORT);
    this.#out.simple(SMFIC.QUIT);
    this.#flush();
    return this.#writing!.then(() => this.#close());
  }

  /** Ends the connection; what it owes is answered by policy. */
  end(end: CarrierEnd): void {
    if (this.#state !== "open") {
      this.#close();
      return;
    }
    this.#close();
    if (this.#protocol === undefined) this.#owner.failed(end.kind === "protocol" ? end : undefined);
    this.#user.gone(end);
  }

  #close(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#connection.close();
    this.#room?.resolve();
    this.#owner.closed(this);
  }

  async #read(): Promise<void> {
    const buffer = new Uint8Array(READ);
    for (;;) {
      let count: number | null;
      try {
        count = await this.#io.read(buffer);
      } catch (error) {
        this.end(this.#broken(messageOf(error)));
        return;
      }
      if (this.#state === "over") return;
      if (count === null) {
        this.end(this.#broken("it closed the connection"));
        return;
      }
      // What it still says after the goodbye is for nobody.
      if (this.#state === "leaving") continue;
      try {
        this.#user.replied(buffer.subarray(0, count));
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.end({ kind: "protocol", message: this.#nonsense(error) });
        return;
      }
    }
  }

  #broken(why: string): CarrierEnd {
    const { where } = this.#owner;
    if (this.#protocol !== undefined) {
      return { kind: "crash", message: `lost the milter at ${where}: ${why}` };
    }
    return {
      kind: "unavailable",
      message:
        `${where} does not negotiate: ${why}; it may be no milter, have too many connections, or want more ` +
        "than the MTA offers",
    };
  }

  #nonsense(error: ProtocolError): string {
    const { where } = this.#owner;
    if (error.code !== "foreign") return `the milter at ${where} breaks the protocol: ${error.message}`;
    // What follows the semicolon is advice for those who listen.
    const who = error.message.replace(/^Cannot read a milter frame: /, "").replace(/;[^;]*$/, "");
    return `there is no milter at ${where}: ${who}; correct the address`;
  }

  /** One write for everything that is sent in one go. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#out.length > 0 && this.#state !== "over") this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    try {
      while (this.#out.length > 0 && this.#state !== "over") {
        let rest = this.#out.take();
        while (rest.length > 0) rest = rest.subarray(await this.#io.write(rest));
      }
    } catch (error) {
      if (this.#state !== "over") this.end(this.#broken(messageOf(error)));
    } finally {
      this.#writing = undefined;
      this.#room?.resolve();
      this.#room = undefined;
    }
  }
}
