// Places that several servers share.
import assert from "node:assert/strict";
import { OwnPlaces, type Places, SharedPlaces } from "./places.ts";

function taken(places: Places, tries: number, limit: number): number {
  return Array.from({ length: tries }, () => places.take(limit)).filter(Boolean).length;
}

Deno.test("places: no more are taken than there are, and those given back are there again", () => {
  for (const places of [new OwnPlaces(), new SharedPlaces(SharedPlaces.memory(1), 0)]) {
    assert.equal(taken(places, 5, 3), 3);
    assert.equal(places.taken, 3);
    places.free();
    assert.equal(taken(places, 5, 3), 1);
    // A limit that a reload has lowered.
    assert.equal(taken(places, 5, 2), 0);
    assert.equal(places.taken, 3);
  }
});

Deno.test("places of several servers: the limit is for all, and one that ends gives back its own", () => {
  const memory = SharedPlaces.memory(3);
  const [one, two, three] = [0, 1, 2].map((server) => new SharedPlaces(memory, server));
  assert.deepEqual([taken(one, 2, 10), taken(two, 5, 10), taken(three, 9, 10)], [2, 5, 3]);
  new SharedPlaces(memory, 1).clear();
  assert.deepEqual([one.taken, two.taken, three.taken], [5, 5, 5]);
  new SharedPlaces(memory, 1).clear();
  assert.equal(one.taken, 5);
  assert.equal(taken(one, 9, 10), 5);
});
