/**
 * Text patterns of rules: globs and regular expressions, with a bound on the time that a hostile text can cost.
 *
 * @module
 */

/** The longest text that a regular expression looks at, in UTF-16 units; the rest is cut off. */
export const MAX_REGEX_TEXT = 1000;
/** The longest text that a glob looks at, in UTF-16 units; the rest is cut off. */
export const MAX_GLOB_TEXT = 65_536;
/** The longest pattern, in UTF-16 units. */
export const MAX_PATTERN = 1000;

/** A compiled pattern. */
export interface Pattern {
  matches(text: string): boolean;
}

/**
 * Compiles `/expression/flags`, found anywhere in the text, or a glob, which must cover the whole text. In a glob
 * `*` is any text, also none, and `?` one character; case does not matter.
 *
 * @param ignoreCase Give a regular expression the flag `i` even when it is not written, as for host names.
 * @throws {TypeError} if the pattern is empty or too long, or if the expression is wrong or can take too long.
 */
export function parsePattern(source: string, ignoreCase: boolean): Pattern {
  if (source.length > MAX_PATTERN) {
    throw new TypeError(`has ${source.length} characters, expected at most ${MAX_PATTERN}`);
  }
  return source.startsWith("/") ? parseRegex(source, ignoreCase) : parseGlob(source);
}

function parseRegex(source: string, ignoreCase: boolean): Pattern {
  const parts = /^\/(.+)\/([a-z]*)$/s.exec(source);
  if (parts === null) {
    throw new TypeError("begins like a regular expression, expected /expression/ or /expression/i");
  }
  const [, body, flags] = parts;
  // The flags g and y would make each answer depend on the one before.
  if (!/^[imsu]*$/.test(flags)) {
    throw new TypeError(`has the flags "${flags}", expected only flags out of i, m, s, u`);
  }
  let regex: RegExp;
  try {
    regex = new RegExp(body, ignoreCase && !flags.includes("i") ? `${flags}i` : flags);
  } catch (error) {
    throw new TypeError(error instanceof Error ? error.message : String(error), { cause: error });
  }
  if (repeatsChoice(body)) {
    throw new TypeError(
      "repeats a group that holds a repetition or an alternative, which some texts make endlessly slow; " +
        "repeat a character class instead, for example [a-z.]+ for ([a-z]+[.])+, or use several patterns",
    );
  }
  return { matches: (text) => regex.test(text.slice(0, MAX_REGEX_TEXT)) };
}

/**
 * Does a repeated group hold something that can match in more than one way? Only then can the steps of a
 * backtracking engine double with each character. Groups that are safe in truth are refused as well; that is the
 * price of a check that is short enough to be right.
 */
function repeatsChoice(body: string): boolean {
  /** One entry for each open group: has it a choice so far? */
  const open: boolean[] = [false];
  for (let at = 0; at < body.length; at++) {
    const char = body[at];
    if (char === "\\") {
      at++;
      // A back-reference stands for a text of any length.
      if (/[1-9k]/.test(body[at])) open[open.length - 1] = true;
    } else if (char === "[") {
      for (at++; at < body.length && body[at] !== "]"; at++) if (body[at] === "\\") at++;
    } else if (char === "(") {
      open.push(false);
      // The question mark of (?: and its like is not a repetition.
      if (body[at + 1] === "?") at++;
    } else if (char === ")") {
      const choice = open.pop() === true;
      if (choice && repetition(body, at + 1).most > 1) return true;
      if (choice) open[open.length - 1] = true;
    } else if (char === "|" || isChoice(repetition(body, at))) {
      open[open.length - 1] = true;
    }
  }
  return false;
}

type Repetition = { readonly least: number; readonly most: number };

function isChoice({ least, most }: Repetition): boolean {
  return least !== most;
}

/** The repetition that is written at a place; once and no more where there is none. */
function repetition(body: string, at: number): Repetition {
  if (body[at] === "*") return { least: 0, most: Infinity };
  if (body[at] === "+") return { least: 1, most: Infinity };
  if (body[at] === "?") return { least: 0, most: 1 };
  const counted = /^\{(\d+)(,?)(\d*)\}/.exec(body.slice(at));
  if (counted === null) return { least: 1, most: 1 };
  const [, least, comma, most] = counted;
  return { least: Number(least), most: comma === "" ? Number(least) : most === "" ? Infinity : Number(most) };
}

/** The time that a glob takes grows only with text × pattern: after a mismatch only the last `*` is tried anew. */
function parseGlob(source: string): Pattern {
  const glob = source.toLowerCase();
  return {
    matches(original) {
      const text = original.slice(0, MAX_GLOB_TEXT).toLowerCase();
      let inText = 0;
      let inGlob = 0;
      let star = -1;
      let resume = 0;
      while (inText < text.length) {
        if (glob[inGlob] === "*") {
          star = inGlob++;
          resume = inText;
        } else if (inGlob < glob.length && (glob[inGlob] === "?" || glob[inGlob] === text[inText])) {
          inGlob++;
          inText++;
        } else if (star !== -1) {
          inGlob = star + 1;
          inText = ++resume;
        } else {
          return false;
        }
      }
      while (glob[inGlob] === "*") inGlob++;
      return inGlob === glob.length;
    },
  };
}
