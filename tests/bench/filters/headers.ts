/** Looks at each header field as it comes, adds one at the end. */
import type { Filter } from "../../../src/filter/mod.ts";

interface Counts {
  fields: number;
  octets: number;
}

/** The mail's counts; what `transaction` holds is this filter's own. */
function counts(transaction: Record<string, unknown>): Counts {
  return (transaction.counts ??= { fields: 0, octets: 0 }) as Counts;
}

export default {
  name: "headers",
  edits: ["addHeader"],
  header(field, { transaction }) {
    const seen = counts(transaction);
    seen.fields++;
    seen.octets += field.name.length + field.value.length;
  },
  endOfMessage({ transaction, addHeader }) {
    const { fields, octets } = counts(transaction);
    addHeader("X-Bench", `fields=${fields} octets=${octets}`);
  },
} satisfies Filter;
