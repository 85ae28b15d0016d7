import assert from "node:assert/strict";
import type { CarrierUser } from "../relay/carrier.ts";
import type { Cell } from "./cell.ts";
import { Seat, type SeatOwner } from "./seat.ts";

Deno.test("a sandbox that claims to be at work gets no more time for it: it breaks the protocol", () => {
  // None of the three is touched before the reply is refused.
  const seat = new Seat({} as SeatOwner, {} as Cell, {} as CarrierUser);
  assert.throws(() => seat.understand({ kind: "progress" }), {
    name: "ProtocolError",
    message: /sent a progress reply/,
  });
  assert.deepEqual(seat.understand({ kind: "continue" }), { kind: "continue" });
});
