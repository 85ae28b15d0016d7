/**
 * A milter that the test plays frame by frame: for what no real one does on demand.
 *
 * @module
 */
import { encodeReply, FrameReader, FrameWriter, type Reply, SMFIC } from "../../src/protocol/mod.ts";
import { directOf } from "../../src/transport/direct.ts";
import { memoryPair } from "../../src/transport/memory.ts";
import type { Connection, DirectConnection } from "../../src/transport/types.ts";

/** What the peer does about a command: replies, bytes as they are, nothing at all, or the end of the connection. */
export type Deed = readonly Reply[] | Uint8Array | "nothing" | "close";

/** What the peer answers to the command of that letter on its nth connection; undefined: what a plain filter would. */
export type Script = (letter: string, nth: number) => Deed | undefined;

/** Commands that are never answered. */
const SILENT = "DAQK";

/** The bytes of replies. */
export function bytesOf(...replies: readonly Reply[]): Uint8Array {
  const writer = new FrameWriter();
  for (const reply of replies) encodeReply(reply, writer);
  return writer.take().slice();
}

/** The answer of a filter that wants everything. */
export const ALL: Reply = { kind: "negotiate", version: 6, actions: 0x1ff, protocol: 0, macros: [] };

/** A milter in memory. */
export class Peer {
  /** Letters of the frames of each connection; `.` for the end of it. */
  readonly seen: string[] = [];
  /** Sizes of the writes of the last connection's other side. */
  readonly writes: number[] = [];
  #script: Script;
  readonly #ends: Connection[] = [];

  constructor(script: Script = () => undefined) {
    this.#script = script;
  }

  /** Answers otherwise from now on. */
  play(script: Script): void {
    this.#script = script;
  }

  /** Opens a connection to it. */
  readonly dial = (): Promise<Connection> => {
    const [client, server] = memoryPair({ direct: true });
    this.#ends.push(server);
    const nth = this.seen.push("") - 1;
    void this.#serve(server, nth);
    const direct: DirectConnection = {
      read: (into) => client.direct!.read(into),
      write: (bytes) => {
        this.writes.push(bytes.length);
        return client.direct!.write(bytes);
      },
    };
    return Promise.resolve({
      readable: client.readable,
      writable: client.writable,
      peer: client.peer,
      delayedAck: client.delayedAck,
      direct,
      close: () => client.close(),
    });
  };

  /** Closes the connection made last. */
  drop(): void {
    this.#ends.at(-1)?.close();
  }

  /** Says something on the connection made last. */
  async say(bytes: Uint8Array): Promise<void> {
    await write(this.#ends.at(-1)!, bytes);
  }

  async #serve(connection: Connection, nth: number): Promise<void> {
    const io = directOf(connection);
    const frames = new FrameReader();
    try {
      for (;;) {
        const count = await io.read(frames.space());
        if (count === null) break;
        frames.commit(count);
        while (frames.next()) {
          const letter = String.fromCharCode(frames.code);
          this.seen[nth] += letter;
          const deed = this.#script(letter, nth) ?? usual(letter);
          if (deed === "close") connection.close();
          else if (deed !== "nothing") {
            await write(connection, deed instanceof Uint8Array ? deed : bytesOf(...deed));
          }
        }
      }
    } catch (error) {
      // The other side may go away at any time.
      if (!(error instanceof Error) || error.name !== "TransportError") throw error;
    }
    this.seen[nth] += ".";
  }
}

function usual(letter: string): Deed {
  if (letter.charCodeAt(0) === SMFIC.OPTNEG) return [ALL];
  return SILENT.includes(letter) ? "nothing" : [{ kind: "continue" }];
}

async function write(connection: Connection, bytes: Uint8Array): Promise<void> {
  let rest = bytes;
  while (rest.length > 0) rest = rest.subarray(await connection.direct!.write(rest));
}
