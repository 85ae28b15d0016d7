/** Edits of scripted filters, and scenarios of one mail that three filters edit. */
import type { EditCall, FilterScript } from "./chain_filter.ts";
import { asked, type ChainScenario, type Difference, oneMail, streaming, whole } from "./chain_scenario.ts";

/** Appends a field. */
export function add(name: string, value: string): EditCall {
  return ["addHeader", name, value];
}

/** Inserts a field at an index. */
export function insert(index: number, name: string, value: string): EditCall {
  return ["insertHeader", index, name, value];
}

/** Changes the nth field of a name, the first one by default. */
export function change(name: string, value: string, nth?: number): EditCall {
  return nth === undefined ? ["changeHeader", name, value] : ["changeHeader", name, value, nth];
}

/** Removes the nth field of a name, or all. */
export function remove(name: string, nth?: number): EditCall {
  return nth === undefined ? ["removeHeader", name] : ["removeHeader", name, nth];
}

/** Replaces the body. */
export function body(text: string): EditCall {
  return ["replaceBody", text];
}

/** Replaces each occurrence of a text in the body as the filter sees it. */
export function rewrite(from: string, to: string): EditCall {
  return ["rewriteBody", from, to];
}

/** Adds a recipient, with ESMTP arguments if given. */
export function addRecipient(address: string, args?: string): EditCall {
  return args === undefined ? ["addRecipient", address] : ["addRecipient", address, args];
}

/** Removes a recipient. */
export function removeRecipient(address: string): EditCall {
  return ["removeRecipient", address];
}

/** Changes the sender. */
export function changeSender(address: string): EditCall {
  return ["changeSender", address];
}

/** Holds the mail. */
export function quarantine(reason: string): EditCall {
  return ["quarantine", reason];
}

/** What a filter does: one edit or several. */
type Edits = EditCall | readonly EditCall[];

/** What a scenario has that is not usual. */
interface More {
  readonly text?: string;
  readonly differs?: Difference;
}

/** The kinds of filters, for scenarios that mix them. */
export const KINDS = [streaming, whole, asked] as const;

/** A scenario that depends on its place in a list. */
export type Listed = (index: number) => ChainScenario;

/** One mail that each filter edits. Who sees it in pieces and who as a whole changes from scenario to scenario. */
export function edited(name: string, first: Edits, second: Edits, third: Edits, more: More = {}): Listed {
  return (index) => {
    const [a, b, c] = [first, second, third].map((edits, n): FilterScript =>
      KINDS[(index + n) % KINDS.length](...listOf(edits))
    );
    const { text, differs } = more;
    return {
      name,
      filters: [a, b, c],
      steps: oneMail(text),
      delivers: 1,
      ...differs === undefined ? {} : { differs },
    };
  };
}

function listOf(edits: Edits): readonly EditCall[] {
  return edits.length === 0 || typeof edits[0] !== "string"
    ? edits as readonly EditCall[]
    : [edits as EditCall];
}

/** Scenarios with their places, named after what they are about. */
export function listed(about: string, scenarios: readonly Listed[]): ChainScenario[] {
  return scenarios.map((scenario, index) => {
    const made = scenario(index);
    return { ...made, name: `${about}: ${made.name}` };
  });
}
