/**
 * Values as they stand in the YAML: durations, sizes, counts, addresses, paths, with words for what is wrong with them.
 *
 * @module
 */
import { z } from "zod";
import { show } from "../text/show.ts";
import { correctUnit, DURATION_PATTERN, parseDuration, parseSize, SIZE_PATTERN } from "../text/units.ts";
import { type Address, parseAddress } from "../transport/address.ts";

/** Text that is read into a value; `read` throws a RangeError that says what is wrong. */
export function text<T>(pattern: RegExp, complaint: (input: unknown) => string, read: (text: string) => T) {
  const error = (issue: { readonly input?: unknown }) => complaint(issue.input);
  return z.string({ error }).regex(pattern, { error }).transform((value, context) => {
    try {
      return read(value);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      context.issues.push({ code: "custom", message: error.message, input: value });
      return z.NEVER;
    }
  });
}

function within(
  value: number,
  least: string,
  most: string,
  parse: (text: string) => number | undefined,
): number {
  if (value < parse(least)! || value > parse(most)!) {
    throw new RangeError(`out of bounds: allowed are ${least} to ${most}`);
  }
  return value;
}

function unitComplaint(what: "duration" | "size", units: string, example: string) {
  return (input: unknown) => {
    const scalar = typeof input === "string" || typeof input === "number";
    const right = scalar ? correctUnit(String(input), what) : undefined;
    const advice = right ? `did you mean ${right}?` : `for example ${example}`;
    return `${show(input)} is not a ${what}: write a number and ${units}; ${advice}`;
  };
}

/** Milliseconds, within bounds. */
export function duration(least: string, most: string) {
  return text(
    DURATION_PATTERN,
    unitComplaint("duration", "ms, s, m or h", "10s"),
    (value) => within(parseDuration(value)!, least, most, parseDuration),
  );
}

/** Bytes, within bounds. */
export function size(least: string, most: string) {
  return text(
    SIZE_PATTERN,
    unitComplaint("size", "B, KiB, MiB or GiB", "64KiB"),
    (value) => within(parseSize(value)!, least, most, parseSize),
  );
}

/** A whole number from 1. */
export function count(most: number) {
  const error = (issue: { readonly input?: unknown }) =>
    `${show(issue.input)} is not a whole number from 1 to ${most}`;
  return z.int({ error }).min(1, { error }).max(most, { error });
}

/** Words for what is no socket address; `what` it should be. */
export function addressComplaint(what: string): (input: unknown) => string {
  return (input) => {
    if (isMap(input)) {
      return `found a map: an address has no blank after its colon; write ${mapAsAddress(input)}`;
    }
    const advice = typeof input === "number"
      ? `a port needs its kind and host; write "inet:${input}@127.0.0.1"`
      : 'write "inet:PORT@HOST" or "unix:/PATH"';
    return `${show(input)} is not ${what}: ${advice}`;
  };
}

/** A socket address; `check` throws an error that says why one cannot be taken here. */
export function address(what: string, check: (address: Address) => void = () => {}) {
  return text(/^/, addressComplaint(what), (value): Address => {
    const address = parseAddress(value);
    check(address);
    return address;
  });
}

/** Is it a map, as YAML has them? */
export function isMap(input: unknown): input is Record<string, unknown> {
  return typeof input === "object" && input !== null && !Array.isArray(input) && !(input instanceof Date);
}

function mapAsAddress(input: Record<string, unknown>): string {
  const [key, value] = Object.entries(input)[0] ?? [];
  const whole = typeof value === "string" || typeof value === "number";
  return whole ? show(`${key}:${value}`) : '"inet:PORT@HOST" or "unix:/PATH"';
}

/** A path. */
export const file = (what: string) =>
  z.string({ error: (issue) => `${show(issue.input)} is not ${what}: write a path` })
    .regex(/^[^\p{Cc}]{1,1024}$/u, { error: (issue) => `${show(issue.input)} is not ${what}: write a path` });
