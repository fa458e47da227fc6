import { compareIds } from "@dispatcher/core";
import type { AssetId } from "@dispatcher/core";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { aCopy } from "../test/support/a-home.ts";
import type { Copy } from "./assignment-journal.ts";
import { composePages } from "./send-inventory.ts";

const copyOf = (id: number): Copy => aCopy(Buffer.from("x"), { assetId: String(id) as AssetId });

test("a node without copies tells one page, which covers all assets", () => {
  expect(composePages([], { asOfMs: 7 })).toEqual([
    { page: 1, pages: 1, asOfMs: 7, afterId: null, upToId: null, copies: [] },
  ]);
});

test("pages follow one another without a gap, and each holds what lies in its range", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: 1, max: 10_000 })),
      fc.integer({ min: 1, max: 9 }),
      (ids, pageCopies) => {
        const copies = ids.map(copyOf).toSorted((a, b) => compareIds(a.assetId, b.assetId));
        const pages = composePages(copies, { asOfMs: 7, pageCopies });
        expect(pages.flatMap((page) => page.copies.map(({ assetId }) => assetId))).toEqual(
          copies.map(({ assetId }) => assetId),
        );
        expect(pages.map(({ afterId }) => afterId)).toEqual([null, ...pages.slice(0, -1).map(({ upToId }) => upToId)]);
        expect(pages.at(-1)).toMatchObject({ page: pages.length, pages: pages.length, upToId: null });
        for (const { upToId, copies: listed } of pages.slice(0, -1)) expect(listed.at(-1)?.assetId).toBe(upToId);
        for (const { copies: listed } of pages) expect(listed.length).toBeLessThanOrEqual(pageCopies);
      },
    ),
  );
});
