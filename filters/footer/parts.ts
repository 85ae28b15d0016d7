/**
 * Which parts of a mail get the footer, and which mails none.
 *
 * @module
 */
import { isMultipart, type Part } from "./structure.ts";

/**
 * The parts that are the text of the mail: of alternatives each, of a mixture the first that is no attachment,
 * of related parts the root. Attached messages and reports are not entered.
 */
export function textParts(part: Part): readonly Part[] {
  if (part.disposition !== undefined && part.disposition.value !== "inline") return [];
  const type = part.type.value;
  if (type === "text/plain" || type === "text/html") return [part];
  if (!isMultipart(part) || type === "multipart/digest" || type === "multipart/appledouble") return [];
  if (type === "multipart/alternative") return part.children.flatMap(textParts);
  if (type === "multipart/related") {
    const root = rootOf(part);
    return root === undefined ? [] : textParts(root);
  }
  // Programs that show one text of a mixture show the first; later ones become attachments in some of them.
  for (const child of part.children) {
    const found = hasFileName(child) ? [] : textParts(child);
    if (found.length > 0) return found;
  }
  return [];
}

/** Why the mail must not be changed; undefined if it may. Looks at all parts outside of attached messages. */
export function protection(root: Part): string | undefined {
  if (root.type.value === "multipart/report") return "report";
  const waiting: Part[] = [root];
  for (let part = waiting.pop(); part !== undefined; part = waiting.pop()) {
    const reason = ownProtection(part);
    if (reason !== undefined) return reason;
    waiting.push(...part.children.toReversed());
  }
  return undefined;
}

function ownProtection(part: Part): string | undefined {
  switch (part.type.value) {
    case "multipart/signed":
      return "signed";
    case "multipart/encrypted":
    case "application/pgp-encrypted":
    case "application/pgp":
      return "encrypted";
    case "application/pkcs7-mime":
    case "application/x-pkcs7-mime": {
      const kind = part.type.parameters.find(({ name }) => name === "smime-type")?.value.toLowerCase();
      return kind === "signed-data" ? "signed" : "encrypted";
    }
    default:
      // Some gateways forget the type of S/MIME and keep the file name.
      return fileNames(part).some((name) => /^smime\.p7m$/i.test(name)) ? "encrypted" : undefined;
  }
}

/** The root of multipart/related: the part named by `start`, else the first (RFC 2387 section 3.2). */
function rootOf(part: Part): Part | undefined {
  const start = part.type.parameters.find(({ name }) => name === "start")?.value.trim();
  const named = start === undefined
    ? undefined
    : part.children.find(({ fields }) =>
      fields.some(({ name, value }) => name === "content-id" && value.trim() === start)
    );
  return named ?? part.children[0];
}

function hasFileName(part: Part): boolean {
  return fileNames(part).length > 0;
}

/** Also in the notation of RFC 2231 (`filename*0*=`). */
function fileNames(part: Part): string[] {
  return [...part.type.parameters, ...part.disposition?.parameters ?? []]
    .filter(({ name }) => /^(?:file)?name(?:\*|$)/.test(name)).map(({ value }) => value);
}
