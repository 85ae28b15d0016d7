// What is kept of a filter's replies is bounded.
import assert from "node:assert/strict";
import { encodeReply, FrameWriter, type Reply, SMFIC } from "../../protocol/mod.ts";
import { RelayReplies } from "./replies.ts";

function waitingForEnd(limit?: number): { readonly replies: RelayReplies; readonly answers: Reply[] } {
  const answers: Reply[] = [];
  const replies = new RelayReplies({
    waiting: () => SMFIC.BODYEOB,
    offer: () => undefined,
    progressed: () => {},
    answer: (reply) => void answers.push(reply),
  }, limit);
  replies.restart({ understand: (reply) => reply });
  replies.agreement = { version: 6, actions: 0x1ff, protocol: 0, macros: [], dataSize: 65_535 };
  return { replies, answers };
}

function bytesOf(reply: Reply): Uint8Array {
  const writer = new FrameWriter();
  encodeReply(reply, writer);
  return writer.take();
}

Deno.test("edits of one mail are bounded in bytes", () => {
  const limit = 1_000_000;
  const { replies } = waitingForEnd(limit);
  const part = bytesOf({ kind: "replaceBody", chunk: new Uint8Array(65_535) });
  for (let i = 0; i < Math.floor(limit / part.length); i++) replies.take(part);
  assert.throws(() => replies.take(part), { name: "ProtocolError", message: /over 1000000 bytes/ });
});

Deno.test("edits are bounded in number, and gone after their mail", () => {
  const { replies, answers } = waitingForEnd();
  const name = new TextEncoder().encode("X");
  const edit = bytesOf({ kind: "addHeader", name, value: name });
  for (let n = 0; n < 2; n++) {
    for (let i = 0; i < 1000; i++) replies.take(edit);
    replies.take(bytesOf({ kind: "continue" }));
    const out = new FrameWriter();
    assert.equal(replies.writeEdits(out), 1000);
    assert.equal(out.length, 1000 * edit.length);
  }
  assert.equal(answers.length, 2);
  for (let i = 0; i < 1000; i++) replies.take(edit);
  assert.throws(() => replies.take(edit), { name: "ProtocolError", message: /over 1000 edits/ });
});
