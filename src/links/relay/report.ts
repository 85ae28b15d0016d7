/**
 * What the runtime itself notes of a relayed mail: for the log, and for nothing else.
 *
 * @module
 */
import {
  Effect,
  type Frame,
  headerNameEnd,
  letter,
  MacroStore,
  parseCommand,
  SMFIC,
} from "../../protocol/mod.ts";
import { clientOf, WireAddress } from "../../session/addresses.ts";
import type { SessionHost } from "../../session/plan.ts";
import type { Failure } from "../../session/policy.ts";
import { HOOK_OF_COMMAND } from "../../session/wants.ts";
import type { Verdict } from "../../filter/mod.ts";

/** A mail under way. */
interface OpenMail {
  readonly began: number;
  sender: string | undefined;
  recipients: number;
  refused: number;
  refusal:
    | { readonly code: number; readonly verdict: Verdict["kind"]; readonly reply: string | undefined }
    | undefined;
}

/** Follows one connection's commands. */
export class RelayReport {
  /** The failure that decided the mail. */
  failure: Failure | undefined;
  readonly #name: string;
  readonly #host: SessionHost;
  readonly #macros = new MacroStore();
  #client: string | undefined;
  #mail: OpenMail | undefined;

  constructor(name: string, host: SessionHost) {
    this.#name = name;
    this.#host = host;
  }

  get mailOpen(): boolean {
    return this.#mail !== undefined;
  }

  /**
   * Looks at a command, and checks its payload on the way, so that a filter gets only what is well-formed.
   *
   * @param cell The step that it makes.
   * @throws {ProtocolError} for a malformed payload.
   */
  see(frame: Frame, cell: number): void {
    const { code, bytes, start, end } = frame;
    if (code === SMFIC.MACRO) {
      this.#macros.set(bytes, start, end);
      return;
    }
    if ((cell & Effect.ABORT) !== 0) this.abort();
    if (code === SMFIC.QUIT_NC) this.#macros.clear();
    this.#macros.enter(code);
    if ((cell & Effect.OPEN) !== 0) {
      this.failure = undefined;
      this.#mail = {
        began: this.#host.now(),
        sender: undefined,
        recipients: 0,
        refused: 0,
        refusal: undefined,
      };
    }
    if (code === SMFIC.HEADER) headerNameEnd(bytes, start, end);
    else if (code !== SMFIC.BODY && code !== SMFIC.BODYEOB) {
      const command = parseCommand(code, bytes, start, end);
      if (command.kind === "connect") {
        const client = clientOf(command);
        this.#client = client.address ?? client.host;
      } else if (command.kind === "mail" && this.#mail !== undefined) {
        this.#mail.sender = new WireAddress(command.address, []).address;
      }
    }
  }

  /** A recipient was accepted. */
  recipient(): void {
    if (this.#mail !== undefined) this.#mail.recipients++;
  }

  /** A recipient or DATA was refused, and the mail is still open. */
  refusal(code: number, verdict: Verdict["kind"], reply: string | undefined): void {
    if (this.#mail === undefined) return;
    if (code === SMFIC.RCPT) this.#mail.refused++;
    this.#mail.refusal = { code, verdict, reply };
  }

  /** The open mail ends without a verdict of its own. */
  abort(): void {
    const mail = this.#mail;
    if (mail === undefined) return;
    const { refusal } = mail;
    if (refusal === undefined || (refusal.code === SMFIC.RCPT && mail.recipients > 0)) {
      this.end(SMFIC.ABORT, "none", undefined, 0);
    } else this.end(refusal.code, refusal.verdict, refusal.reply, 0);
  }

  /** The mail ends with a verdict; or, without one open, the connection is refused. */
  end(code: number, verdict: Verdict["kind"] | "none", reply: string | undefined, edits: number): void {
    const mail = this.#mail;
    this.#mail = undefined;
    const macros = this.#macros;
    this.#host.mail({
      filter: this.#name,
      queueId: macros.get("i"),
      client: this.#client ?? macros.get("client_addr") ?? macros.get("_"),
      sender: mail === undefined ? undefined : mail.sender ?? macros.get("mail_addr"),
      recipients: mail?.recipients ?? 0,
      refused: mail?.refused ?? 0,
      stage: HOOK_OF_COMMAND.get(code) ?? letter(code),
      verdict,
      reply,
      edits,
      ms: mail === undefined ? 0 : this.#host.now() - mail.began,
      failure: this.failure,
    });
  }
}
