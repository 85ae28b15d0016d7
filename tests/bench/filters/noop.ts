/** Every event is asked for and answered; nothing is done with it. Peer: libmilter with all callbacks registered. */
import type { Filter } from "../../../src/filter/mod.ts";

export default {
  name: "noop",
  edits: [],
  connect: (_client, { continue: go }) => go(),
  helo: (_name, { continue: go }) => go(),
  mail: (_sender, { continue: go }) => go(),
  rcpt: (_recipient, { continue: go }) => go(),
  data: ({ continue: go }) => go(),
  unknown: (_command, { continue: go }) => go(),
  header: (_field, { continue: go }) => go(),
  endOfHeaders: ({ continue: go }) => go(),
  body: (_chunk, { continue: go }) => go(),
  endOfMessage: ({ continue: go }) => go(),
  abort() {},
  close() {},
} satisfies Filter;
