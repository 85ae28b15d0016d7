/**
 * From an import as written to the address of a module, or to the reason why there is none.
 *
 * @module
 */
import { LOCAL_ROOT } from "./local_files.ts";
import { isLoopback, parseJsr, urlProblem } from "./specifier.ts";

/** What an import means. */
export type Resolved =
  /** A module of the graph: `asked` is the whole address, `to` the same without a `#fragment`. */
  | { readonly kind: "module"; readonly asked: string; readonly to: string }
  /** The runtime's own filter helpers, whatever version the filter asks for. */
  | { readonly kind: "runtime" }
  | { readonly kind: "refused"; readonly why: string };

/** How a filter may name the runtime's helpers. The sandbox resolves them when the filter runs. */
const HELPERS = /^(?:millrace:filter|@millrace\/millrace|jsr:@millrace\/millrace(?:@[^/]*)?)$/;

/**
 * Resolves an import. Import maps and configuration files of the filter's author are not read: the module itself says
 * where its imports are.
 *
 * @param importer Address of the importing module, after redirects.
 */
export function resolveImport(specifier: string, importer: string): Resolved {
  const refused = (why: string): Resolved => ({ kind: "refused", why });
  if (HELPERS.test(specifier)) return { kind: "runtime" };
  const relative = /^\.{0,2}\//.test(specifier);
  if (!relative && !URL.canParse(specifier)) {
    return refused(
      "it is neither a URL nor a relative path, and import maps of the filter's author are not read; " +
        (/\.(?:[cm]?[jt]sx?|json)$/.test(specifier) ? 'start it with "./"' : "write ./FILE, https: or jsr:"),
    );
  }
  if (relative && !URL.canParse(specifier, importer)) return refused("it is not a well-formed URL");
  const url = new URL(specifier, importer);
  const asked = url.href;
  url.hash = "";
  const found: Resolved = { kind: "module", asked, to: url.href };
  switch (url.protocol) {
    case "npm:":
      return refused(
        "npm packages are for bundled filters only; import an ES module by its URL, or a package from jsr:",
      );
    case "node:":
      return refused(
        "Node's own modules are not there for filters; use what web browsers have, or a jsr: package",
      );
    case "jsr:":
      return parseJsr(asked) === undefined ? refused("expected jsr:@scope/name@range/path") : found;
    case "local:":
      if (!importer.startsWith(LOCAL_ROOT)) return refused('"local:" is for files of the administrator only');
      if (url.host !== "" || url.search !== "") return refused("expected a relative path such as ./other.ts");
      if (specifier.startsWith("/")) {
        return refused("an absolute path; write it relative to the importing file");
      }
      if (leavesFolder(specifier, importer)) {
        return refused(
          "it leads out of the filter's folder; a filter's files are in the folder of its module or below",
        );
      }
      return found;
    case "file:":
      return refused("write it relative to the importing file, inside the filter's folder");
  }
  const problem = urlProblem(url);
  if (problem !== undefined) return refused(problem);
  if (isLoopback(url) && !mayReachLoopback(importer)) {
    return refused("a module from elsewhere may not have this machine ask itself");
  }
  return found;
}

/** May a module, or a redirect from its address, lead to servers on this machine? */
export function mayReachLoopback(importer: string): boolean {
  return importer.startsWith(LOCAL_ROOT) || isLoopback(new URL(importer));
}

/** URLs stop at the root, where paths would go on: `../x` beside the entry would silently mean `./x`. */
function leavesFolder(specifier: string, importer: string): boolean {
  const deep = new URL("file:///");
  // A folder that cannot be in the path stands for the root; whatever leaves it loses that name.
  const marked = new URL(importer.slice(LOCAL_ROOT.length), `${deep.href}%00/`);
  return !new URL(specifier, marked).href.startsWith(`${deep.href}%00/`);
}
