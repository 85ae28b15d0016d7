/**
 * Edits: checked when a hook makes them, turned into frames in an order that Postfix and Sendmail read alike
 * (milter-protocol, 4.7 to 4.9).
 *
 * @module
 */
import type { Edit, EditName, Edits, HeaderList, Text } from "../filter/mod.ts";
import { type Agreement, encodeReply, type FrameWriter, SMFIF } from "../protocol/mod.ts";
import { EDIT_FLAGS } from "./wants.ts";

/** The most edits of one mail. */
export const MAX_EDITS = 1000;

/** Past the end of any header: both MTAs then append. Sendmail reads 0xffffffff as -1, the top. */
const FAR = 0x7fffffff;

const encoder = new TextEncoder();
const EMPTY = new Uint8Array(0);

/** What the checks need to know about the mail and the MTA. */
export interface EditRules {
  readonly agreement: Agreement;
  /** The edits that the filter declared. */
  readonly declared: readonly EditName[];
  /** The fields of the mail, undefined if the filter did not ask for them. */
  readonly headers: HeaderList | undefined;
  /** The filter declares `leadingSpace` and the MTA has none: a value's own blank would be one too many. */
  readonly dropBlank: boolean;
}

/** Notes edits into `list`, refusing what cannot be done. The functions need no `this`. */
export function editor(list: Edit[], rules: EditRules): Edits {
  const note = (edit: Edit): void => {
    allow(edit.kind, rules);
    if (list.length >= MAX_EDITS) {
      throw new RangeError(`Cannot ${edit.kind}: the mail has ${MAX_EDITS} edits already`);
    }
    list.push(edit);
  };
  return {
    addHeader: (name, value) =>
      note({ kind: "addHeader", name: headerName(name), value: headerValue(name, value, rules) }),
    insertHeader: (index, name, value) =>
      note({
        kind: "insertHeader",
        index: whole(index, 0, "insertHeader"),
        name: headerName(name),
        value: headerValue(name, value, rules),
      }),
    changeHeader: (name, value, nth = 1) => {
      const checked = headerValue(name, value, rules);
      if (checked.length === 0) {
        throw new RangeError(
          `Cannot change header "${name}" to an empty value: for both MTAs that removes it; use removeHeader`,
        );
      }
      note({
        kind: "changeHeader",
        name: headerName(name),
        index: whole(nth, 1, "changeHeader"),
        value: checked,
      });
    },
    removeHeader: (name, nth) => {
      headerName(name);
      if (nth !== undefined) {
        note({ kind: "removeHeader", name, index: whole(nth, 1, "removeHeader") });
        return;
      }
      if (rules.headers === undefined) {
        throw new Error(
          `Cannot remove all fields "${name}": the filter does not see the header; declare needs: ["headers"] or name the nth`,
        );
      }
      const count = rules.headers.all(name).length;
      for (let index = count; index > 0; index--) note({ kind: "removeHeader", name, index });
    },
    replaceBody: (body) =>
      note({ kind: "replaceBody", body: typeof body === "string" ? encoder.encode(body) : body }),
    addRecipient: (address, args) => {
      if (args !== undefined && (rules.agreement.actions & SMFIF.ADDRCPT_PAR) === 0) {
        throw new Error(
          `Cannot add recipient with arguments "${args}": the MTA does not offer SMFIF_ADDRCPT_PAR`,
        );
      }
      note({
        kind: "addRecipient",
        address: mailbox(address, "addRecipient"),
        args: line(args, "addRecipient"),
      });
    },
    removeRecipient: (address) =>
      note({
        kind: "removeRecipient",
        address: mailbox(
          typeof address === "object" && "raw" in address ? address.raw : address as Text,
          "removeRecipient",
        ),
      }),
    changeSender: (address, args) =>
      note({
        kind: "changeSender",
        address: mailbox(address, "changeSender"),
        args: line(args, "changeSender"),
      }),
    quarantine: (reason) => {
      if (reason.trim() === "") {
        throw new RangeError("Cannot quarantine without a reason: the MTA's log shows it");
      }
      note({ kind: "quarantine", reason: line(reason, "quarantine") ?? "" });
    },
  };
}

function allow(kind: EditName, rules: EditRules): void {
  if (!rules.declared.includes(kind)) {
    throw new Error(
      `Cannot ${kind}: the filter declares the edits ${rules.declared.join(", ") || "(none)"}; add "${kind}"`,
    );
  }
  if ((rules.agreement.actions & EDIT_FLAGS[kind]) === 0) {
    throw new Error(
      `Cannot ${kind}: the MTA (protocol version ${rules.agreement.version}) does not offer it; ` +
        "newer versions of Postfix and Sendmail do",
    );
  }
}

function headerName(name: string): string {
  // RFC 5322 section 2.2: printable ASCII but the colon.
  if (!/^[!-9;-~]+$/.test(name)) {
    throw new RangeError(
      `Cannot edit header "${name}": a field name is printable ASCII without colon and blank`,
    );
  }
  if (name.length > 998) {
    throw new RangeError(`Cannot edit a header with a name of ${name.length} characters, the limit is 998`);
  }
  return name;
}

