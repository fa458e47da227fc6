import type { Caller } from "../caller.ts";
import { showAge, showBytes, showTable } from "../show.ts";

/** `admin nodes`: who takes part. */
export async function showNodes(caller: Caller): Promise<{ readonly data: unknown; readonly text: string }> {
  const { nodes } = await caller.node.list();
  const { nowMs } = await caller.stats.overview();
  const head = [
    "id",
    "node",
    "operator",
    "life",
    "last sync",
    "offered",
    "held",
    "reserved",
    "copies",
    "leases",
    "quota",
  ];
  const rows = nodes.map((node) => [
    node.id,
    node.name ?? "",
    node.operator ?? "",
    node.life,
    showAge(node.lastSyncMs, nowMs),
    showBytes(node.offeredBytes),
    showBytes(node.heldBytes),
    showBytes(node.reservedBytes),
    node.copies,
    node.openLeases,
    node.quota,
  ]);
  const text =
    rows.length === 0
      ? "No node has joined yet. Make a join token: pnpm admin token create --operator NAME"
      : showTable(head, rows);
  return { data: nodes, text };
}
