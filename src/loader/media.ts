/**
 * What a module is written in: by its content type where that says it, else by its file name, as Deno does.
 *
 * @module
 */
import { LoadError, quote } from "./error.ts";
import { essence } from "./fetch.ts";

/** Languages that a filter may be written in. */
export type Language = "ts" | "js" | "json";

const BY_TYPE: Readonly<Record<string, Language | "jsx">> = {
  "application/typescript": "ts",
  "text/typescript": "ts",
  "application/x-typescript": "ts",
  // What servers make of ".ts", which is a video format too.
  "video/mp2t": "ts",
  "video/vnd.dlna.mpeg-tts": "ts",
  "application/javascript": "js",
  "text/javascript": "js",
  "application/ecmascript": "js",
  "text/ecmascript": "js",
  "application/x-javascript": "js",
  "application/node": "js",
  "application/json": "json",
  "text/json": "json",
  "text/jsx": "jsx",
  "text/tsx": "jsx",
};

/** Types that say nothing. */
const SILENT: readonly string[] = ["", "text/plain", "application/octet-stream", "binary/octet-stream"];

const BY_ENDING: Readonly<Record<string, Language | "jsx" | "cjs">> = {
  ts: "ts",
  mts: "ts",
  js: "js",
  mjs: "js",
  json: "json",
  jsx: "jsx",
  tsx: "jsx",
  cjs: "cjs",
  cts: "cjs",
};

/**
 * The language of a module.
 *
 * @throws {LoadError} of kind `module` if it is none that can be loaded
 */
export function languageOf(url: string, contentType: string): Language {
  const type = essence(contentType);
  const path = new URL(url).pathname;
  const ending = BY_ENDING[/\.([a-z]+)$/i.exec(path)?.[1].toLowerCase() ?? ""];
  const fail = (why: string): never => {
    throw new LoadError("module", `Cannot load ${url}: ${why}`);
  };
  const byType = Object.hasOwn(BY_TYPE, type) ? BY_TYPE[type] : undefined;
  if (byType === undefined && !SILENT.includes(type)) {
    return fail(`its content type is ${quote(type)}; expected JavaScript, TypeScript or JSON`);
  }
  // The type tells TypeScript from JavaScript, only the name tells what kind of it.
  const found = ending === "jsx" && byType !== "json" || byType === undefined ? ending : byType;
  switch (found) {
    case "jsx":
      return fail("JSX is not taken; compile it to JavaScript first");
    case "cjs":
      return fail("CommonJS is not taken; write it as an ES module");
    case undefined:
      return fail(
        "neither its content type nor the ending of its name says whether it is TypeScript, JavaScript or JSON; " +
          "name it .ts, .js or .json, or have the server send a content type such as application/typescript",
      );
    default:
      return found;
  }
}
