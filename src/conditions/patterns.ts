/**
 * Text patterns: globs and regular expressions, with a bound on the time that a hostile text can cost.
 *
 * @module
 */

/** The longest text that a regular expression looks at, in UTF-16 units; the rest is cut off. */
export const MAX_REGEX_TEXT = 1000;
/** The longest text that a glob looks at, in UTF-16 units; the rest is cut off. */
export const MAX_GLOB_TEXT = 65_536;
/** The most steps that a regular expression may take on one text, by a generous estimate; some tenths of a second. */
export const MAX_STEPS = 1e8;
/** The longest pattern, in UTF-16 units. */
export const MAX_PATTERN = 1000;

/** A compiled pattern. */
export interface Pattern {
  /** As it was written. */
  readonly source: string;
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
  if (mostSteps(body, flags) > MAX_STEPS) {
    throw new TypeError(
      "could take too long on some texts; use a glob such as *free*money*, bound the repetitions as in .{0,50}, " +
        "or repeat a character class instead of a group",
    );
  }
  return { source, matches: (text) => regex.test(text.slice(0, MAX_REGEX_TEXT)) };
}

/**
 * An upper bound of the steps that a backtracking engine takes on the longest text: alternatives add up, what follows
 * one another multiplies, and a repeated group that can match in more than one way has no bound. Most texts need far
 * fewer steps, so that expressions are refused which are quick in truth: the price of a check that is short enough to
 * be right.
 */
function mostSteps(body: string, flags: string): number {
  /** One entry for each open group: ways to match by the alternatives before, and by the one at hand. */
  const open = [{ before: 0, here: 1 }];
  let last = open[0];
  for (let at = 0; at < body.length; at++) {
    const char = body[at];
    let ways = 1;
    if (char === "|") {
      last.before += last.here;
      last.here = 1;
      continue;
    } else if (char === "(") {
      last = { before: 0, here: 1 };
      open.push(last);
      // The question mark of (?: and its like is not a repetition.
      if (body[at + 1] === "?") at++;
      continue;
    } else if (char === ")") {
      ways = last.before + last.here;
      open.pop();
      last = open[open.length - 1];
    } else if (char === "\\") {
      at++;
    } else if (char === "[") {
      for (at++; body[at] !== "]"; at++) if (body[at] === "\\") at++;
    }
    const repeated = repetition(body, at + 1);
    at += repeated.length;
    // Each number of repetitions is one more way, and each repetition multiplies the ways of a group.
    const counts = Math.min(repeated.most, MAX_REGEX_TEXT) - repeated.least + 1;
    last.here *= Math.max(counts, 1) * (ways === 1 ? 1 : ways ** repeated.most);
  }
  const anchored = body.startsWith("^") && open[0].before === 0 && !flags.includes("m");
  return (open[0].before + open[0].here) * (anchored ? 1 : MAX_REGEX_TEXT);
}

/** The repetition that is written at a place, and its length there; once and no more where there is none. */
function repetition(body: string, at: number): { least: number; most: number; length: number } {
  const found = /^(?:[*+?]|\{(\d+)(,?)(\d*)\})\??/.exec(body.slice(at));
  if (found === null) return { least: 1, most: 1, length: 0 };
  const [{ length }, first, comma, second] = found;
  if (first === undefined) {
    return { least: body[at] === "+" ? 1 : 0, most: body[at] === "?" ? 1 : Infinity, length };
  }
  const most = comma === "" ? Number(first) : second === "" ? Infinity : Number(second);
  return { least: Number(first), most, length };
}

/** The time that a glob takes grows only with text × pattern: after a mismatch only the last `*` is tried anew. */
function parseGlob(source: string): Pattern {
  const glob = source.toLowerCase();
  return {
    source,
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
