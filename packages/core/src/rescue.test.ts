import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TRUST_LEVELS, judgeRescue, weighCopies } from "./rescue.ts";
import type { CopyOnNode, RescueReport } from "./rescue.ts";
import { aCopy, nodeId, operatorId, refusalOf } from "./testing.ts";

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
