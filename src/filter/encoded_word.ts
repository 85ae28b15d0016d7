/**
 * Encoded words in header text (RFC 2047).
 *
 * @module
 */

const WORD = /=\?([A-Za-z0-9_.:+-]+)(?:\*[A-Za-z0-9-]+)?\?([BbQq])\?([!->@-~]*)\?=/g;

/**
 * Replaces encoded words (RFC 2047 section 2) by what they mean. A word in an unknown charset, or with broken
 * encoding, stays as it is. Blanks between two encoded words go (section 6.2).
 */
export function decodeWords(text: string): string {
  if (!text.includes("=?")) return text;
  let decoded = "";
  let end = 0;
  let afterWord = false;
  for (const match of text.matchAll(WORD)) {
    const [whole, charset, encoding, payload] = match;
    const between = text.slice(end, match.index);
    const word = decodeWord(charset, encoding, payload);
    if (!(afterWord && word !== undefined && /^[ \t]*$/.test(between))) decoded += between;
    decoded += word ?? whole;
    afterWord = word !== undefined;
    end = match.index + whole.length;
  }
  return decoded + text.slice(end);
}

/** What a word means; undefined if it is in an unknown charset or broken. */
function decodeWord(charset: string, encoding: string, payload: string): string | undefined {
  try {
    const bytes = encoding === "B" || encoding === "b" ? base64(payload) : quoted(payload);
    return new TextDecoder(charset).decode(bytes);
  } catch {
    // Only the sender can mend it; a filter that looks for text still sees the word itself.
    return undefined;
  }
}

function base64(payload: string): Uint8Array {
  return Uint8Array.from(atob(payload), (c) => c.charCodeAt(0));
}

function quoted(payload: string): Uint8Array {
  const text = payload.replaceAll("_", " ").replace(
    /=([0-9A-Fa-f]{2})/g,
    (_, hex) => String.fromCharCode(parseInt(hex, 16)),
  );
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}
