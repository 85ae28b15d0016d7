/**
 * Prints the source files of the portable rings, without their tests, for `deno check` in a task of deno.json.
 *
 * @module
 */

import { readTree } from "../../tests/import_walk.ts";
import { PORTABLE_RINGS } from "../../tests/portable/rings.ts";

const files = readTree(new URL("../../", import.meta.url), PORTABLE_RINGS.map((ring) => `src/${ring}`));
console.log([...files.keys()].filter((path) => !path.endsWith("_test.ts")).join("\n"));
