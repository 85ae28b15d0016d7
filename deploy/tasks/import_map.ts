/**
 * Prints the `deno` flags that choose where bare imports come from, for `$(…)` in a task of deno.json.
 *
 * - JSR answers: no flag, so the `imports` of deno.json apply (`@std/…` from JSR).
 * - JSR does not answer within two seconds, as on sites that mirror only npm: `deploy/npm.import_map.json`
 *   with its own lock file.
 *
 * `MILLRACE_IMPORTS=jsr` or `=npm` decides without asking. `JSR_URL` is honoured as Deno does. What was
 * taken, and why, goes to standard error. With the argument `run` it also prints what the running program may
 * import over the network: nothing, or only JSR where its own imports come from there.
 *
 * @module
 */

const WAIT_MS = 2000;

type Choice = { readonly from: "jsr" | "npm"; readonly why: string };

/** Asks JSR for one small file of a package that is needed anyway. */
async function askJsr(base: URL): Promise<Choice> {
  const url = new URL("@std/yaml/meta.json", base);
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(WAIT_MS) });
    await answer.body?.cancel();
    if (answer.ok) return { from: "jsr", why: `${url.host} answers` };
    return { from: "npm", why: `${url.host} answers ${answer.status} for ${url.pathname}` };
  } catch (error) {
    // A timeout and an unreachable host are the same news here: take the other map.
    const late = error instanceof DOMException && error.name === "TimeoutError";
    const why = late ? `did not answer within ${WAIT_MS / 1000} s` : "cannot be reached";
    return { from: "npm", why: `${url.host} ${why}` };
  }
}

/** A task's shell goes on after a failed `$(…)`, so give the outer command a flag that it refuses. */
function refuse(message: string): never {
  console.error(message);
  console.log("--import-map=see-the-message-above");
  Deno.exit(2);
}

function jsrBase(): URL {
  const given = Deno.env.get("JSR_URL") || "https://jsr.io/";
  try {
    return new URL(given.endsWith("/") ? given : `${given}/`);
  } catch {
    refuse(`Cannot ask JSR: JSR_URL is "${given}", expected a URL like "https://jsr.io"`);
  }
}

async function choose(base: URL): Promise<Choice> {
  const wanted = Deno.env.get("MILLRACE_IMPORTS");
  if (wanted === "jsr" || wanted === "npm") return { from: wanted, why: `MILLRACE_IMPORTS=${wanted}` };
  if (!wanted) return await askJsr(base);
  const advice = `expected "jsr" or "npm"; unset it to let JSR's answer decide`;
  refuse(`Cannot choose imports: MILLRACE_IMPORTS is "${wanted}", ${advice}`);
}

const base = jsrBase();
const { from, why } = await choose(base);
const forRun = Deno.args.includes("run");
const flags: string[] = [];
if (from === "jsr") {
  console.error(`imports: JSR (deno.json), because ${why}`);
  if (forRun) flags.push(`--allow-import=${base.host}`);
} else {
  console.error(`imports: npm only (deploy/npm.import_map.json), because ${why}`);
  flags.push("--import-map=deploy/npm.import_map.json", "--lock=deploy/npm.lock");
  // In CI a lock file that does not match is an error; elsewhere a new dependency is added to it.
  if (Deno.env.get("CI")) flags.push("--frozen");
  // Both: --deny-import alone leaves the hosts open that Deno allows by default (2.9.6).
  if (forRun) flags.push("--allow-import", "--deny-import");
}
console.log(flags.join(" "));
