/**
 * One log record as one line: text for people, JSON for programs.
 *
 * Values come from the wire and from filters: both formats keep them on their line, harmless for a terminal, and
 * bounded in length.
 *
 * @module
 */
import { printable } from "../text/show.ts";

/** What a line says. */
export interface LogLine {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Longest text of one value, in characters. */
const MAX_TEXT = 500;
/** Longest line, in characters. */
const MAX_LINE = 16 * 1024;
/** Most entries of a list or map, and how deep they nest. */
const MAX_ENTRIES = 32;
const MAX_DEPTH = 3;

/** A value cut down to plain data of bounded size. */
function bounded(value: unknown, depth = 0): unknown {
  switch (typeof value) {
    case "string":
      return value.length <= MAX_TEXT ? value : `${value.slice(0, MAX_TEXT)}…`;
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "boolean":
      return value;
    case "bigint":
      return String(value);
    case "object":
      return value === null ? null : boundedObject(value, depth);
    default:
      return `(${typeof value})`;
  }
}

function boundedObject(value: object, depth: number): unknown {
  try {
    if (value instanceof Error) return bounded(`${value.name}: ${value.message}`);
    if (ArrayBuffer.isView(value)) return `(${value.byteLength} bytes)`;
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? "(invalid date)" : value.toISOString();
    if (depth >= MAX_DEPTH) return Array.isArray(value) ? "(list)" : "(map)";
    if (Array.isArray(value)) return value.slice(0, MAX_ENTRIES).map((item) => bounded(item, depth + 1));
    return Object.fromEntries(
      Object.entries(value).slice(0, MAX_ENTRIES).map((
        [key, item],
      ) => [key.slice(0, 64), bounded(item, depth + 1)]),
    );
  } catch {
    // A getter or proxy of a filter that throws.
    return "(unreadable)";
  }
}

/** `2026-01-31T12:00:00.000Z info mail queue=4fX1 verdict=accept` and a line end. */
export function textLine({ time, level, message, fields }: LogLine, color: boolean): string {
  const parts = [`${new Date(time).toISOString()} ${paint(level, color)} ${printable(message, MAX_TEXT)}`];
  let length = parts[0].length;
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const part = `${printable(key, 64)}=${textValue(value)}`;
    length += part.length + 1;
    if (length > MAX_LINE) {
      parts.push("…");
      break;
    }
    parts.push(part);
  }
  return `${parts.join(" ")}\n`;
}

function textValue(value: unknown): string {
  const plain = bounded(value);
  if (typeof plain !== "string") return printable(JSON.stringify(plain), 4 * MAX_TEXT);
  // Bare where it cannot be taken for anything else; backslashes are doubled so that escapes are unambiguous.
  if (/^[\p{L}\p{N}!#$%&'*+,./:;<>?@[\]^_`{|}~()-]+$/u.test(plain)) return plain;
  return `"${printable(plain.replace(/["\\]/g, "\\$&"), 2 * MAX_TEXT)}"`;
}

const COLORS: Readonly<Record<LogLine["level"], string>> = {
  debug: "2",
  info: "32",
  warn: "33",
  error: "31",
};

function paint(level: LogLine["level"], color: boolean): string {
  return color ? `\x1b[${COLORS[level]}m${level}\x1b[0m` : level;
}

/** `{"time":"2026-01-31T12:00:00.000Z","level":"info","message":"mail","queue":"4fX1"}` and a line end. */
export function jsonLine({ time, level, message, fields }: LogLine): string {
  const head = { time: new Date(time).toISOString(), level, message: bounded(message) };
  const rest: [string, unknown][] = [];
  for (const [key, value] of Object.entries(fields)) {
    // A field must not pass for the record's own time, level or message.
    if (value !== undefined) {
      rest.push([Object.hasOwn(head, key) ? `${key}_` : key.slice(0, 64), bounded(value)]);
    }
  }
  let text = JSON.stringify({ ...head, ...Object.fromEntries(rest) });
  if (text.length > MAX_LINE) text = JSON.stringify({ ...head, truncated: true });
  // JSON leaves these as they are; somebody will look at the log on a terminal.
  return `${text.replace(/[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu, escapeJson)}\n`;
}

function escapeJson(char: string): string {
  return [...Array(char.length).keys()]
    .map((index) => `\\u${char.charCodeAt(index).toString(16).padStart(4, "0")}`).join("");
}
