import assert from "node:assert/strict";
import { test } from "node:test";
import { latin1 } from "../../tests/property/wire.ts";
import { DATA_SIZE, DATA_SIZE_1M, DATA_SIZE_256K, MAX_VERSION, SMFIC, SMFIF, SMFIP } from "./codes.ts";
import { DEFAULT_FRAME_LIMIT } from "./frame.ts";
import {
  agree,
  type Agreement,
  checkAnswer,
  effectiveOffer,
  isSent,
  type Wants,
  wantsReply,
} from "./negotiate.ts";

const ALL_ACTIONS = 0x1ff;
const ALL_PROTOCOL = 0x1fffff;
const MDS = SMFIP.MDS_256K | SMFIP.MDS_1M;
const LISTS = [{ stage: 5, names: latin1("i") }, { stage: 6, names: latin1("i") }];
const EVERYTHING: Wants = { actions: ALL_ACTIONS, protocol: ALL_PROTOCOL, macros: LISTS };

function answer(
  version: number,
  actions: number,
  protocol: number,
  wants: Wants = EVERYTHING,
  limit: number = DEFAULT_FRAME_LIMIT,
): Agreement {
  return agree({ version, actions, protocol }, wants, limit);
}

/** Offers as MTAs make them, and what a filter that wants everything answers. */
const OFFERS: readonly (readonly [
  name: string,
  offer: readonly [version: number, actions: number, protocol: number],
  agreed: readonly [version: number, actions: number, protocol: number],
])[] = [
  ["Sendmail 8.14 and later, Postfix 2.6 and later", [6, 0x1ff, 0x1fffff], [6, 0x1ff, 0x1fffff]],
  ["Postfix, version 4", [4, 0x1ff, 0x37f], [4, 0x0ff, 0x37f]],
  ["Postfix, version 3", [3, 0x1ff, 0x17f], [3, 0x0ff, 0x17f]],
  ["Postfix, version 3 with no_header_reply", [3, 0x1ff, 0x1ff], [3, 0x0ff, 0x1ff]],
  ["Postfix, version 2", [2, 0x1ff, 0x07f], [2, 0x0ff, 0x07f]],
  ["Sendmail 8.13", [2, 0x03f, 0x07f], [2, 0x03f, 0x07f]],
  ["Stalwart", [6, 0x0ff, 0x042], [6, 0x0ff, 0x042]],
  ["version 5, of nobody, counts as 4", [5, 0x1ff, 0x1fffff], [5, 0x0ff, 0x3ff]],
  ["a later version comes down to ours", [7, 0x3ff, 0x3fffff], [6, 0x1ff, 0x1fffff]],
  ["the highest version", [0xffffffff, 0xffffffff, 0xffffffff], [6, 0x1ff, ALL_PROTOCOL | SMFIP.MDS_1M]],
  ["version 2 with flags of version 6", [2, 0x1ff, 0x1fffff], [2, 0x0ff, 0x0ff]],
  ["version 3 with flags of version 6", [3, 0x1ff, 0x1fffff], [3, 0x0ff, 0x1ff]],
  ["version 4 with flags of version 6", [4, 0x1ff, 0x1fffff], [4, 0x0ff, 0x3ff]],
  ["no actions offered: those of version 1", [6, 0, 0x1fffff], [6, 0x00f, 0x1fffff]],
  ["no protocol flags offered: those of version 1", [6, 0x1ff, 0], [6, 0x1ff, 0x03f]],
  ["nothing offered", [2, 0, 0], [2, 0x00f, 0x03f]],
  ["reserved bits", [6, 0xfffffe00, 0xc0000000], [6, 0, 0]],
];

for (const [name, offer, agreed] of OFFERS) {
  test(`offer ${name}`, () => {
    const { version, actions, protocol, macros, dataSize } = answer(...offer);
    assert.deepEqual([version, actions, protocol], agreed);
    assert.equal(macros.length, (actions & SMFIF.SETSYMLIST) !== 0 ? 2 : 0);
    assert.equal(dataSize, (protocol & SMFIP.MDS_1M) !== 0 ? DATA_SIZE_1M : DATA_SIZE);
  });
}

for (const version of [0, 1]) {
  test(`version ${version} is refused`, () => {
    assert.throws(() => answer(version, 0xf, 0x3f), {
      name: "ProtocolError",
      code: "bad-value",
      message: `Cannot negotiate: the MTA offers version ${version}, the oldest supported is 2`,
    });
  });
}

