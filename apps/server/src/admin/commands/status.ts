import type { Caller } from "../caller.ts";
import { showBytes, showTable } from "../show.ts";

type Overview = Awaited<ReturnType<Caller["stats"]["overview"]>>;

/** `3 online, 1 lost`; what there is none of is left out. */
function counts(named: Readonly<Record<string, number>>): string {
  const parts = Object.entries(named).filter(([, count]) => count > 0);
  return parts.map(([name, count]) => `${count} ${name}`).join(", ") || "none";
}

/** Of nothing there is no share. Rounded down, so that 100 % is all of it. */
function share({ counting, wanted }: Overview["copies"]): string {
  return wanted === 0 ? "" : ` (${Math.floor((100 * counting) / wanted)} %)`;
}

/** `admin status`: how far the rescue is. */
export async function showStatus(caller: Caller): Promise<{ readonly data: unknown; readonly text: string }> {
  const overview = await caller.stats.overview();
  return { data: overview, text: describeOverview(overview) };
}

export function describeOverview({ assets, bytes, copies, nodes, leases }: Overview): string {
  const { reassigned, ...ends } = leases;
  return showTable(
    ["what", "now"],
    [
      ["copies", `${copies.counting} of ${copies.wanted}${share(copies)}`],
      [
        "assets",
        `${assets.total}: ${assets.complete} complete, ${assets.open} to do, ${assets.withoutCopy} without a copy`,
      ],
      ["set aside", counts({ gone: assets.gone, review: assets.review, withdrawn: assets.withdrawn })],
      ["bytes", `${showBytes(bytes.copied)} copied, catalog ${showBytes(bytes.catalog)}`],
      ["nodes", counts(nodes)],
      ["leases", counts(ends)],
      ["reassigned", reassigned],
    ],
  );
}
