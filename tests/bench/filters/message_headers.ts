/** As `message`, and says that it needs nothing but the header. */
import type { Filter } from "../../../src/filter/mod.ts";
import message from "./message.ts";

export default {
  ...message,
  name: "message_headers",
  needs: ["headers"],
  edits: ["addHeader"],
} satisfies Filter;
