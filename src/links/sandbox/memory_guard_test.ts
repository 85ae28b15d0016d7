// Whom the memory guard ends: the sandbox that holds its thread while the process grows, and no other.
import assert from "node:assert/strict";
import { GuardBoard } from "./guard_board.ts";
import { type Guarded, MemoryGuard } from "./memory_guard.ts";

const MIB = 2 ** 20;

class Play implements Guarded {
  readonly allowance = 128 * MIB;
  readonly bufferLimit = 64 * MIB;
  beats = 1;
  external = 0;
  ended: string | undefined;
  readonly #guard: MemoryGuard;

  constructor(guard: MemoryGuard) {
    this.#guard = guard;
    guard.add(this);
  }

  end({ kind, message }: { kind: string; message: string }): void {
    this.ended = `${kind}: ${message}`;
    this.#guard.remove(this);
  }
}

function guarded(
  count: number,
): { memory: { rss: number; heapTotal: number; external: number }; guard: MemoryGuard; cells: Play[] } {
  const memory = { rss: 100 * MIB, heapTotal: 0, external: 0 };
  const guard = new MemoryGuard(() => memory);
  const cells = Array.from({ length: count }, () => new Play(guard));
  guard.look();
  return { memory, guard, cells };
}

/** Looks again; all beat but those named. */
function look(guard: MemoryGuard, cells: readonly Play[], ...held: Play[]): void {
  for (const cell of cells) if (!held.includes(cell)) cell.beats++;
  guard.look();
}

function clear(guard: MemoryGuard, cells: readonly Play[]): void {
  for (const cell of cells) guard.remove(cell);
}

Deno.test("the one whose thread is held while the process grows is ended, the others are not", () => {
  const { memory, guard, cells } = guarded(3);
  memory.rss += 150 * MIB;
  for (let i = 0; i < 6; i++) look(guard, cells, cells[1]);
  assert.deepEqual(cells.map(({ ended }) => ended), [undefined, undefined, undefined]);
  memory.rss += 60 * MIB;
  look(guard, cells, cells[1]);
  assert.match(cells[1].ended ?? "", /^memory: the process grew by 220200960 bytes/);
  assert.deepEqual([cells[0].ended, cells[2].ended], [undefined, undefined]);
  clear(guard, cells);
});

Deno.test("what the runtime's own isolate takes is nobody's fault", () => {
  const { memory, guard, cells } = guarded(1);
  memory.rss += 2000 * MIB;
  memory.heapTotal += 1500 * MIB;
  memory.external += 400 * MIB;
  look(guard, cells, cells[0]);
  assert.equal(cells[0].ended, undefined);
  clear(guard, cells);
});

Deno.test("a sandbox that counts too many bytes of its own is ended", () => {
  const { guard, cells } = guarded(2);
  cells[0].external = 65 * MIB;
  look(guard, cells);
  assert.match(cells[0].ended ?? "", /^memory: 68157440 bytes outside the heap, the limit is 67108864/);
  assert.equal(cells[1].ended, undefined);
  clear(guard, cells);
});

Deno.test("growth that no sandbox can be told for ends all, once", () => {
  const { memory, guard, cells } = guarded(2);
  memory.rss += (2 * 128 + 257) * MIB;
  look(guard, cells);
  assert(cells.every(({ ended }) => ended === undefined), "not at the first look");
  for (let i = 0; i < 20; i++) look(guard, cells);
  assert(cells.every(({ ended }) => ended?.includes("all filters together")));
  const next = new Play(guard);
  for (let i = 0; i < 60; i++) look(guard, [next]);
  assert.equal(next.ended, undefined, "what is still there is not the next one's");
  guard.remove(next);
});

Deno.test("of several that hold their threads one is ended at a time, the one held longest first", () => {
  const { memory, guard, cells } = guarded(2);
  look(guard, cells, cells[0]);
  memory.rss += 400 * MIB;
  for (let i = 0; i < 25; i++) look(guard, cells, ...cells);
  assert.equal(cells.filter(({ ended }) => ended !== undefined).length, 1);
  assert(cells[0].ended !== undefined);
  clear(guard, cells);
});

