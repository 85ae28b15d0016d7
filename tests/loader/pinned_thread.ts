// A thread that loads a pinned graph as the sandbox does, and says what its default export gives.
// Loaded before the hooks close the door, as in the sandbox: what the helpers import is in no graph.
import "../../src/filter/mod.ts";
import { parentPort, workerData } from "node:worker_threads";
import type { PinnedGraph } from "../../src/links/sandbox/messages.ts";
import { servePinned } from "../../src/links/sandbox/pinned_modules.ts";

const graph = workerData as PinnedGraph;
servePinned(graph, new URL("../../src/filter/mod.ts", import.meta.url).href, "none:");
const loaded = await import(graph.entry);
parentPort!.postMessage(await loaded.default());
