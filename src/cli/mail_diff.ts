/**
 * The difference between a mail and what a filter made of it, as a unified diff.
 *
 * @module
 */
import { createTwoFilesPatch } from "diff";
import { printable } from "../text/show.ts";

/** More changed lines than this are not worked out: the time grows with their square. */
const MAX_CHANGED_LINES = 2000;

/**
 * A unified diff of two mail files, safe for a terminal; empty if they are the same. Lines are compared without
 * their line ends.
 */
export function mailDiff(name: string, before: Uint8Array, after: Uint8Array): string {
  const [old, edited] = textsOf(before, after);
  if (old === edited) return "";
  const options = { context: 3, maxEditLength: MAX_CHANGED_LINES };
  const patch = createTwoFilesPatch(
    printable(name),
    `${printable(name)} (edited)`,
    old,
    edited,
    "",
    "",
    options,
  );
  if (patch === undefined) {
    return `more than ${MAX_CHANGED_LINES} lines differ: ${before.length} bytes became ${after.length} bytes\n`;
  }
  // Below the line of equals signs that separates the parts of longer patches.
  return patch.replace(/^=+\n/, "").split("\n").map(safeLine).join("\n");
}

/** Both as UTF-8 if both are, otherwise byte for byte, so that no difference is lost in replacement characters. */
function textsOf(...files: readonly Uint8Array[]): string[] {
  const decode = (label: string) => {
    const decoder = new TextDecoder(label, { fatal: true, ignoreBOM: true });
    return files.map((file) => decoder.decode(file).replaceAll("\r\n", "\n"));
  };
  try {
    return decode("utf-8");
  } catch {
    return decode("latin1");
  }
}

/** Tabs are harmless, and usual in folded fields. */
function safeLine(line: string): string {
  return line.split("\t").map((part) => printable(part, Infinity)).join("\t");
}

/** The diff in the usual colours. */
export function colorDiff(diff: string): string {
  return diff.split("\n").map((line) => {
    const color = /^(---|\+\+\+)/.test(line) ? "1" : COLORS[line[0]];
    return color ? `\x1b[${color}m${line}\x1b[0m` : line;
  }).join("\n");
}

const COLORS: Readonly<Record<string, string>> = { "+": "32", "-": "31", "@": "36" };
