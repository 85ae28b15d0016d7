/**
 * One MTA connection: the only place where bytes, session and clock meet.
 *
 * All whole frames of a read are handled in one synchronous sweep, and all their replies leave in one write. While an
 * async hook is pending the sweep stops; one read goes on, so that a peer that goes away is noticed, unless there is more
 * to handle already.
 *
 * @module
 */
import type { Session } from "../chain/session.ts";
import { FrameReader, FrameWriter, ProtocolError, SMFIR } from "../protocol/mod.ts";
import type { Connection, DirectConnection } from "../transport/types.ts";
import { directOf } from "../transport/direct.ts";

/** Bytes of replies kept while the MTA does not read them. */
const AHEAD = 256 * 1024;

/** Time between two SMFIR_PROGRESS while a hook works at the end of a message, ms. Sendmail's timer is 10 s. */
export const PROGRESS_INTERVAL = 4000;

/** Why a connection ended, for the log. */
export type End =
  | { readonly kind: "quit" | "eof" | "idle" | "drain" }
  | { readonly kind: "protocol" | "io"; readonly message: string };

/** Drives one session over one connection. */
export class MilterConnection {
  readonly #connection: Connection;
  readonly #io: DirectConnection;
  readonly #reader: FrameReader;
  readonly #out = new FrameWriter();
  readonly #session: Session;
  readonly #now: () => number;
  readonly #idle: number;
  #pending: Promise<void> | undefined;
  #progressAt = 0;
  #lastActive: number;
  #writing: Promise<void> | undefined;
  #end: End | undefined;
  #draining = false;
  #cutting = false;
  /** Wakes the read loop when a pending hook has answered. */
  #wake: (() => void) | undefined;

  /**
   * @param now Clock, ms.
   * @param frameLimit The longest frame the MTA may send, bytes.
   * @param idle Silence of the MTA before the connection is closed, ms.
   */
  constructor(
    connection: Connection,
    session: Session,
    now: () => number,
    frameLimit: number,
    idle: number,
  ) {
    this.#connection = connection;
    this.#io = directOf(connection);
    this.#reader = new FrameReader(frameLimit);
    this.#session = session;
    this.#now = now;
    this.#idle = idle;
    this.#lastActive = now();
  }

  /** Who is at the other end. */
  get peer(): string {
    return this.#connection.peer;
  }

  /** Serves until the connection ends; resolves with the reason once the filter's last hook is done. Never rejects. */
  async run(): Promise<End> {
    try {
      while (this.#end === undefined) {
        const count = await this.#io.read(this.#reader.space());
        if (this.#end !== undefined) break;
        if (count === null) {
          this.#stop({ kind: "eof" });
          break;
        }
        this.#lastActive = this.#now();
        this.#reader.commit(count);
        this.#sweep();
        if (this.#pending !== undefined && this.#reader.buffered > 0) {
          await new Promise<void>((resolve) => this.#wake = resolve);
        }
        if (this.#writing !== undefined && this.#out.length > AHEAD) await this.#writing;
      }
    } catch (error) {
      this.#stop({ kind: "io", message: error instanceof Error ? error.message : String(error) });
    }
    // What was answered before the end still goes out: Postfix may wait for the reply to a last command.
    await this.#writing;
    this.#connection.close();
    this.#hold(this.#session.lost());
    // Cut: what the filter still does is no reason to wait.
    while (this.#pending !== undefined && !this.#cutting) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#end!;
  }

  /**
   * Looks at the clock: deadlines, progress, idle time. The server calls it a few times a second for every
   * connection, which is cheaper than a timer each.
   */
  tick(now: number): void {
    if (this.#pending !== undefined) {
      if (now >= this.#session.deadline) {
        this.#pending = undefined;
        this.#reader.held = false;
        this.#hold(this.#session.expire(this.#out));
        this.#resume();
      } else if (this.#session.awaitingEndOfMessage && now >= this.#progressAt) {
        this.#progressAt = now + PROGRESS_INTERVAL;
        this.#out.simple(SMFIR.PROGRESS);
        this.#flush();
      }
    } else if (this.#end === undefined && now - this.#lastActive >= this.#idle) {
      this.#stop({ kind: "idle" });
      this.#connection.close();
    }
  }

  /** The server stops: ends now if no mail is open, else after the mail. */
  drain(): void {
    this.#draining = true;
    this.#endIfDrained();
  }

  /** Ends at once, in mid-mail if need be; the MTA keeps the mail. */
  cut(): void {
    this.#cutting = true;
    this.#stop({ kind: "drain" });
    this.#connection.close();
    this.#wake?.();
  }

  #stop(end: End): void {
    this.#end ??= end;
    this.#wake?.();
  }

  /** Handles every whole frame that is there, then sends what was answered. */
  #sweep(): void {
    try {
      while (this.#pending === undefined && this.#end === undefined && this.#reader.next()) {
        this.#hold(this.#session.receive(this.#reader, this.#out));
        if (this.#session.finished) this.#stop({ kind: "quit" });
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#stop({ kind: "protocol", message: error.message });
    }
    this.#flush();
    this.#endIfDrained();
  }

  #hold(pending: Promise<void> | undefined): void {
    if (pending === undefined) return;
    this.#pending = pending;
    this.#progressAt = this.#now() + PROGRESS_INTERVAL;
    this.#reader.held = true;
    pending.then(
      () => this.#settled(pending),
      (error) => {
        this.#stop({ kind: "protocol", message: error instanceof Error ? error.message : String(error) });
        this.#connection.close();
        this.#settled(pending);
      },
    );
  }

  #settled(pending: Promise<void>): void {
    // An answer after the deadline: the session has gone on without it.
    if (pending !== this.#pending) return;
    this.#pending = undefined;
    this.#reader.held = false;
    this.#resume();
  }

  #resume(): void {
    this.#lastActive = this.#now();
    this.#sweep();
    this.#wake?.();
    this.#wake = undefined;
    if (this.#end !== undefined) this.#closeSoon();
  }

  #endIfDrained(): void {
    if (!this.#draining || this.#pending !== undefined || this.#session.mailOpen || this.#end !== undefined) {
      return;
    }
    this.#stop({ kind: "drain" });
    this.#closeSoon();
  }

  /** Ends a waiting read, once the last replies are out. */
  #closeSoon(): void {
    void (this.#writing ?? Promise.resolve()).then(() => this.#connection.close());
  }

  /** Sends what has been answered; one write at a time, what comes meanwhile goes with the next. */
  #flush(): void {
    if (this.#out.length === 0 || this.#writing !== undefined) return;
    this.#writing = this.#write();
  }

  async #write(): Promise<void> {
    try {
      while (this.#out.length > 0) {
        let rest = this.#out.take();
        while (rest.length > 0) rest = rest.subarray(await this.#io.write(rest));
      }
    } catch (error) {
      this.#stop({ kind: "io", message: error instanceof Error ? error.message : String(error) });
      this.#connection.close();
    } finally {
      this.#writing = undefined;
    }
  }
}
