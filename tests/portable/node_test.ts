// The portable rings run anywhere, so their tests run in Node too: the same files, types stripped by Node itself.
import assert from "node:assert/strict";
import { readTree } from "../import_walk.ts";
import { PORTABLE_RINGS } from "./rings.ts";

/** Strips types without a flag since 22.18. The npm package `node` holds the program itself. */
const NODE_VERSION = "22.23.3";
const ROOT = new URL("../../", import.meta.url);
const FOLDERS = [...PORTABLE_RINGS.map((ring) => `src/${ring}`), "tests/property"];

type Outcome = { readonly ok: boolean; readonly text: string };

async function run(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Outcome> {
  // CI colours and npm's own variables would only get in the way of reading the figures.
  const command = new Deno.Command(program, { args: [...args], cwd: ROOT, env: { NO_COLOR: "1", ...env } });
  const { success, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  return { ok: success, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

async function hasNpm(): Promise<boolean> {
  try {
    return (await run("npm", ["--version"])).ok;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** The version of an npm package that the project pins. */
async function pinned(name: string): Promise<string> {
  const map = JSON.parse(await Deno.readTextFile(new URL("deploy/npm.import_map.json", ROOT)));
  const version = /@([\d.]+)$/.exec(map.imports[name])?.[1];
  assert(version, `deploy/npm.import_map.json pins no exact version of "${name}"`);
  return `${name}@${version}`;
}

/** Installs Node and the packages of the tests in a folder of their own. */
async function install(folder: string): Promise<void> {
  const packages = [`node@${NODE_VERSION}`, await pinned("fast-check")];
  const options = ["--prefix", folder, "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];
  const { ok, text } = await run("npm", ["install", ...options, ...packages]);
  assert(ok, `Cannot install ${packages.join(", ")} with npm:\n${text}`);
}

function figure(report: string, name: string): number {
  return Number(new RegExp(`^# ${name} (\\d+)$`, "m").exec(report)?.[1] ?? 0);
}

// On a machine for CI a missing npm is a fault; elsewhere it is said aloud and the test is counted as ignored.
const skip = !Deno.env.get("CI") && !await hasNpm();
if (skip) {
  console.warn(
    "SKIPPED: tests of the portable rings in Node, because npm is not installed (install Node.js)",
  );
}

Deno.test({
  name: `portable rings pass their tests in Node ${NODE_VERSION}${
    skip ? " (SKIPPED: npm is not installed)" : ""
  }`,
  ignore: skip,
  async fn() {
    const files = [...readTree(ROOT, FOLDERS).keys()].filter((path) => path.endsWith("_test.ts"));
    assert(files.length > 0, `no *_test.ts found in ${FOLDERS.join(", ")}`);
    const folder = await Deno.makeTempDir({ prefix: "millrace-node-" });
    try {
      await install(folder);
      const { ok, text } = await run(`${folder}/node_modules/node/bin/node`, [
        `--import=${new URL("resolve_hook.mjs", import.meta.url).href}`,
        "--disable-warning=ExperimentalWarning",
        "--test",
        "--test-reporter=tap",
        ...files,
      ], { MILLRACE_NODE_PACKAGES: folder });
      const [passed, failed] = [figure(text, "pass"), figure(text, "fail")];
      assert(ok && failed === 0, `${failed} of the portable tests fail in Node ${NODE_VERSION}:\n${text}`);
      // Node counts a file without a test as one that passed, under the file's own name.
      const empty = files.filter((path) => text.includes(`# Subtest: ${path}\n`));
      assert.deepEqual(empty, [], "files in which Node found no test");
      assert(passed > 0, `Node ran no test in ${files.length} files:\n${text}`);
      console.log(`Node ${NODE_VERSION}: ${passed} passed, ${failed} failed, ${files.length} files`);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
