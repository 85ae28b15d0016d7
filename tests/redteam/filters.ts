/** Filters as source text, so that the same code runs beside the tests and in a sandbox. */

/**
 * Does at each hook what the client's name says: `mail=reject;endOfMessage=edits`. Hooks that are not named go on.
 * A mail's sender can say it as well, for this mail.
 */
export const SCRIPTED = `
const counts = { connect: 0, mail: 0, abort: 0, close: 0, endOfMessage: 0 };
function act(hook, context) {
  if (hook in counts) counts[hook]++;
  const script = context.sender?.address?.includes("=") ? context.sender.address : context.connection.script ?? "";
  const action = script.split("@")[0].split(";").map((part) => part.split("=")).find(([name]) => name === hook)?.[1];
  switch (action) {
    case undefined: case "": return undefined;
    case "continue": return { kind: "continue" };
    case "accept": case "discard": case "skip": case "reject": case "tempfail": return { kind: action };
    case "rejectText": return context.reject("5.7.1", ["first", "second 100%"]);
    case "tempfailText": return context.tempfail("4.7.1", "later");
    case "async": return new Promise((resolve) => setTimeout(() => resolve(undefined), 1));
    case "asyncReject": return Promise.resolve(context.reject("5.7.2", "async"));
    case "throw": throw new TypeError("thrown");
    case "throwNull": throw null;
    case "rejected": return Promise.reject(new Error("rejected"));
    case "never": return new Promise(() => {});
    case "string": return "accept";
    case "null": return null;
    case "number": return 42;
    case "object": return { kind: "shutdown" };
    case "badText": return { kind: "reject", reply: { code: 250, enhanced: "2.0.0", lines: ["fine"] } };
    case "injected": return { kind: "reject", reply: { code: 550, enhanced: "5.0.0", lines: ["a\\r\\n250 b"] } };
    case "editsThenThrow": context.addHeader("X-No", "no"); throw new Error("after an edit");
    case "editsThenReject": context.addHeader("X-No", "no"); return { kind: "reject" };
    case "edits":
      context.addHeader("X-One", "1"); context.insertHeader(0, "X-Top", "t"); context.changeHeader("Subject", "new");
      context.addRecipient("<two@lab.example>"); context.removeRecipient("<one@lab.example>");
      context.changeSender("<b@client.example>"); context.replaceBody("new body\\r\\n"); context.quarantine("why");
      return undefined;
    case "counts": context.addHeader("X-Counts", JSON.stringify(counts)); return undefined;
    case "macros": context.addHeader("X-Macros", [context.macros.get("i"), context.helo].join(" ")); return undefined;
    default: throw new Error("unknown action " + action);
  }
}
export default {
  name: "scripted",
  connect(client, context) { context.connection.script = client.host; return act("connect", context); },
  helo(name, context) { return act("helo", context); },
  mail(sender, context) { return act("mail", context); },
  rcpt(recipient, context) { return act("rcpt", context); },
  data(context) { return act("data", context); },
  unknown(command, context) { return act("unknown", context); },
  header(field, context) { return act("header", context); },
  endOfHeaders(context) { return act("endOfHeaders", context); },
  body(chunk, context) { return act("body", context); },
  endOfMessage(context) { return act("endOfMessage", context); },
  abort(context) { return act("abort", context); },
  close(context) { return act("close", context); },
};`;

/** The hooks of the script that a command brings about. */
export const HOOKS = [
  "connect",
  "helo",
  "mail",
  "rcpt",
  "data",
  "unknown",
  "header",
  "endOfHeaders",
  "body",
  "endOfMessage",
] as const;

/** Reads the whole mail and says what it saw. */
export const WHOLE = `
export default {
  name: "whole",
  async message(mail, { addHeader, accept }) {
    let sum = 0, size = 0;
    for await (const chunk of mail.body.stream()) { size += chunk.length; for (const byte of chunk) sum = (sum + byte) | 0; }
    addHeader("X-Saw", [mail.sender.address, mail.recipients.length, mail.headers.get("subject"), size, sum].join(" "));
    return accept();
  },
};`;

/** Sees the body piece by piece and keeps nothing. */
export const STREAMING = `
export default {
  name: "streaming",
  body(chunk, { connection }) {
    connection.size = (connection.size ?? 0) + chunk.length;
    let sum = connection.sum ?? 0;
    for (let i = 0; i < chunk.length; i += 997) sum = (sum + chunk[i]) | 0;
    connection.sum = sum;
  },
  endOfMessage({ connection, addHeader }) { addHeader("X-Saw", connection.size + " " + connection.sum); },
};`;
