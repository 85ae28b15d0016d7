/**
 * Socket addresses as other programs spell them, and what they are called here.
 *
 * @module
 */

/** What is wrong with a spelling, and the one that was most likely meant (not checked further). */
export interface Correction {
  readonly reason: string;
  readonly suggestion?: string;
}

/** `host:port` with the host in brackets if it is IPv6. `*` stands for all addresses. */
const hostAndPort = /^(\[[^\]]*\]|[^:@/\s]+):([0-9]+)\/?$/;
/** `host@port`, the two parts the wrong way round. */
const hostAtPort = /^(\[[^\]]*\]|[^@/\s]*[^@/\s0-9][^@/\s]*)@([0-9]+)$/;
/** Kinds that other programs use for TCP. */
const tcpKinds = ["tcp", "tcp4", "tcp6", "inet4", "ipv4", "ipv6", "milter"];
/** What stands before a colon and is no host. */
const kinds = [
  ...tcpKinds,
  "inet",
  "inet6",
  "unix",
  "local",
  "file",
  "socket",
  "fd",
  "http",
  "https",
  "ws",
  "wss",
];

/** Recognises a common mistake; undefined if the text has none of them (it may still be wrong). */
export function correction(text: string): Correction | undefined {
  const trimmed = text.trim();
  if (trimmed === "") return { reason: "it is empty" };
  if (trimmed !== text) return { reason: "there are spaces around it", suggestion: trimmed };
  if (text.startsWith("/")) return { reason: 'a path needs "unix:" in front', suggestion: `unix:${text}` };
  if (text.startsWith("./") || text.startsWith("../")) {
    return { reason: "a socket file needs unix: and the whole path" };
  }
  if (/^[0-9]+$/.test(text)) {
    return { reason: "a port needs its kind and host", suggestion: `inet:${text}@127.0.0.1` };
  }
  if (/^\*:[0-9]+$/.test(text)) {
    return {
      reason: "all addresses of the machine are meant by leaving the host out",
      suggestion: `inet:${text.slice(2)}`,
    };
  }
  const bare = hostAndPort.exec(text);
  if (
    bare !== null && !kinds.includes(bare[1]!.toLowerCase())
  ) {
    return {
      reason: "a host and port need their kind, and the port comes first",
      suggestion: inet(bare[1]!, bare[2]!),
    };
  }
  const kind = /^([a-z][a-z0-9+.-]*):(\/\/)?(.*)$/is.exec(text);
  if (kind === null) return undefined;
  return ofKind(kind[1]!.toLowerCase(), kind[2] !== undefined, kind[3]!);
}

function ofKind(kind: string, slashes: boolean, rest: string): Correction | undefined {
  switch (kind) {
    case "unix":
    case "local":
      if (!slashes) return undefined;
      // unix:///run/x has an empty host; unix://run/x was most likely meant as the same path.
      return {
        reason: `"//" does not belong after "${kind}:"`,
        suggestion: `${kind}:/${rest.replace(/^\/+/, "")}`,
      };
    case "inet":
    case "inet6":
      return ofInet(kind, slashes, rest);
    case "file":
    case "socket":
      return {
        reason: `"${kind}:" is not a kind of socket`,
        suggestion: `unix:/${rest.replace(/^\/+/, "")}`,
      };
    case "http":
    case "https":
    case "ws":
    case "wss":
      return { reason: `"${kind}:" is another protocol` };
    case "fd":
      return { reason: "inherited sockets have no address" };
  }
  if (!tcpKinds.includes(kind)) return undefined;
  const reason = `TCP sockets are written "inet:" or "inet6:", not "${kind}:"`;
  const swapped = hostAndPort.exec(rest);
  if (swapped !== null) return { reason, suggestion: inet(swapped[1]!, swapped[2]!, kind.endsWith("6")) };
  if (/^[0-9]+(@.*)?$/.test(rest)) {
    const six = kind.endsWith("6") || rest.slice(rest.indexOf("@") + 1).includes(":");
    return { reason, suggestion: `${six ? "inet6" : "inet"}:${rest}` };
  }
  return { reason };
}

function ofInet(kind: "inet" | "inet6", slashes: boolean, rest: string): Correction | undefined {
  const swapped = hostAndPort.exec(rest) ?? hostAtPort.exec(rest);
  if (swapped !== null) {
    const reason = rest.includes("@")
      ? 'the port comes before "@", the host after it'
      : "this is the order of Postfix; here the port comes first";
    return { reason, suggestion: inet(swapped[1]!, swapped[2]!, kind === "inet6") };
  }
  if (slashes) return { reason: `"//" does not belong after "${kind}:"`, suggestion: `${kind}:${rest}` };
  if (rest.startsWith(":")) {
    return { reason: "there is a colon too many", suggestion: `${kind}:${rest.slice(1)}` };
  }
  const everywhere = /^([0-9]+)@\*$/.exec(rest);
  if (everywhere !== null) {
    return {
      reason: "all addresses are meant by leaving the host out",
      suggestion: `${kind}:${everywhere[1]}`,
    };
  }
  return undefined;
}

function inet(host: string, port: string, six = false): string {
  if (host === "*") return `${six ? "inet6" : "inet"}:${port}`;
  if (host.includes(":")) return `inet6:${port}@${host}`;
  // An address says which family it is, whatever kind was written before it.
  return `${six && !/^[0-9.]+$/.test(host) ? "inet6" : "inet"}:${port}@${host}`;
}
