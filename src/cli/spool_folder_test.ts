import assert from "node:assert/strict";
import { spoolFolder } from "./spool_folder.ts";

Deno.test("a spool file keeps what is written, read from anywhere, by several at once", async () => {
  const folder = await Deno.makeTempDir({ prefix: "millrace-spool-" });
  const open = await spoolFolder(folder);
  const file = await open();
  assert.deepEqual([...Deno.readDirSync(folder)], [], "it has no name");
  const piece = (n: number) => new Uint8Array(100_000).fill(n);
  await file.write(piece(1));
  const into = new Uint8Array(10);
  assert.equal(await file.read(99_995, into), 5);
  // Reading has moved nothing.
  await file.write(piece(2));
  const buffers = Array.from({ length: 20 }, () => new Uint8Array(1000));
  const [counts] = await Promise.all([
    Promise.all(buffers.map((buffer, i) => file.read(i * 10_000, buffer))),
    file.write(piece(3)),
  ]);
  assert.ok(counts.every((count) => count === 1000));
  buffers.forEach((buffer, i) => assert.ok(buffer.every((byte) => byte === (i < 10 ? 1 : 2)), String(i)));
  assert.equal(await file.read(299_999, into), 1);
  assert.equal(into[0], 3);
  assert.equal(await file.read(300_000, into), 0);
  file.close();
  await Deno.remove(folder);
});

Deno.test("a folder that cannot be used is told at the start", async () => {
  await assert.rejects(spoolFolder("/nonexistent/spool"), {
    name: "CommandError",
    message:
      /Cannot use the folder \/nonexistent\/spool \(spool\.folder\): .*; it must be there, and writable/,
  });
  const file = await Deno.makeTempFile();
  await assert.rejects(spoolFolder(file), { name: "CommandError" });
  await Deno.remove(file);
});
