import type { Caller } from "../caller.ts";
import { showBytes, showTable } from "../show.ts";

/** `3 online, 1 lost`; what there is none of is left out. */
function counts(named: Readonly<Record<string, number>>): string {
  const parts = Object.entries(named).filter(([, count]) => count > 0);
  return parts.map(([name, count]) => `${count} ${name}`).join(", ") || "none";
}

/** `admin status`: how far the rescue is. */
export async function showStatus(caller: Caller): Promise<{ readonly data: unknown; readonly text: string }> {
  const overview = await caller.stats.overview();
  const { assets, bytes, copies, nodes, leases } = overview;
  const percent = copies.wanted === 0 ? 100 : Math.floor((100 * copies.counting) / copies.wanted);
  const { reassigned, ...ends } = leases;
  const text = showTable(
    ["what", "now"],
    [
      ["copies", `${copies.counting} of ${copies.wanted} (${percent} %)`],
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
  return { data: overview, text };
}
