/** The other thread of the ring tests: sends back every record, as it came, until told to end. */
import { RingReader, RingWriter } from "../../src/links/sandbox/ring.ts";

const scope = self as unknown as {
  onmessage: (event: MessageEvent<readonly [SharedArrayBuffer, SharedArrayBuffer]>) => void;
  postMessage(words: string): void;
  close(): void;
};

/** The kind of the record that ends the partner. */
const END = 99;

scope.onmessage = async ({ data: [there, back] }) => {
  const reader = new RingReader(there);
  const writer = new RingWriter(back);
  const waiting: { kind: number; session: number; payload: Uint8Array }[] = [];
  let ended = false;
  while (!ended) {
    reader.drain((kind, session, payload) => {
      if (kind === END) ended = true;
      else waiting.push({ kind, session, payload: payload.slice() });
    });
    while (waiting.length > 0) {
      const { kind, session, payload } = waiting[0];
      if (writer.write(kind, session, payload)) waiting.shift();
      else {
        writer.flush();
        await writer.room();
      }
    }
    writer.flush();
    if (!ended) await reader.arrived();
  }
  scope.postMessage("ended");
  scope.close();
};