/** Checked bytes of a value: LF before a blank folds it, any other line end would start a field of its own. */
function headerValue(name: string, value: Text, rules: EditRules): Uint8Array {
  const bytes = typeof value === "string" ? encoder.encode(value.replaceAll("\r\n", "\n")) : value;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    const next = bytes[i + 1];
    if (byte === 0 || byte === 0x0d || (byte === 0x0a && next !== 0x20 && next !== 0x09)) {
      throw new RangeError(
        `Cannot edit header "${name}": its value has ${
          byte === 0 ? "a NUL" : byte === 0x0d ? "a CR" : "a line end"
        } ` +
          `at ${i}; only LF followed by a blank or tab may break a line (it folds)`,
      );
    }
  }
  if (name.length + bytes.length + 6 > rules.agreement.dataSize) {
    throw new RangeError(
      `Cannot edit header "${name}": its value has ${bytes.length} bytes, over the MTA's limit of ${rules.agreement.dataSize}`,
    );
  }
  // With the leading space negotiated a value brings its own blank; a filter that counts on it may meet an MTA without.
  return rules.dropBlank && bytes[0] === 0x20 ? bytes.subarray(1) : bytes;
}

function whole(index: number, least: number, edit: string): number {
  if (!Number.isInteger(index) || index < least) {
    throw new RangeError(`Cannot ${edit} at ${index}: a whole number from ${least} is expected`);
  }
  return Math.min(index, FAR);
}

function mailbox(address: Text, edit: string): Uint8Array {
  const bytes = typeof address === "string" ? encoder.encode(address) : address;
  if (bytes.length === 0 || bytes.length > 2048 || bytes.some((byte) => byte < 0x20 || byte === 0x7f)) {
    throw new RangeError(
      `Cannot ${edit} "${
        new TextDecoder().decode(bytes.subarray(0, 80))
      }": an address has 1 to 2048 bytes and no control ` +
        'characters ("<>" is the null sender)',
    );
  }
  return bytes;
}

function line(text: string | undefined, edit: string): string | undefined {
  if (text === undefined) return undefined;
  if (text.length > 2048 || encoder.encode(text).some((byte) => byte < 0x20 || byte === 0x7f)) {
    throw new RangeError(
      `Cannot ${edit}: ${JSON.stringify(text.slice(0, 80))} has a control character, or over 2048 characters`,
    );
  }
  return text;
}

/**
 * Appends the frames of a mail's edits, in one run: header changes, then insertions, then additions, then envelope and
 * quarantine, the body last and unbroken (Postfix takes nothing between two pieces of it).
 *
 * Changes and removals go from the highest index down, because Postfix counts anew after each removal and Sendmail
 * does not. Additions are insertions past the end, because `h` has another place on Sendmail than on Postfix.
 */
export function encodeEdits(edits: readonly Edit[], rules: EditRules, out: FrameWriter): void {
  const { agreement, headers } = rules;
  const later: Edit[] = [];
  for (const edit of changes(edits)) {
    const known = headers?.all(edit.name);
    if (edit.kind === "changeHeader" && known !== undefined && edit.index > known.length) {
      // Nothing to change: both MTAs would add it, at different places.
      later.push({ kind: "addHeader", name: edit.name, value: edit.value });
      continue;
    }
    encodeReply({
      kind: "changeHeader",
      index: edit.index,
      // Postfix takes the new spelling, Sendmail keeps the old one: the old one makes them agree.
      name: known?.[edit.index - 1]?.rawName ?? encoder.encode(edit.name),
      value: edit.kind === "changeHeader" ? bytesOf(edit.value) : EMPTY,
    }, out);
  }
  let body: Uint8Array | undefined;
  for (const edit of edits) {
    if (edit.kind === "insertHeader") {
      encodeReply({
        kind: "insertHeader",
        index: edit.index,
        name: encoder.encode(edit.name),
        value: bytesOf(edit.value),
      }, out);
    }
  }
  for (const edit of [...edits, ...later]) {
    switch (edit.kind) {
      case "addHeader":
        encodeReply({
          kind: "insertHeader",
          index: FAR,
          name: encoder.encode(edit.name),
          value: bytesOf(edit.value),
        }, out);
        break;
      case "addRecipient": {
        const address = bytesOf(edit.address);
        if (edit.args === undefined) encodeReply({ kind: "addRecipient", address }, out);
        else encodeReply({ kind: "addRecipientWithArgs", address, args: encoder.encode(edit.args) }, out);
        break;
      }
      case "removeRecipient":
        encodeReply({ kind: "removeRecipient", address: bytesOf(edit.address) }, out);
        break;
      case "changeSender":
        encodeReply({
          kind: "changeSender",
          address: bytesOf(edit.address),
          args: edit.args === undefined ? undefined : encoder.encode(edit.args),
        }, out);
        break;
      case "quarantine":
        encodeReply({ kind: "quarantine", reason: encoder.encode(edit.reason) }, out);
        break;
      case "replaceBody":
        body = edit.body;
        break;
    }
  }
  if (body !== undefined) {
    for (let at = 0; at === 0 || at < body.length; at += agreement.dataSize) {
      encodeReply({ kind: "replaceBody", chunk: body.subarray(at, at + agreement.dataSize) }, out);
    }
  }
}

type HeaderChange = Extract<Edit, { kind: "changeHeader" | "removeHeader" }>;

/** Changes and removals, the last one for a field counts, the highest index of a name first. */
function changes(edits: readonly Edit[]): HeaderChange[] {
  const last = new Map<string, HeaderChange>();
  for (const edit of edits) {
    if (edit.kind === "changeHeader" || edit.kind === "removeHeader") {
      last.set(`${edit.index} ${edit.name.toLowerCase()}`, edit);
    }
  }
  return [...last.values()].sort((a, b) => b.index - a.index);
}

function bytesOf(text: Text): Uint8Array {
  return typeof text === "string" ? encoder.encode(text) : text;
}
