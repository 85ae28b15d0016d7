/**
 * Stages of a mail, and sets of them.
 *
 * @module
 */

/** The stages at which something becomes known, in the order of the protocol; each is also the name of a hook. */
export const STAGES = [
  "connect",
  "helo",
  "mail",
  "rcpt",
  "data",
  "endOfHeaders",
  "body",
  "endOfMessage",
] as const;
/** A stage of {@linkcode STAGES}. */
export type Stage = (typeof STAGES)[number];

/** A set of stages, without duplicates, in the order of the protocol. */
export type StageSet = readonly Stage[];

/** The set of these stages. */
export function only(...stages: readonly Stage[]): StageSet {
  return STAGES.filter((stage) => stages.includes(stage));
}

/** The stages that are in one of the sets. */
export function union(sets: readonly StageSet[]): StageSet {
  return only(...sets.flat());
}

/**
 * Where several things become known, each at one of the stages of its set: the stages at which the last of them can.
 * None if one of the things never becomes known; the first stage if there are no things.
 */
export function knownWith(sets: readonly StageSet[]): StageSet {
  if (sets.some((set) => set.length === 0)) return [];
  if (sets.length === 0) return only(STAGES[0]);
  const first = Math.max(...sets.map((set) => STAGES.indexOf(set[0])));
  return union(sets).filter((stage) => STAGES.indexOf(stage) >= first);
}
