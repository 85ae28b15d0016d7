/** Hashes every octet of the body (FNV-1a, 32 bits), adds one field at the end. */
import type { Filter } from "../../../src/filter/mod.ts";

interface Digest {
  octets: number;
  hash: number;
}

/** The mail's digest; what `transaction` holds is this filter's own. */
function digest(transaction: Record<string, unknown>): Digest {
  return (transaction.digest ??= { octets: 0, hash: 0x811c9dc5 }) as Digest;
}

export default {
  name: "body",
  edits: ["addHeader"],
  // Nobody need wait for a hook that only looks.
  noReply: ["body"],
  body(chunk, { transaction }) {
    const mail = digest(transaction);
    let hash = mail.hash;
    for (let i = 0; i < chunk.length; i++) hash = Math.imul(hash ^ chunk[i], 0x01000193);
    mail.hash = hash;
    mail.octets += chunk.length;
  },
  endOfMessage({ transaction, addHeader }) {
    const { octets, hash } = digest(transaction);
    addHeader("X-Bench", `octets=${octets} fnv1a=${(hash >>> 0).toString(16).padStart(8, "0")}`);
  },
} satisfies Filter;
