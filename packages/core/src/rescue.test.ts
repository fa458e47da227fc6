/* oxlint-disable vitest/no-conditional-expect -- a property asks more of some cases than of others */
/* oxlint-disable eslint/no-restricted-globals -- the platform's dates are what ours are compared with */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TRUST_LEVELS, compareVersions, judgeRescue, judgeVersions, weighCopies } from "./rescue.ts";
import type { CopyOnNode, RescueReport, Trust, VersionedCopy } from "./rescue.ts";
import { aCopy, aVersionedCopy, nodeId, operatorId, refusalOf } from "./testing.ts";

const sha256 = "a".repeat(64);
const report: RescueReport = { sizeBytes: 10, sha256, digest: null };

describe("judging a report", () => {
  test("without a declared digest it is claimed, whether a size is declared or not", () => {
    expect(judgeRescue({ sizeBytes: null, digest: null }, report)).toBe("claimed");
    expect(judgeRescue({ sizeBytes: 10, digest: null }, report)).toBe("claimed");
  });

  test("a declared SHA-256 is compared with the one every report has", () => {
    expect(judgeRescue({ sizeBytes: 10, digest: { algorithm: "sha256", hex: sha256 } }, report)).toBe("verified");
  });

  test("another declared digest is compared with the one computed for it", () => {
    const digest = { algorithm: "sha1", hex: "b".repeat(40) } as const;
    expect(judgeRescue({ sizeBytes: null, digest }, { ...report, digest })).toBe("verified");
  });

  test("git's id of a file passes for a declared SHA-1, and for nothing else", () => {
    const hex = "b".repeat(40);
    const gitReport = { ...report, digest: { algorithm: "git-sha1", hex } } as const;
    expect(judgeRescue({ sizeBytes: null, digest: { algorithm: "sha1", hex } }, gitReport)).toBe("verified");
    const other = { sizeBytes: null, digest: { algorithm: "sha1", hex: "c".repeat(40) } } as const;
    expect(refusalOf(() => judgeRescue(other, gitReport)).code).toBe("DIGEST_MISMATCH");
    const md5 = { sizeBytes: null, digest: { algorithm: "md5", hex: hex.slice(8) } } as const;
    expect(
      refusalOf(() => judgeRescue(md5, { ...gitReport, digest: { algorithm: "git-sha1", hex: hex.slice(8) } })).code,
    ).toBe("DIGEST_MISMATCH");
  });

  test.each([9, 11])("%d bytes where 10 are declared are refused, with both sizes", (sizeBytes) => {
    const refusal = refusalOf(() => judgeRescue({ sizeBytes: 10, digest: null }, { ...report, sizeBytes }));
    expect(refusal.code).toBe("SIZE_MISMATCH");
    expect(refusal.details).toEqual({ declared: 10, reported: sizeBytes });
  });

  test("a declared size of 0 is a size", () => {
    expect(refusalOf(() => judgeRescue({ sizeBytes: 0, digest: null }, report)).code).toBe("SIZE_MISMATCH");
  });

  test.each([
    ["a wrong SHA-256", { algorithm: "sha256", hex: "f".repeat(64) }, report, sha256],
    ["no digest of the declared kind", { algorithm: "md5", hex: "c".repeat(32) }, report, null],
    [
      "a digest of another kind",
      { algorithm: "md5", hex: "c".repeat(32) },
      { ...report, digest: { algorithm: "sha1", hex: "c".repeat(32) } },
      null,
    ],
    [
      "a wrong digest of the declared kind",
      { algorithm: "md5", hex: "c".repeat(32) },
      { ...report, digest: { algorithm: "md5", hex: "d".repeat(32) } },
      "d".repeat(32),
    ],
  ] as const)("%s is refused, with both digests", (_case, digest, wrong, reported) => {
    const refusal = refusalOf(() => judgeRescue({ sizeBytes: 10, digest }, wrong));
    expect(refusal.code).toBe("DIGEST_MISMATCH");
    expect(refusal.details).toEqual({ algorithm: digest.algorithm, declared: digest.hex, reported });
  });

  test("the size is looked at before the digest: it says more about what went wrong", () => {
    const declared = { sizeBytes: 11, digest: { algorithm: "sha256", hex: "f".repeat(64) } } as const;
    expect(refusalOf(() => judgeRescue(declared, report)).code).toBe("SIZE_MISMATCH");
  });
});

