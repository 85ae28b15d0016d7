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
  return text.replace(/(\?=)[ \t]+(?==\?)/g, "$1").replace(WORD, (whole, charset, encoding, payload) => {
    try {
      const bytes = encoding === "B" || encoding === "b" ? base64(payload) : quoted(payload);
      return new TextDecoder(charset).decode(bytes);
    } catch {
      // Only the sender can mend it; a filter that looks for text still sees the word itself.
      return whole;
    }
  });
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
