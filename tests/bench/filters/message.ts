/** The same mail as `headers` makes, with the `message` hook. It declares nothing, so it is given the whole mail. */
import type { Filter } from "../../../src/filter/mod.ts";

export default {
  name: "message",
  message(mail, { addHeader }) {
    let octets = 0;
    for (const field of mail.headers) octets += field.name.length + field.value.length;
    addHeader("X-Bench", `fields=${mail.headers.length} octets=${octets}`);
  },
} satisfies Filter;