function copy(
  node: number,
  operator: number,
  bytes: "same" | "other" | "third",
  trust: CopyOnNode["trust"] = "claimed",
) {
  const hex = { same: "a", other: "b", third: "c" }[bytes].repeat(64);
  return aCopy({ nodeId: nodeId(node), operatorId: operatorId(operator), sha256: hex, trust });
}

/** `node:trust`, with a minus where the copy does not count. */
function weighed(...copies: CopyOnNode[]): string[] {
  return weighCopies(copies).map(({ nodeId: node, trust, counts }) => `${counts ? "" : "-"}${node}:${trust}`);
}

describe("weighing the copies of one asset", () => {
  test("no copies, no answer", () => {
    expect(weighed()).toEqual([]);
  });

  test("one copy counts, on its node's word", () => {
    expect(weighed(copy(1, 1, "same"))).toEqual(["1:claimed"]);
  });

  test("verified copies count whatever their number", () => {
    expect(weighed(copy(1, 1, "same", "verified"), copy(2, 1, "same", "verified"))).toEqual([
      "1:verified",
      "2:verified",
    ]);
  });

  test("two operators with the same bytes agree", () => {
    expect(weighed(copy(1, 1, "same"), copy(2, 2, "same"))).toEqual(["1:agreed", "2:agreed"]);
  });

  test("two nodes of one operator do not make an agreement", () => {
    expect(weighed(copy(1, 1, "same"), copy(2, 1, "same"))).toEqual(["1:claimed", "2:claimed"]);
  });

  test("the same digest with another size is another content", () => {
    expect(weighed(copy(1, 1, "same"), { ...copy(2, 2, "same"), sizeBytes: 11 })).toEqual(["1:claimed", "-2:claimed"]);
  });

  test("of two that disagree, the lower node's counts until a third breaks the tie", () => {
    expect(weighed(copy(10, 1, "same"), copy(9, 2, "other"))).toEqual(["-10:claimed", "9:claimed"]);
    expect(weighed(copy(10, 1, "same"), copy(9, 2, "other"), copy(11, 3, "same"))).toEqual([
      "10:agreed",
      "-9:claimed",
      "11:agreed",
    ]);
  });

  test("operators are counted, not nodes: one operator's many are outvoted by two", () => {
    expect(
      weighed(copy(1, 1, "same"), copy(2, 1, "same"), copy(3, 1, "same"), copy(4, 2, "other"), copy(5, 3, "other")),
    ).toEqual(["-1:claimed", "-2:claimed", "-3:claimed", "4:agreed", "5:agreed"]);
  });

  test("an agreement whose other half is gone is one node's word again", () => {
    expect(weighed(copy(1, 1, "same", "agreed"))).toEqual(["1:claimed"]);
  });

  const anyCopies = fc
    .uniqueArray(fc.integer({ min: 1, max: 20 }), { maxLength: 8 })
    .chain((nodes) =>
      fc.tuple(
        ...nodes.map((node) =>
          fc
            .tuple(
              fc.integer({ min: 1, max: 4 }),
              fc.constantFrom("same", "other", "third"),
              fc.constantFrom(...TRUST_LEVELS),
            )
            .map(([operator, bytes, trust]) => copy(node, operator, bytes, trust)),
        ),
      ),
    );

  test("the order of the copies does not matter", () => {
    const shuffled = anyCopies.chain((copies) =>
      fc.record({
        copies: fc.constant(copies),
        other: fc.shuffledSubarray(copies, { minLength: copies.length, maxLength: copies.length }),
      }),
    );
    fc.assert(
      fc.property(shuffled, ({ copies, other }) => {
        expect(weighed(...other).toSorted()).toEqual(weighed(...copies).toSorted());
      }),
      { numRuns: 1000 },
    );
  });

  test("one content counts among the unverified, and it is never held by fewer operators than another", () => {
    fc.assert(
      fc.property(anyCopies, (copies) => {
        const answers = weighCopies(copies);
        expect(answers.map((answer) => answer.nodeId)).toEqual(copies.map((one) => one.nodeId));
        const unverified = copies.filter((one) => one.trust !== "verified");
        const operatorsOf = (hex: string): number =>
          new Set(unverified.filter((one) => one.sha256 === hex).map((one) => one.operatorId)).size;
        const counting = new Set<string>();
        for (const [index, one] of copies.entries()) {
          const { trust, counts } = answers[index] ?? { trust: null, counts: false };
          const isVerified = one.trust === "verified";
          if (counts && !isVerified) counting.add(one.sha256);
          expect(trust === "verified").toBe(isVerified);
          expect(counts || !isVerified).toBe(true);
          expect(trust === "agreed").toBe(!isVerified && counts && operatorsOf(one.sha256) >= 2);
        }
        expect(counting.size).toBe(unverified.length === 0 ? 0 : 1);
        const most = Math.max(0, ...unverified.map((one) => operatorsOf(one.sha256)));
        for (const hex of counting) expect(operatorsOf(hex)).toBe(most);
      }),
      { numRuns: 1000 },
    );
  });
});

