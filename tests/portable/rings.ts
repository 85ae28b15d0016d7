/**
 * The folders of `src/` that run anywhere: browser libs only, no `Deno`, no `node:`. Their tests are written with
 * `node:test` and run in Deno and in Node.
 */
export const PORTABLE_RINGS: readonly string[] = [
  "text",
  "protocol",
  "filter",
  "session",
  "chain",
  "testing",
];
