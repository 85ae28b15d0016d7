/**
 * Durations and sizes as people write them, and how they are written back.
 *
 * @module
 */

const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const SIZE_UNITS: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** What a duration looks like: `500ms`, `10s`, `1.5m`, `2h`. */
export const DURATION_PATTERN = /^([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h)$/;
/** What a size looks like: `512B`, `64KiB`, `10MiB`, `1.5GiB`. */
export const SIZE_PATTERN = /^([0-9]{1,12}(?:\.[0-9]{1,3})?)(B|KiB|MiB|GiB)$/;

/** Milliseconds of a duration such as `10s`, rounded; undefined if it is none. */
export function parseDuration(text: string): number | undefined {
  const parts = DURATION_PATTERN.exec(text);
  return parts ? Math.round(Number(parts[1]) * DURATION_UNITS[parts[2]]) : undefined;
}

/** Bytes of a size such as `64KiB`, rounded; undefined if it is none. */
export function parseSize(text: string): number | undefined {
  const parts = SIZE_PATTERN.exec(text);
  return parts ? Math.round(Number(parts[1]) * SIZE_UNITS[parts[2]]) : undefined;
}

/** Writes a number with the largest unit that needs no fraction. */
function format(value: number, units: Readonly<Record<string, number>>): string {
  const fitting = Object.entries(units).filter(([, size]) => value >= size && value % size === 0);
  const [unit, size] = fitting.at(-1) ?? Object.entries(units)[0];
  return `${value / size}${unit}`;
}

/** Writes milliseconds as {@linkcode parseDuration} reads them. */
export function formatDuration(ms: number): string {
  return format(ms, DURATION_UNITS);
}

/** Writes bytes as {@linkcode parseSize} reads them. */
export function formatSize(bytes: number): string {
  return format(bytes, SIZE_UNITS);
}

/** A size or duration with the wrong unit, in the right spelling: `10MB` gives `10MiB`, `10sec` gives `10s`. */
export function correctUnit(text: string, what: "duration" | "size"): string | undefined {
  const parts = /^\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*$/.exec(text);
  if (!parts) return undefined;
  const unit = parts[2].toLowerCase();
  if (what === "size") {
    const right = {
      "": "B",
      b: "B",
      bytes: "B",
      k: "KiB",
      kb: "KiB",
      kib: "KiB",
      m: "MiB",
      mb: "MiB",
      mib: "MiB",
    };
    const more = { g: "GiB", gb: "GiB", gib: "GiB" };
    const found = new Map(Object.entries({ ...right, ...more })).get(unit);
    return found && parts[1] + found;
  }
  const found = /^(ms|msecs?|millis(econds)?)$/.test(unit)
    ? "ms"
    : /^(|s|secs?|seconds?)$/.test(unit)
    ? "s"
    : /^(m|mins?|minutes?)$/.test(unit)
    ? "m"
    : /^(h|hrs?|hours?)$/.test(unit)
    ? "h"
    : undefined;
  return found && parts[1] + found;
}
