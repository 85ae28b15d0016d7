/**
 * Web streams on top of direct reads and writes.
 *
 * @module
 */
import type { DirectConnection } from "./types.ts";

/** What the streams need to know about ending a connection. */
export interface StreamEnds {
  /** Sends the end after everything written so far. */
  endWriting(): Promise<void>;
  /** Closes both directions. */
  close(): void;
}

/** Size of the buffers handed out to readers that bring none of their own. */
const chunkSize = 65536;

/**
 * Makes the pair of streams of a connection. Nothing is read ahead: bytes stay with the sender until somebody asks
 * for them, and a write is done when the last of its bytes was taken.
 *
 * The streams that `Deno.Conn` offers are not used, because each of them closes the whole connection when its own
 * direction ends: a client that shuts down its writing side would never get the last reply.
 */
export function byteStreams(direct: DirectConnection, ends: StreamEnds): {
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly writable: WritableStream<Uint8Array>;
} {
  const readable = new ReadableStream({
    type: "bytes",
    autoAllocateChunkSize: chunkSize,
    async pull(controller) {
      // With autoAllocateChunkSize every pull has a request with a view.
      const request = controller.byobRequest!;
      const { buffer, byteOffset, byteLength } = request.view!;
      const count = await direct.read(new Uint8Array(buffer, byteOffset, byteLength));
      if (count === null) controller.close();
      request.respond(count ?? 0);
    },
    cancel() {
      ends.close();
    },
  });
  const writable = new WritableStream<Uint8Array>({
    async write(chunk) {
      let rest = chunk;
      while (rest.length > 0) rest = rest.subarray(await direct.write(rest));
    },
    close() {
      return ends.endWriting();
    },
    abort() {
      ends.close();
    },
  });
  return { readable, writable };
}
