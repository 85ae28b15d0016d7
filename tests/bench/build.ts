/**
 * Builds the programs of the benchmark: the load generator, and the peers on Debian's packages.
 *
 * @module
 */
import { withPackages } from "./debian.ts";
import { output } from "./process.ts";

const here = import.meta.dirname!;

/** Builds the load generator into `folder`; returns the program's path. */
export async function buildLoad(folder: string): Promise<string> {
  const program = `${folder}/load`;
  const sources = ["main.c", "connection.c", "answers.c", "script.c"].map((name) => `${here}/load/${name}`);
  await output("cc", ["-O2", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-o", program, ...sources]);
  return program;
}

async function libraryFolder(root: string): Promise<string> {
  return `${root}/usr/lib/${(await output("cc", ["-print-multiarch"])).trim()}`;
}

/**
 * Builds the libmilter peer into `folder`, against the installed libmilter or one unpacked into `folder/root`.
 *
 * @returns the program's path
 * @throws {CommandError} if there is no compiler, or no libmilter to be had
 */
export async function buildLibmilter(folder: string): Promise<string> {
  const program = `${folder}/libmilter`;
  await withPackages(`${folder}/root`, ["libmilter-dev", "libmilter1.0.1"], async (root) => {
    const flags: string[] = [];
    if (root !== undefined) {
      const library = await libraryFolder(root);
      flags.push(`-I${root}/usr/include`, `-L${library}`, `-Wl,-rpath,${library}`);
    }
    const source = `${here}/peers/libmilter.c`;
    await output("cc", ["-O2", ...flags, "-o", program, source, "-lmilter", "-lpthread"]);
  });
  return program;
}

/** What Debian's Python needs to run the pymilter peer. */
export interface Pymilter {
  /** Debian's own Python: no other finds Debian's modules. */
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
  /** The hash in C that `peers/pymilter.py` calls. */
  readonly library: string;
}

/**
 * Looks for pymilter, installed or unpacked into `folder/pymilter`, and builds its hash.
 *
 * @throws {CommandError} if there is no compiler, or no pymilter to be had
 */
export async function buildPymilter(folder: string): Promise<Pymilter> {
  const library = `${folder}/fnv1a.so`;
  await output("cc", ["-O2", "-shared", "-fPIC", "-o", library, `${here}/peers/fnv1a.c`]);
  const program = "/usr/bin/python3";
  const env = await withPackages(`${folder}/pymilter`, ["python3-milter"], async (root) => {
    const paths: Record<string, string> = root === undefined ? {} : {
      PYTHONPATH: `${root}/usr/lib/python3/dist-packages`,
      LD_LIBRARY_PATH: await libraryFolder(root),
    };
    await output(program, ["-c", "import Milter"], { env: paths });
    return paths;
  });
  return { program, env, library };
}

/** Debian's Go: unpacked below `root`, else the machine's. */
async function goProgram(root: string | undefined): Promise<string> {
  if (root !== undefined) {
    const library = `${root}/usr/lib`;
    for await (const { name, isDirectory } of Deno.readDir(library)) {
      if (isDirectory && name.startsWith("go-")) return `${library}/${name}/bin/go`;
    }
  }
  return "go";
}

/**
 * Builds the go-milter peer into `folder`, with Debian's Go and library, installed or unpacked into `folder/go`.
 *
 * @returns the program's path, and the version of Go
 * @throws {CommandError} if Go or the library are not to be had
 */
export async function buildGoMilter(folder: string): Promise<{ program: string; goVersion: string }> {
  const program = `${folder}/gomilter`;
  const packages = ["golang-go", "golang-github-emersion-go-milter-dev"];
  const goVersion = await withPackages(`${folder}/go`, packages, async (root) => {
    const go = await goProgram(root);
    const library = "/usr/share/gocode";
    const env = {
      // the libraries of Debian's packages are laid out as before modules; nothing is fetched
      GO111MODULE: "off",
      GOPATH: root === undefined ? library : `${root}${library}:${library}`,
      GOPROXY: "off",
      GOCACHE: `${folder}/go-cache`,
    };
    await output(go, ["build", "-o", program, `${here}/peers/gomilter.go`], { env });
    return /go\d\S*/.exec(await output(go, ["version"], { env }))?.[0] ?? "go of unknown version";
  });
  return { program, goVersion };
}

/** Why the C programs cannot be built here, or undefined if a compiler is there. */
export async function missingCompiler(): Promise<string | undefined> {
  try {
    await output("cc", ["--version"]);
    return undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "there is no C compiler (cc): install gcc";
    return error instanceof Error ? error.message : String(error);
  }
}
