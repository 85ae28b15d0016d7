/**
 * Macro values as Postfix and Sendmail set them (milter-protocol, section 5).
 *
 * @module
 */
import type { Dialect } from "./edited_mail.ts";

/** What the values are made from. */
export interface MacroFacts {
  readonly host: string;
  readonly address: string;
  readonly port: number;
  /** Values given by the user, by bare name; they come first. */
  readonly given: ReadonlyMap<string, string>;
  readonly queueId: string;
  /** Envelope addresses without brackets; undefined while there is none. */
  readonly sender: string | undefined;
  readonly recipient: string | undefined;
  /** A recipient of this mail has been accepted: only then has Postfix a queue id. */
  readonly accepted: boolean;
  readonly messageId: string | undefined;
}

const NAME = "mx.example.com";

/** Value of a macro by its bare name; undefined for what this MTA does not set at this moment. */
export function macroValue(name: string, dialect: Dialect, facts: MacroFacts): string | undefined {
  const postfix = dialect === "postfix";
  if (name === "i" && postfix && !facts.accepted) return undefined;
  const given = facts.given.get(name);
  if (given !== undefined) return given;
  switch (name) {
    case "i":
      return facts.sender === undefined ? undefined : facts.queueId;
    case "j":
      return NAME;
    case "v":
      return postfix ? "Postfix 3.7.11" : "8.17.1.9";
    case "_":
      return facts.host.startsWith("[") ? facts.host : `${facts.host} [${facts.address}]`;
    case "daemon_name":
      return postfix ? NAME : "MTA";
    case "daemon_addr":
      return postfix ? "127.0.0.1" : undefined;
    case "daemon_port":
      return "25";
    case "if_name":
      return postfix ? undefined : NAME;
    case "client_addr":
      return facts.address.includes(":") ? `IPv6:${facts.address}` : facts.address;
    case "client_name":
    case "client_ptr":
      return facts.host.startsWith("[") ? "unknown" : facts.host;
    case "client_port":
      return String(facts.port);
    case "client_resolve":
      return facts.host.startsWith("[") ? "FAIL" : "OK";
    case "mail_addr":
      return facts.sender;
    case "mail_mailer":
      return facts.sender === undefined ? undefined : postfix ? "smtp" : "esmtp";
    case "mail_host":
      return facts.sender === undefined ? undefined : domain(facts.sender, postfix);
    case "rcpt_addr":
      return facts.recipient;
    case "rcpt_mailer":
      return facts.recipient === undefined ? undefined : postfix ? "smtp" : "esmtp";
    case "rcpt_host":
      return facts.recipient === undefined ? undefined : domain(facts.recipient, postfix);
    case "msg_id":
      return postfix ? undefined : facts.messageId;
    default:
      return undefined;
  }
}

/** Sendmail writes the host with a dot behind it. */
function domain(address: string, postfix: boolean): string {
  const host = address.slice(address.lastIndexOf("@") + 1);
  return host === "" || postfix ? host : `${host}.`;
}