/** The first version that knows a protocol flag. */
const SINCE: Readonly<Record<keyof typeof SMFIP, number>> = {
  NOCONNECT: 2,
  NOHELO: 2,
  NOMAIL: 2,
  NORCPT: 2,
  NOBODY: 2,
  NOHDRS: 2,
  NOEOH: 2,
  NR_HDR: 2,
  NOUNKNOWN: 3,
  NODATA: 4,
  SKIP: 6,
  RCPT_REJ: 6,
  NR_CONN: 6,
  NR_HELO: 6,
  NR_MAIL: 6,
  NR_RCPT: 6,
  NR_DATA: 6,
  NR_UNKN: 6,
  NR_EOH: 6,
  NR_BODY: 6,
  HDR_LEADSPC: 6,
  MDS_256K: 6,
  MDS_1M: 6,
};

for (const [name, since] of Object.entries(SINCE)) {
  const flag = SMFIP[name as keyof typeof SMFIP];
  test(`SMFIP_${name} is known since version ${since}, and only answered where wanted and offered`, () => {
    // One other flag goes along: an offer of none at all would count as that of version 1.
    const other = flag === SMFIP.NOHELO ? SMFIP.NOCONNECT : SMFIP.NOHELO;
    for (let version = 2; version <= MAX_VERSION; version++) {
      assert.equal(
        (effectiveOffer({ version, actions: 1, protocol: flag | other }).protocol & flag) !== 0,
        version >= since,
      );
      if ((flag & MDS) !== 0) continue;
      const wants = { actions: 0, protocol: flag, macros: [] };
      assert.equal(
        answer(version, 1, flag | other, wants).protocol,
        version >= since ? flag : 0,
        `version ${version}`,
      );
      assert.equal(answer(version, 1, other, wants).protocol, 0, "not offered");
      assert.equal(answer(version, 1, flag | other, { ...wants, protocol: 0 }).protocol, 0, "not wanted");
    }
  });
}

for (const [name, flag] of Object.entries(SMFIF)) {
  test(`SMFIF_${name} is only answered where wanted and offered`, () => {
    const other = flag === SMFIF.ADDHDRS ? SMFIF.CHGBODY : SMFIF.ADDHDRS;
    const wants = { actions: flag, protocol: 0, macros: [] };
    for (let version = 2; version <= MAX_VERSION; version++) {
      // Macro lists lie behind the three words; an MTA before version 6 insists on 12 bytes.
      const known = flag !== SMFIF.SETSYMLIST || version === 6;
      assert.equal(answer(version, flag | other, 1, wants).actions, known ? flag : 0, `version ${version}`);
      assert.equal(answer(version, other, 1, wants).actions, 0, "not offered");
      assert.equal(answer(version, flag | other, 1, { ...wants, actions: 0 }).actions, 0, "not wanted");
    }
  });
}

test("macro lists go only with SETSYMLIST, wanted and offered, and version 6", () => {
  assert.deepEqual(answer(6, 0x1ff, 0x1fffff).macros, LISTS);
  assert.deepEqual(answer(6, 0x0ff, 0x1fffff).macros, []);
  assert.deepEqual(answer(4, 0x1ff, 0x37f).macros, []);
  assert.deepEqual(answer(6, 0x1ff, 0x1fffff, { ...EVERYTHING, actions: 0xff }).macros, []);
});

const SIZES: readonly (readonly [offered: number, limit: number, flag: number, size: number])[] = [
  [0, DEFAULT_FRAME_LIMIT, 0, DATA_SIZE],
  [SMFIP.MDS_256K, DEFAULT_FRAME_LIMIT, SMFIP.MDS_256K, DATA_SIZE_256K],
  [SMFIP.MDS_1M, DEFAULT_FRAME_LIMIT, SMFIP.MDS_1M, DATA_SIZE_1M],
  [MDS, DEFAULT_FRAME_LIMIT, SMFIP.MDS_1M, DATA_SIZE_1M],
  [MDS, DATA_SIZE_1M + 1, SMFIP.MDS_1M, DATA_SIZE_1M],
  [MDS, DATA_SIZE_1M, SMFIP.MDS_256K, DATA_SIZE_256K],
  [SMFIP.MDS_1M, DATA_SIZE_1M, 0, DATA_SIZE],
  [MDS, DATA_SIZE_256K + 1, SMFIP.MDS_256K, DATA_SIZE_256K],
  [MDS, DATA_SIZE_256K, 0, DATA_SIZE],
  [MDS, 70_000, 0, DATA_SIZE],
];

