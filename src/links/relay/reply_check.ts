/**
 * Holds a relayed filter's replies against the protocol, before the MTA sees a byte of them.
 *
 * @module
 */
import { type Agreement, isFinal, ProtocolError, type Reply, SMFIC, SMFIP } from "../../protocol/mod.ts";
import { MAX_EDITS } from "../../session/edits.ts";
import { readReplyText } from "../../session/mta_checks.ts";
import { EDIT_FLAGS } from "../../session/wants.ts";

/** Flags of the edit replies. */
const FLAGS: Partial<Record<Reply["kind"], number>> = {
  addHeader: EDIT_FLAGS.addHeader,
  insertHeader: EDIT_FLAGS.insertHeader,
  changeHeader: EDIT_FLAGS.changeHeader,
  replaceBody: EDIT_FLAGS.replaceBody,
  addRecipient: EDIT_FLAGS.addRecipient,
  addRecipientWithArgs: EDIT_FLAGS.addRecipient,
  removeRecipient: EDIT_FLAGS.removeRecipient,
  changeSender: EDIT_FLAGS.changeSender,
  quarantine: EDIT_FLAGS.quarantine,
};

/** Stages at which accept would have effects that nobody wants, or discard has none. */
const NO_DISCARD: readonly number[] = [SMFIC.CONNECT, SMFIC.HELO, SMFIC.UNKNOWN];

/** Checks the replies of one session. */
export class ReplyCheck {
  /** Edits of the message so far. */
  #edits = 0;

  /**
   * Checks a reply to a command of byte `code`.
   *
   * @throws {ProtocolError} if the reply is not legal there.
   */
  check(reply: Reply, code: number, agreement: Agreement): void {
    if (isFinal(reply)) this.#final(reply, code, agreement);
    else this.#edit(reply, code, agreement);
  }

  #final(reply: Reply, code: number, agreement: Agreement): void {
    this.#edits = 0;
    switch (reply.kind) {
      case "continue":
      case "reject":
      case "tempfail":
        return;
      case "replyCode":
        if (readReplyText(reply.text).warnings.length > 0) {
          refuse(reply, code, "its text is not safe to pass on");
        }
        return;
      case "accept":
        if (code === SMFIC.UNKNOWN) refuse(reply, code, "Postfix does not survive it there");
        return;
      case "discard":
        if (NO_DISCARD.includes(code)) refuse(reply, code, "there is no mail to discard yet");
        return;
      case "skip":
        if (code !== SMFIC.BODY || (agreement.protocol & SMFIP.SKIP) === 0) {
          refuse(reply, code, "only a body can be skipped");
        }
        return;
      default:
        refuse(reply, code, "no filter may send it");
    }
  }

  #edit(reply: Reply, code: number, agreement: Agreement): void {
    const flag = FLAGS[reply.kind];
    if (flag === undefined || code !== SMFIC.BODYEOB) refuse(reply, code, "it is not legal there");
    if ((agreement.actions & flag) === 0) refuse(reply, code, "it was not negotiated");
    // A body comes in pieces; only what is not one is counted against the limit of edits.
    if (reply.kind !== "replaceBody" && ++this.#edits > MAX_EDITS) {
      refuse(reply, code, `there are over ${MAX_EDITS} edits`);
    }
  }
}

function refuse(reply: Reply, code: number, why: string): never {
  throw new ProtocolError(
    "bad-value",
    `The filter answered "${reply.kind}" to command '${String.fromCharCode(code)}': ${why}`,
  );
}