const MONDAY = "Mon, 02 Mar 2026 10:00:00 GMT";
const TUESDAY = "Tue, 03 Mar 2026 10:00:00 GMT";

type Facts = Partial<Omit<VersionedCopy, "nodeId" | "operatorId" | "sha256">> & { readonly operator?: number };

/** On node `node` of the operator of the same number; the bytes are told by one letter. */
function versioned(node: number, bytes: string, { operator = node, ...facts }: Facts = {}): VersionedCopy {
  const who = { nodeId: nodeId(node), operatorId: operatorId(operator) };
  return aVersionedCopy({ ...who, sha256: bytes.repeat(64), ...facts });
}

describe("comparing the versions of two copies", () => {
  test.each([
    ["the same bytes, whatever the headers", "a", { etag: '"1"' }, { etag: '"2"' }, "same"],
    ["no headers", "b", {}, {}, "unknown"],
    ["a header that only one of them has", "b", { etag: '"1"', lastModified: MONDAY }, {}, "unknown"],
    ["headers that have nothing in common", "b", { etag: '"1"' }, { lastModified: MONDAY }, "unknown"],
    ["another ETag", "b", { etag: '"1"' }, { etag: '"2"' }, "other"],
    ["the same strong ETag", "b", { etag: '"1"' }, { etag: '"1"' }, "corrupt"],
    ["the same weak ETag", "b", { etag: 'W/"1"' }, { etag: 'W/"1"' }, "unknown"],
    ["a weak ETag beside the same strong one", "b", { etag: 'W/"1"' }, { etag: '"1"' }, "unknown"],
    ["another weak ETag", "b", { etag: 'W/"1"' }, { etag: 'W/"2"' }, "other"],
    ["ETags tell upper case from lower", "b", { etag: '"a"' }, { etag: '"A"' }, "other"],
    ["another Last-Modified", "b", { lastModified: MONDAY }, { lastModified: TUESDAY }, "other"],
    ["the same Last-Modified", "b", { lastModified: MONDAY }, { lastModified: MONDAY }, "corrupt"],
    ["a date that is none", "b", { lastModified: "yesterday" }, { lastModified: MONDAY }, "unknown"],
    ["a month that is none", "b", { lastModified: MONDAY.replace("Mar", "Foo") }, { lastModified: MONDAY }, "unknown"],
    [
      "the same ETag, another date",
      "b",
      { etag: '"1"', lastModified: MONDAY },
      { etag: '"1"', lastModified: TUESDAY },
      "other",
    ],
    [
      "another ETag, the same date",
      "b",
      { etag: '"1"', lastModified: MONDAY },
      { etag: '"2"', lastModified: MONDAY },
      "other",
    ],
    [
      "the same weak ETag and date",
      "b",
      { etag: 'W/"1"', lastModified: MONDAY },
      { etag: 'W/"1"', lastModified: MONDAY },
      "corrupt",
    ],
  ] as const)("%s", (_case, bytes, one, other, expected) => {
    const [a, b] = [versioned(1, "a", one), versioned(2, bytes, other)];
    expect(compareVersions(a, b)).toBe(expected);
    expect(compareVersions(b, a)).toBe(expected);
  });

  test("the same digest with another size is another content", () => {
    expect(compareVersions(versioned(1, "a"), versioned(2, "a", { sizeBytes: 11 }))).toBe("unknown");
  });
});