for (const [offered, limit, flag, size] of SIZES) {
  test(`data size: offered 0x${offered.toString(16)} with a frame limit of ${limit} gives ${size}`, () => {
    const agreed = answer(6, 0x1ff, ALL_PROTOCOL | offered, { ...EVERYTHING, protocol: 0 }, limit);
    assert.equal(agreed.protocol, flag);
    assert.equal(agreed.dataSize, size);
    // A frame of that size, its length counting the code, has to pass the reader.
    if (flag !== 0) assert(size + 1 <= limit);
    assert.equal(
      answer(4, 0x1ff, 0x37f | offered, EVERYTHING, limit).dataSize,
      DATA_SIZE,
      "only version 6 knows it",
    );
  });
}

test("an answer is never more than the offer, and passes the check that MTAs make", () => {
  for (const [, [version, actions, protocol]] of OFFERS) {
    const agreed = answer(version, actions, protocol);
    const offer = { version, actions: actions || 0xf, protocol: protocol || 0x3f };
    assert.equal(agreed.actions & ~offer.actions, 0);
    assert.equal(agreed.protocol & ~offer.protocol, 0);
    assert(agreed.protocol >= 0 && agreed.actions >= 0);
    checkAnswer(offer, agreed);
  }
});

const OFFER = { version: 6, actions: 0x0f, protocol: 0x3f };
const REFUSED:
  readonly (readonly [name: string, version: number, actions: number, protocol: number, message: RegExp])[] =
    [
      ["a version above the offer", 7, 0, 0, /answers version 7 to an offer of 6/],
      ["version 1", 1, 0, 0, /answers version 1/],
      ["an action too many", 6, 0x10, 0, /actions 0x10 and protocol flags 0x0 that were not offered/],
      ["a protocol flag too many", 6, 0, 0x40, /actions 0x0 and protocol flags 0x40 that/],
      ["the highest protocol flag", 6, 0, 0x80000000, /protocol flags 0x80000000 that/],
    ];

for (const [name, version, actions, protocol, message] of REFUSED) {
  test(`checkAnswer refuses ${name}`, () => {
    assert.throws(() => checkAnswer(OFFER, { version, actions, protocol }), {
      name: "ProtocolError",
      code: "bad-value",
      message,
    });
  });
}

test("checkAnswer takes subsets and older versions; Sendmail lets version 0 pass", () => {
  for (const version of [0, 2, 3, 4, 5, 6]) checkAnswer(OFFER, { version, actions: 0x05, protocol: 0x21 });
});

/** The flags of each command, and the version that brought it. */
const COMMANDS:
  readonly (readonly [code: keyof typeof SMFIC, not: number, noReply: number, since: number])[] = [
    ["CONNECT", SMFIP.NOCONNECT, SMFIP.NR_CONN, 2],
    ["HELO", SMFIP.NOHELO, SMFIP.NR_HELO, 2],
    ["MAIL", SMFIP.NOMAIL, SMFIP.NR_MAIL, 2],
    ["RCPT", SMFIP.NORCPT, SMFIP.NR_RCPT, 2],
    ["DATA", SMFIP.NODATA, SMFIP.NR_DATA, 4],
    ["UNKNOWN", SMFIP.NOUNKNOWN, SMFIP.NR_UNKN, 3],
    ["HEADER", SMFIP.NOHDRS, SMFIP.NR_HDR, 2],
    ["EOH", SMFIP.NOEOH, SMFIP.NR_EOH, 2],
    ["BODY", SMFIP.NOBODY, SMFIP.NR_BODY, 2],
  ];

for (const [name, not, noReply, since] of COMMANDS) {
  const code = SMFIC[name];
  test(`SMFIC_${name}: sent and answered unless its own flag says otherwise`, () => {
    assert.equal(wantsReply(code, 0), true);
    assert.equal(wantsReply(code, 0xffffffff & ~noReply), true);
    assert.equal(wantsReply(code, noReply), false);
    for (let version = 2; version <= 6; version++) {
      assert.equal(isSent(code, version, 0), version >= since, `version ${version}`);
      assert.equal(isSent(code, version, 0xffffffff & ~not), version >= since);
      assert.equal(isSent(code, version, not), false);
    }
  });
}

test("options and end of message are always answered; macros, abort and quit never", () => {
  for (const protocol of [0, 0xffffffff]) {
    for (const code of [SMFIC.OPTNEG, SMFIC.BODYEOB]) assert.equal(wantsReply(code, protocol), true);
    for (const code of [SMFIC.MACRO, SMFIC.ABORT, SMFIC.QUIT, SMFIC.QUIT_NC]) {
      assert.equal(wantsReply(code, protocol), false);
      assert.equal(isSent(code, 2, protocol), true);
    }
    assert.equal(isSent(SMFIC.BODYEOB, 2, protocol), true);
  }
});
