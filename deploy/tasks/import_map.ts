/**
 * Prints the `deno` flags that choose where bare imports come from, for `$(…)` in a task of deno.json.
 *
 * - JSR answers: no flag, so the `imports` of deno.json apply (`@std/…` from JSR).
 * - JSR does not answer within two seconds, as on sites that mirror only npm: `deploy/npm.import_map.json`
 *   with its own lock file.
 *
 * `MILLRACE_IMPORTS=jsr` or `=npm` decides without asking. `JSR_URL` is honoured as Deno does. What was
 * taken, and why, goes to standard error.
 *
 * @module
 */

const WAIT_MS = 2000;
const JSR_FLAGS: readonly string[] = [];
const NPM_FLAGS: readonly string[] = ["--import-map=deploy/npm.import_map.json", "--lock=deploy/npm.lock"];

type Choice = { readonly from: "jsr" | "npm"; readonly why: string };

/** Asks JSR for one small file of a package that is needed anyway. */
async function askJsr(base: string): Promise<Choice> {
  const url = new URL("@std/yaml/meta.json", base.endsWith("/") ? base : `${base}/`);
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(WAIT_MS) });
    await answer.body?.cancel();
    if (answer.ok) return { from: "jsr", why: `${url.host} answers` };
    return { from: "npm", why: `${url.host} answers ${answer.status} for ${url.pathname}` };
  } catch (error) {
    // A timeout and an unreachable host are the same news here: take the other map.
    const late = error instanceof DOMException && error.name === "TimeoutError";
    return {
      from: "npm",
      why: late ? `${url.host} did not answer within ${WAIT_MS / 1000} s` : `${url.host} cannot be reached`,
    };
  }
}

async function choose(): Promise<Choice> {
  const wanted = Deno.env.get("MILLRACE_IMPORTS");
  if (wanted === "jsr" || wanted === "npm") return { from: wanted, why: `MILLRACE_IMPORTS=${wanted}` };
  if (wanted) {
    console.error(
      `Cannot choose imports: MILLRACE_IMPORTS is "${wanted}", expected "jsr" or "npm"; unset it to let JSR decide`,
    );
    // The task's shell goes on after a failed $(…), so give the outer command something that it refuses.
    console.log("--import-map=MILLRACE_IMPORTS-must-be-jsr-or-npm");
    Deno.exit(2);
  }
  return await askJsr(Deno.env.get("JSR_URL") || "https://jsr.io/");
}

const { from, why } = await choose();
const flags = from === "jsr" ? JSR_FLAGS : NPM_FLAGS;
console.error(
  `imports: ${from === "jsr" ? "JSR (deno.json)" : "npm only (deploy/npm.import_map.json)"}, because ${why}`,
);
// In CI a lock file that does not match is an error; elsewhere a new dependency is added to it.
if (from === "npm" && Deno.env.get("CI")) console.log([...flags, "--frozen"].join(" "));
else console.log(flags.join(" "));