/** `node:trust standing`, with a minus where the copy does not count. */
function judged(...copies: VersionedCopy[]): string[] {
  return judgeVersions(copies).copies.map(
    ({ nodeId: node, trust, counts, standing }) => `${counts ? "" : "-"}${node}:${trust} ${standing}`,
  );
}

describe("judging the versions of an asset", () => {
  test("no copies, no versions, and nothing to break a tie about", () => {
    expect(judgeVersions([])).toEqual({ copies: [], versions: [], tieBreakWanted: false });
  });

  test("one copy is the newest version on its node's word", () => {
    expect(judgeVersions([versioned(1, "a")])).toEqual({
      copies: [{ nodeId: nodeId(1), trust: "claimed", counts: true, standing: "current" }],
      versions: [[nodeId(1)]],
      tieBreakWanted: false,
    });
  });

  test("other bytes under another ETag are a new version: the older one is kept and does not count", () => {
    const copies = [
      versioned(1, "a", { etag: '"1"' }),
      versioned(2, "a", { etag: '"1"' }),
      versioned(3, "b", { etag: '"2"', firstSeenAtMs: 5 }),
    ];
    expect(judged(...copies)).toEqual(["-1:claimed outdated", "-2:claimed outdated", "3:claimed current"]);
    expect(judgeVersions(copies)).toMatchObject({ versions: [["3"], ["1", "2"]], tieBreakWanted: false });
  });

  test("the newest is the one modified last, also if it was seen first", () => {
    const newest = versioned(1, "a", { lastModified: TUESDAY });
    expect(judged(newest, versioned(2, "b", { lastModified: MONDAY, firstSeenAtMs: 5 }))).toEqual([
      "1:claimed current",
      "-2:claimed outdated",
    ]);
  });

  test("modified in the same second and told apart by ETag, the one seen later is the newer", () => {
    const both = { lastModified: MONDAY };
    const copies = [
      versioned(1, "a", { ...both, etag: '"1"' }),
      versioned(2, "b", { ...both, etag: '"2"', firstSeenAtMs: 5 }),
    ];
    expect(judged(...copies)).toEqual(["-1:claimed outdated", "2:claimed current"]);
  });

  test("without a Last-Modified a version is as old as when it was first seen, by whichever node", () => {
    const seenAtMs = Date.parse(MONDAY);
    const later = versioned(3, "b", { lastModified: TUESDAY, etag: '"2"', firstSeenAtMs: seenAtMs });
    const copies = [
      versioned(1, "a", { etag: '"1"', firstSeenAtMs: seenAtMs + 3 * 86_400_000 }),
      versioned(2, "a", { etag: '"1"', firstSeenAtMs: seenAtMs }),
    ];
    expect(judgeVersions([...copies, later]).versions).toEqual([["3"], ["1", "2"]]);
    expect(judgeVersions([...copies.slice(0, 1), later]).versions).toEqual([["1"], ["3"]]);
  });

  test("two that disagree under the same validators: both disputed, one counts for now, a tie-break is wanted", () => {
    const copies = [versioned(2, "a", { etag: '"1"' }), versioned(1, "b", { etag: '"1"' })];
    expect(judged(...copies)).toEqual(["-2:claimed disputed", "1:claimed disputed"]);
    expect(judgeVersions(copies)).toMatchObject({ versions: [["1", "2"]], tieBreakWanted: true });
  });

  test("the third breaks the tie: who is alone under the same validators is corrupt", () => {
    const etag = { etag: '"1"' };
    const copies = [versioned(2, "a", etag), versioned(1, "b", etag), versioned(3, "a", etag)];
    expect(judged(...copies)).toEqual(["2:agreed current", "-1:claimed corrupt", "3:agreed current"]);
    expect(judgeVersions(copies).tieBreakWanted).toBe(false);
  });

  test("without validators who is alone stays disputed: it may have been another version", () => {
    const copies = [versioned(2, "a"), versioned(1, "b"), versioned(3, "a")];
    expect(judged(...copies)).toEqual(["2:agreed current", "-1:claimed disputed", "3:agreed current"]);
  });

  test("two nodes of one operator break no tie, and neither do two against two", () => {
    expect(
      judgeVersions([versioned(1, "a"), versioned(2, "b"), versioned(3, "a", { operator: 1 })]).tieBreakWanted,
    ).toBe(true);
    const even = [versioned(1, "a"), versioned(2, "b"), versioned(3, "a"), versioned(4, "b")];
    expect(judgeVersions(even).tieBreakWanted).toBe(true);
    expect(judgeVersions([...even, versioned(5, "b")]).tieBreakWanted).toBe(false);
  });

  test("verified bytes settle it, however many have others; the same bytes count with them", () => {
    const etag = { etag: '"1"' };
    const copies = [
      versioned(1, "a", etag),
      versioned(2, "a", etag),
      versioned(3, "b", { ...etag, trust: "verified" }),
      versioned(4, "b", etag),
    ];
    expect(judged(...copies)).toEqual([
      "-1:agreed corrupt",
      "-2:agreed corrupt",
      "3:verified current",
      "4:claimed current",
    ]);
    expect(judgeVersions(copies).tieBreakWanted).toBe(false);
  });

  test("a copy without headers is compared with the newest version, and is disputed there", () => {
    const copies = [
      versioned(1, "a", { etag: '"1"' }),
      versioned(2, "b", { etag: '"2"', firstSeenAtMs: 5 }),
      versioned(3, "c"),
    ];
    expect(judgeVersions(copies)).toMatchObject({ versions: [["2", "3"], ["1"]], tieBreakWanted: true });
  });

  test("a copy without headers knows its version by others with its bytes", () => {
    const copies = [
      versioned(1, "a"),
      versioned(2, "a", { etag: '"1"' }),
      versioned(3, "b", { etag: '"2"', firstSeenAtMs: 5 }),
    ];
    expect(judged(...copies)).toEqual(["-1:claimed outdated", "-2:claimed outdated", "3:claimed current"]);
  });

  test("a corrupt copy of an outdated version is told from the others; a dispute there wants no tie-break", () => {
    const old = { etag: '"1"' };
    const now = versioned(9, "z", { etag: '"2"', firstSeenAtMs: 5 });
    expect(judged(versioned(1, "a", old), versioned(2, "a", old), versioned(3, "b", old), now)).toEqual([
      "-1:claimed outdated",
      "-2:claimed outdated",
      "-3:claimed corrupt",
      "9:claimed current",
    ]);
    const disputed = [versioned(1, "a", old), versioned(2, "b", old), now];
    expect(judged(...disputed)).toEqual(["-1:claimed outdated", "-2:claimed outdated", "9:claimed current"]);
    expect(judgeVersions(disputed).tieBreakWanted).toBe(false);
  });

  test("days, months and leap years of Last-Modified are counted as everybody else counts them", () => {
    const anySecond = fc.integer({ min: Date.UTC(1601, 0, 1) / 1000, max: Date.UTC(2600, 0, 1) / 1000 });
    fc.assert(
      fc.property(anySecond, anySecond, (a, b) => {
        fc.pre(a !== b);
        const [one, other] = [a, b].map((second, index) =>
          versioned(index + 1, index === 0 ? "a" : "b", { lastModified: new Date(second * 1000).toUTCString() }),
        ) as [VersionedCopy, VersionedCopy];
        expect(compareVersions(one, other)).toBe("other");
        expect(judgeVersions([one, other]).versions).toEqual(a > b ? [["1"], ["2"]] : [["2"], ["1"]]);
        // Exact to the second, against a copy that is as old by the time it was first seen.
        const before = versioned(2, "b", { etag: '"2"', firstSeenAtMs: a * 1000 - 1 });
        const at = { ...one, etag: '"1"' };
        expect(judgeVersions([at, before]).versions).toEqual([["1"], ["2"]]);
        const after = { ...before, firstSeenAtMs: a * 1000 + 1 };
        expect(judgeVersions([at, after]).versions).toEqual([["2"], ["1"]]);
      }),
      { numRuns: 1000 },
    );
  });

  const anyVersioned = fc.uniqueArray(
    fc
      .record({
        node: fc.integer({ min: 1, max: 20 }),
        operator: fc.integer({ min: 1, max: 4 }),
        bytes: fc.constantFrom("a", "b", "c"),
        trust: fc.constantFrom(...TRUST_LEVELS),
        etag: fc.constantFrom(null, null, '"1"', '"2"', 'W/"1"'),
        lastModified: fc.constantFrom(null, null, MONDAY, TUESDAY),
        firstSeenAtMs: fc.nat({ max: 3 }),
      })
      .map(({ node, bytes, ...facts }) => versioned(node, bytes, facts)),
    { maxLength: 8, selector: (one) => one.nodeId },
  );

  test("the order of the copies does not matter, each is in one version, and only the newest counts", () => {
    const shuffled = anyVersioned.chain((copies) =>
      fc.record({
        copies: fc.constant(copies),
        other: fc.shuffledSubarray(copies, { minLength: copies.length, maxLength: copies.length }),
      }),
    );
    fc.assert(
      fc.property(shuffled, ({ copies, other }) => {
        const answer = judgeVersions(copies);
        const again = judgeVersions(other);
        expect(judged(...other).toSorted()).toEqual(judged(...copies).toSorted());
        expect([again.versions, again.tieBreakWanted]).toEqual([answer.versions, answer.tieBreakWanted]);
        expect(answer.copies.map((one) => one.nodeId)).toEqual(copies.map((one) => one.nodeId));
        expect(answer.versions.flat().toSorted()).toEqual(copies.map((one) => one.nodeId).toSorted());

        const [newest = []] = answer.versions;
        const byNode = new Map(copies.map((one) => [one.nodeId, one]));
        const contentOf = (node: (typeof newest)[number]): string => byNode.get(node)?.sha256 ?? "";
        const counting = answer.copies.filter((one) => one.counts);
        if (copies.length > 0) expect(counting.length).toBeGreaterThan(0);
        for (const { nodeId: node, counts, standing } of answer.copies) {
          if (counts) expect(newest).toContain(node);
          expect(standing === "outdated").toBe(!newest.includes(node) && standing !== "corrupt");
          if (standing === "current") expect(counts).toBe(true);
          if (standing === "corrupt") expect(counts).toBe(false);
        }
        const isSettled = !answer.tieBreakWanted;
        if (isSettled)
          expect(new Set(counting.map((one) => contentOf(one.nodeId))).size).toBe(Math.min(1, copies.length));
        expect(answer.copies.some((one) => one.standing === "current")).toBe(isSettled && copies.length > 0);
        // Copies of one version are told apart by nothing.
        for (const version of answer.versions) {
          for (const one of version) {
            for (const two of version) {
              const [a, b] = [byNode.get(one), byNode.get(two)];
              if (a !== undefined && b !== undefined) expect(compareVersions(a, b)).not.toBe("other");
            }
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("where no copy has headers, and none is verified, copies are worth what weighCopies says", () => {
    const plain = anyVersioned.map((copies) =>
      copies.map((one): VersionedCopy => ({ ...one, etag: null, lastModified: null, trust: "claimed" })),
    );
    fc.assert(
      fc.property(plain, (copies) => {
        const weights = judgeVersions(copies).copies.map(({ nodeId: node, trust, counts }) => ({
          nodeId: node,
          trust,
          counts,
        }));
        expect(weights).toEqual(weighCopies(copies));
      }),
      { numRuns: 1000 },
    );
  });
});

test("a size, a time or a level of trust that is none is refused, by the name of the field", () => {
  const attempts: [string, () => unknown][] = [
    ["sizeBytes", () => judgeRescue({ sizeBytes: null, digest: null }, { ...report, sizeBytes: -1 })],
    ["sizeBytes", () => weighCopies([aCopy({ sizeBytes: 0.5 })])],
    ["trust", () => weighCopies([aCopy({ trust: "sure" as Trust })])],
    ["sizeBytes", () => compareVersions(aVersionedCopy(), aVersionedCopy({ sizeBytes: Number.NaN }))],
    ["trust", () => judgeVersions([aVersionedCopy({ trust: "sure" as Trust })])],
    ["firstSeenAtMs", () => judgeVersions([aVersionedCopy({ firstSeenAtMs: Number.NaN })])],
  ];
  for (const [field, attempt] of attempts) {
    const refusal = refusalOf(attempt);
    expect([refusal.code, refusal.details["field"]]).toEqual(["INPUT_INVALID", field]);
  }
});