Deno.test("a busy sandbox that misses a beat is not taken for the one that fills memory beside it", () => {
  const { memory, guard, cells: [innocent, filler] } = guarded(2);
  const cells = [innocent, filler];
  // Neither comes to its timers between two looks, and the process jumps: it could be either.
  memory.rss += 700 * MIB;
  look(guard, cells, innocent, filler);
  assert.deepEqual(cells.map(({ ended }) => ended), [undefined, undefined]);
  for (let i = 0; i < 6 && filler.ended === undefined; i++) look(guard, cells, filler);
  assert(filler.ended !== undefined, "the one that goes on holding its thread is ended");
  assert.equal(innocent.ended, undefined);
  clear(guard, cells);
});

Deno.test("a jump that is seen while all still beat does not end all: the one at fault stops beating", () => {
  const { memory, guard, cells: [innocent, filler] } = guarded(2);
  const cells = [innocent, filler];
  memory.rss += 900 * MIB;
  look(guard, cells);
  for (let i = 0; i < 6 && filler.ended === undefined; i++) look(guard, cells, filler);
  assert(filler.ended !== undefined);
  assert.equal(innocent.ended, undefined);
  clear(guard, cells);
});

Deno.test("after one was ended nobody is judged until its memory had time to go", () => {
  const { memory, guard, cells: [innocent, filler] } = guarded(2);
  const cells = [innocent, filler];
  memory.rss += 700 * MIB;
  for (let i = 0; i < 8 && filler.ended === undefined; i++) look(guard, cells, filler);
  assert(filler.ended !== undefined);
  // Freeing so much holds up the others.
  for (let i = 0; i < 3; i++) look(guard, cells, innocent);
  assert.equal(innocent.ended, undefined);
  clear(guard, cells);
});

/** Guards in two threads of one process, with a sandbox each. */
function twoThreads(): {
  memory: { rss: number };
  guards: MemoryGuard[];
  cells: Play[];
  turn(...held: Play[]): void;
} {
  const memory = { rss: 100 * MIB, heapTotal: 0, external: 0 };
  const board = GuardBoard.memory(2);
  const guards = [0, 1].map((thread) => {
    const guard = new MemoryGuard(() => memory);
    guard.share(new GuardBoard(board, thread));
    return guard;
  });
  const cells = guards.map((guard) => new Play(guard));
  const turn = (...held: Play[]): void => {
    for (const cell of cells) if (!held.includes(cell)) cell.beats++;
    for (const guard of guards) guard.look();
  };
  for (let i = 0; i < 2; i++) turn();
  return { memory, guards, cells, turn };
}

Deno.test("what sandboxes of other threads may take is no growth, what their isolates take neither", () => {
  const { memory, guards, cells, turn } = twoThreads();
  // Beyond what one thread's sandboxes may take with the margin, within what both may.
  memory.rss += 500 * MIB;
  for (let i = 0; i < 40; i++) turn();
  assert.deepEqual(cells.map(({ ended }) => ended), [undefined, undefined]);
  memory.rss += 20 * MIB;
  for (let i = 0; i < 25; i++) turn();
  assert.deepEqual(
    cells.map(({ ended }) => ended !== undefined),
    [true, false],
    "beyond both, one thread begins",
  );
  for (let i = 0; i < 40; i++) turn();
  assert.ok(cells[1].ended !== undefined, "and the other follows if that was not enough");
  for (const [n, guard] of guards.entries()) clear(guard, [cells[n]]);
});

Deno.test("of two threads the one that has the held sandbox ends it, and the other ends none", () => {
  for (const at of [0, 1]) {
    const { memory, guards, cells, turn } = twoThreads();
    memory.rss += 900 * MIB;
    for (let i = 0; i < 8 && cells[at].ended === undefined; i++) turn(cells[at]);
    assert.match(cells[at].ended ?? "it goes on", /^memory: /);
    // Its memory takes a while to go.
    for (let i = 0; i < 9; i++) turn();
    memory.rss -= 900 * MIB;
    for (let i = 0; i < 40; i++) turn();
    assert.equal(cells[1 - at].ended, undefined);
    clear(guards[1 - at], [cells[1 - at]]);
  }
});

Deno.test("an innocent sandbox that misses some beats is not ended for another thread's", () => {
  for (const lead of [1, 3]) {
    const { memory, guards, cells: [innocent, guilty], turn } = twoThreads();
    for (let i = 0; i < lead; i++) turn(guilty);
    memory.rss += 900 * MIB;
    // Without a clear lead it takes patience, and then as well the one held longest is meant.
    for (let i = 0; i < 30 && guilty.ended === undefined; i++) turn(guilty, innocent);
    assert.notEqual(guilty.ended, undefined);
    assert.equal(innocent.ended, undefined);
    clear(guards[0], [innocent]);
  }
});
