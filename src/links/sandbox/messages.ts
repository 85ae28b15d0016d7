/**
 * What crosses the wall between the runtime and a sandbox, in one place.
 *
 * Mail goes as milter frames in ring records; everything around it as the few messages below.
 *
 * @module
 */
import type { FilterDescription } from "../../session/filter_module.ts";
import type { FailurePolicy } from "../../session/policy.ts";
import type { CarrierEnd } from "../relay/carrier.ts";
import type { MailLimits } from "../../session/plan.ts";

/** Records from the runtime to the sandbox. */
export const ToInmate = Object.freeze({
  /** A new MTA connection; payload: one byte, 1 to answer DATA (delayed acknowledgements). */
  OPEN: 1,
  /** Milter frames, cut anywhere. */
  FRAMES: 2,
  /** The deadline of what is pending has passed; payload: the deadline as text, ms. */
  EXPIRE: 3,
  /** The connection is over. */
  LOST: 4,
});

/** Records from the sandbox to the runtime. */
export const FromInmate = Object.freeze({
  /** Milter reply frames, cut anywhere. */
  REPLY: 5,
  /** A filter failure, as JSON {@linkcode FailureNote}; the answer, if any, follows as REPLY. */
  FAILURE: 6,
  /** A log line, as JSON {@linkcode LogNote}. */
  LOG: 7,
  /** The hooks of a lost connection are done. */
  DONE: 8,
  /** Deno, or the runtime, refused the filter something, as JSON {@linkcode RefusalNote}. */
  REFUSAL: 9,
});

/** Signs of life: indexes of the words of `InmateSetup.vitals`, which the sandbox writes and the runtime reads. */
export const Vitals = Object.freeze({
  /** Counts up while the thread comes to its timers. */
  BEATS: 0,
  /** Memory outside the heap, KiB. */
  EXTERNAL: 1,
  /** How many words there are. */
  COUNT: 2,
});

/** A failure inside the sandbox. From the filter's side: nothing in it is trusted. */
export interface FailureNote {
  readonly kind: string;
  readonly hook: string;
  readonly message: string;
}

/** A log line of the filter, or word of how many were dropped. Nothing in it is trusted. */
export interface LogNote {
  readonly level: string;
  readonly message?: string;
  /** Lines that did not leave the sandbox. */
  readonly dropped?: number;
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** A refused access. Nothing in it is trusted. */
export interface RefusalNote {
  readonly right: string;
  readonly value: string;
}

/** A module of a pinned graph: URL, JavaScript (types already stripped) or JSON text. */
export interface PinnedModule {
  readonly url: string;
  readonly kind: "js" | "json";
  readonly source: string;
}

/** The code of a filter: a whole graph. `redirects` maps URLs that modules ask for to those that answered. */
export interface PinnedGraph {
  readonly entry: string;
  readonly modules: readonly PinnedModule[];
  readonly redirects: Readonly<Record<string, string>>;
}

/** All that a sandbox is started with; plain data. */
export interface InmateSetup {
  readonly name: string;
  /** The filter's code, or the URL of a module of the runtime's own (a bundled filter). */
  readonly code: PinnedGraph | string;
  readonly options: Readonly<Record<string, unknown>>;
  /** Read the module's manifest and nothing else: its filter is not started. */
  readonly manifestOnly?: boolean;
  readonly policy: FailurePolicy;
  readonly limits: MailLimits;
  /** Bytes outside the heap (buffers) that end the filter. */
  readonly bufferLimit: number;
  /** Ring memories: to the sandbox, and from it. */
  readonly toInmate: SharedArrayBuffer;
  readonly fromInmate: SharedArrayBuffer;
  /** Words about the thread, {@linkcode Vitals}. */
  readonly vitals: SharedArrayBuffer;
}

/** What the warden is told. */
export interface WardenOrder {
  readonly setup: InmateSetup;
  /** Heap of the filter's isolate, MiB. */
  readonly heapMiB: number;
}

/** What comes back from warden and inmate besides the ring. From the inmate: nothing in it is trusted. */
export type WardenReport =
  | { readonly kind: "ready"; readonly description: FilterDescription }
  | { readonly kind: "load-failed"; readonly message: string }
  | { readonly kind: "memory"; readonly message: string }
  | { readonly kind: "exit"; readonly message: string };

/** Why a cell ended. */
export type CellEnd = CarrierEnd;
