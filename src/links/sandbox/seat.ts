/**
 * One relayed connection's place in a sandbox.
 *
 * @module
 */
import { ProtocolError, type Reply } from "../../protocol/mod.ts";
import type { Carrier, CarrierUser, Late } from "../relay/carrier.ts";
import type { Cell } from "./cell.ts";
import { type CellEnd, ToInmate } from "./messages.ts";

/** Who shares out the places. */
export interface SeatOwner {
  /** Gives the seat a number in the sandbox; its records go to the seat from now on. */
  attach(cell: Cell, seat: Seat): number;
  detach(cell: Cell, id: number): void;
  /** A hook is late: if `stuck` still holds after a grace time, the thread itself hangs, and the sandbox is ended. */
  overdue(cell: Cell, end: CellEnd, stuck: () => boolean): void;
}

const NOTHING = new Uint8Array(0);
const encoder = new TextEncoder();

/** A place in a sandbox. */
export class Seat implements Carrier {
  /** The filter's side answers whatever wants an answer. */
  readonly instead = undefined;
  readonly #owner: SeatOwner;
  readonly #cell: Cell;
  readonly #user: CarrierUser;
  #id = 0;
  /** `left`: the session has gone, and the sandbox has yet to show that it is alive. */
  #state: "free" | "taken" | "left" | "over" = "free";
  /** Settles what `lost` promised. */
  #told: (() => void) | undefined;

  constructor(owner: SeatOwner, cell: Cell, user: CarrierUser) {
    this.#owner = owner;
    this.#cell = cell;
    this.#user = user;
  }

  open(answerData: boolean): void {
    this.#state = "taken";
    this.#id = this.#owner.attach(this.#cell, this);
    this.#cell.send(ToInmate.OPEN, this.#id, Uint8Array.of(answerData ? 1 : 0));
  }

  send(_code: number, frame: Uint8Array): Promise<void> | undefined {
    return this.#cell.send(ToInmate.FRAMES, this.#id, frame);
  }

  understand(reply: Reply): Reply {
    // The runtime's own session sends none: a thread that does wants its deadline moved.
    if (reply.kind === "progress") {
      throw new ProtocolError("bad-value", "The sandbox sent a progress reply: no filter may");
    }
    return reply;
  }

  expire({ ms, end, asked, aside, behind }: Late): "again" | "behind" {
    if (asked) this.#cell.send(ToInmate.EXPIRE, this.#id, encoder.encode(String(ms)));
    if (asked && aside) return "again";
    // Either no answer, or the ring has no room, or the hooks of a lost connection take their time: then no mercy.
    this.#told?.();
    this.#owner.overdue(this.#cell, end, () => this.#state === "taken" && (!asked || behind()));
    return "behind";
  }

  abandon(end: CellEnd): void {
    if (this.#state !== "taken") return;
    this.#state = "left";
    this.#cell.send(ToInmate.LOST, this.#id, NOTHING);
    this.#owner.overdue(this.#cell, end, () => this.#state === "left");
  }

  lost(): Promise<void> | undefined {
    if (this.#state !== "taken") return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#told = resolve;
    this.#cell.send(ToInmate.LOST, this.#id, NOTHING);
    return promise;
  }

  /** Reply frames from the sandbox. @throws {ProtocolError} if they are not legal. */
  replied(payload: Uint8Array): void {
    if (this.#state === "taken") this.#user.replied(payload);
  }

  /** A failure that the sandbox reports of its filter. @throws {ProtocolError} for more than there can be. */
  failed(kind: string, hook: string, message: string): void {
    this.#user.failed(kind, hook, message);
  }

  /** The sandbox has done with the lost connection. @throws {ProtocolError} if it is not lost. */
  leave(): void {
    if (this.#state === "taken" && this.#told === undefined) {
      throw new ProtocolError("wrong-stage", "The sandbox says goodbye to a connection that goes on");
    }
    this.#state = "over";
    this.#owner.detach(this.#cell, this.#id);
    this.#told?.();
  }

  /** The sandbox has ended. */
  ended(end: CellEnd): void {
    const taken = this.#state === "taken";
    this.#state = "over";
    this.#told?.();
    if (taken) this.#user.gone(end);
  }
}
