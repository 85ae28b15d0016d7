/** Scenarios of three filters: header edits that meet in odd ways, or in an odd header. */
import { add, change, edited, insert, KINDS, listed, remove } from "./chain_edits.ts";
import type { EditCall, FilterScript } from "./chain_filter.ts";
import { type ChainScenario, type Difference, message, oneMail } from "./chain_scenario.ts";
import { sample, textOf } from "./scenario.ts";

/** Fields of a long header. */
const many = Array.from({ length: 120 }, (_, n) => ["X-Many", String(n + 1)] as const);
/** The usual mail with other spacing after the colons. */
const spaced = message().replace("X-Test: one", "X-Test:one").replace("X-Test: two", "X-Test:   two ");

/** Edits without a plan, but the same each time: names and numbers meet in ways that nobody thinks of. */
function random(seed: number) {
  // a linear congruential generator (Numerical Recipes); its high bits are the good ones
  let state = seed;
  const below = (limit: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * limit);
  };
  const name = () => ["X-Test", "X-Test", "x-a", "X-A", "Subject"][below(5)];
  const edits = (who: string) =>
    Array.from({ length: 2 + below(4) }, (_, n): EditCall => {
      const value = `${who}${n}`;
      switch (below(6)) {
        case 0:
          return add(name(), value);
        case 1:
          return insert(below(2), name(), value);
        case 2:
        case 3:
          return change(name(), value, 1 + below(4));
        case 4:
          return remove(name(), 1 + below(3));
        default:
          return remove(name());
      }
    });
  return edited(`edits without a plan, ${seed}`, edits("a"), edits("b"), edits("c"));
}

const INSERTS = [0, 1, 2].map((n) => insert(0, "X-Test", `top ${n}`));

const SLOTS: Difference = {
  why:
    "Sendmail counts removed fields where it inserts, so that with separate filters a field lands too high",
  like: "postfix",
};

const tangled = [
  edited(
    "inserted with a name that the mail has, all of that name removed, one added",
    INSERTS[0],
    remove("X-Test"),
    add("X-Test", "3"),
  ),
  edited(
    "three inserted, the middle one removed, one inserted at 2",
    INSERTS,
    remove("X-Test", 2),
    insert(2, "X-C", "3"),
    { differs: SLOTS },
  ),
  edited(
    "inserted at 0, removed, inserted at 1: below the MTA's own Received",
    insert(0, "X-A", "1"),
    remove("X-A", 1),
    insert(1, "X-C", "3"),
    { differs: SLOTS },
  ),
  edited(
    "two inserted at 0, one removed, inserted at 1: above the MTA's own Received",
    [insert(0, "X-A", "1"), insert(0, "X-A", "2")],
    remove("X-A", 1),
    insert(1, "X-C", "3"),
    { differs: SLOTS },
  ),
  edited(
    "three inserted, all five of the name changed, some removed",
    INSERTS,
    [1, 2, 3, 4, 5].map((nth): EditCall => change("X-Test", `changed ${nth}`, nth)),
    [remove("X-Test", 5), remove("X-Test", 3), remove("X-Test", 1)],
  ),
  edited(
    "fields at the top removed, inserted at 1 and at 2",
    [remove("Received"), remove("From")],
    insert(1, "X-B", "2"),
    insert(2, "X-C", "3"),
  ),
  ...Array.from({ length: 14 }, (_, seed) => random(seed)),
];

const long = [
  edited(
    "a long header: fields of one name are removed, changed and inserted among many",
    [10, 20, 30, 40].map((nth): EditCall => remove("X-Many", nth)),
    [change("X-Many", "ten is eleven", 10), change("X-Many", "the last", 116)],
    [insert(0, "X-Many", "0"), remove("X-Many", 2), add("X-Many", "end")],
    { text: message("many", many) },
  ),
  edited(
    "many edits of each",
    Array.from({ length: 40 }, (_, n): EditCall => add(`X-A${n % 3}`, String(n))),
    Array.from({ length: 13 }, (_, n): EditCall => change("X-A1", `changed ${n}`, n + 1)),
    [remove("X-A0"), remove("X-A2", 13), insert(1, "X-A2", "top")],
  ),
];

/** Filters with and without the blank after the colon. */
const blanks = [
  [true, false, false],
  [false, true, false],
  [true, false, true],
  [true, true, true],
].map((leading) => (index: number): ChainScenario => {
  const edits: readonly (readonly EditCall[])[] = [
    [add("X-A", " one"), change("X-Test", "none", 1)],
    [insert(0, "X-B", "none"), insert(0, "X-B", "  two"), change("X-A", " changed")],
    [change("X-Test", "  three", 2), add("X-C", "\n folded")],
  ];
  const [a, b, c] = edits.map((edits, n): FilterScript => ({
    ...KINDS[(index + n) % KINDS.length](...edits),
    ...leading[n] ? { leadingSpace: true } : {},
  }));
  const names = ["first", "second", "third"].filter((_name, n) => leading[n]);
  return {
    name: `leading blanks belong to the value for the ${names.join(", ")}`,
    filters: [a, b, c],
    steps: oneMail(spaced),
    delivers: 1,
  };
});

/** Mails whose header is not as it should be. */
const odd = [
  edited("a mail without a header", add("X-A", "1"), insert(0, "X-B", "2"), add("X-C", "3"), {
    text: "\nbody only\n",
  }),
  edited("a mail of nothing at all", add("X-A", "1"), insert(0, "X-B", "2"), add("X-C", "3"), { text: "" }),
  edited("a mail of one field", change("Subject", "1"), insert(1, "X-B", "2"), remove("Subject"), {
    text: "Subject: x\n\n",
  }),
  edited(
    "a header with bytes that are no text",
    change("X-Odd", "\xfe\xff", 2),
    add("X-B", "2"),
    remove("X-Odd", 1),
    {
      text: textOf(
        [...sample.fields, ["X-Odd", "\xff\xc3("], ["X-Odd", ""], ["x-odd", " x  "]],
        "\x80\xff\n",
      ),
    },
  ),
];

/** All of them. */
export const tangledScenarios: readonly ChainScenario[] = listed("header", [
  ...tangled,
  ...long,
  ...blanks,
  ...odd,
]);
