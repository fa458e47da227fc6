import { DispatcherError, explain, explainAsset, independentCopies, openSlots, urgencyOf } from "@dispatcher/core";
import type { Candidate, OriginSlots, RoundSettings } from "@dispatcher/core";
import type { z } from "zod";
import { readLateFailures } from "../db/queries/assignments.ts";
import { ledgerOf, readFleet, readPresentNodes } from "../db/queries/nodes.ts";
import { readOrigins } from "../db/queries/origins.ts";
import { findAsset, readHolders } from "../db/queries/standings.ts";
import type { AssetFacts } from "../db/queries/standings.ts";
import type { AssetExplainInput, AssetExplainOutput } from "../wire/asset.ts";
import { leftOut, toHolders, urgencyFactsOf } from "./asset-standing.ts";
import type { Dependencies } from "./dependencies.ts";
import { avoidMsOf } from "./feeder/feeder.ts";
import { roundSettingsOf, toAsker } from "./grant-assignments.ts";
import { originBudgetOf } from "./settings.ts";

/** Nodes that are asked at most; of a larger fleet those that joined first. */
const NODES_MAX = 10_000;

/**
 * Who could take an asset now and what keeps the others, by the very rules of a round and the rows as they are; with a node,
 * every rule about the two of them. Changes nothing. O(nodes that are there).
 * @throws DispatcherError ASSET_UNKNOWN, NODE_UNKNOWN
 */
export async function explainAssetNow(
  dependencies: Dependencies,
  { id, nodeId }: z.output<typeof AssetExplainInput>,
): Promise<z.output<typeof AssetExplainOutput>> {
  const { db, config, vetting } = dependencies;
  const { sql } = db;
  const asset = await findAsset(sql, id);
  if (asset === null) throw new DispatcherError("ASSET_UNKNOWN", `There is no asset ${id}.`, { details: { id } });
  const { nowMs, retryAtMs } = asset;
  const rows = await readHolders(sql, [id], vetting);
  const holders = toHolders(rows);
  const late = await readLateFailures(sql, { assetIds: [id], withinMs: avoidMsOf(config) });
  const facts = urgencyFactsOf(asset, independentCopies(holders));
  const candidate: Candidate = {
    assetId: id,
    originId: asset.originId,
    scheme: asset.scheme,
    tags: [],
    sizeBytes: asset.sizeBytes,
    urgency: urgencyOf(facts, nowMs).value,
    copies: asset.copies,
    holders,
    avoid: [...new Set([...late.map((row) => row.nodeId), ...leftOut(rows)])],
    originFetches: 0,
    seeds: 0,
  };
  const fleet = await readFleet(sql, vetting);
  const nodes = await readPresentNodes(sql, { vetting, limit: NODES_MAX, also: nodeId ?? null });
  const askers = nodes.map((node) =>
    toAsker(
      dependencies,
      fleet,
      { ...node, ledger: ledgerOf(node), openLeases: node.openIds.length },
      { nodeId: node.id, wants: 1, openBytes: node.openBytes },
    ),
  );
  const [stored] = await readOrigins(sql, [asset.originId], originBudgetOf(config));
  const origins: OriginSlots[] =
    stored === undefined ? [] : [{ originId: stored.id, ...openSlots(stored.origin, nowMs) }];
  const settings: RoundSettings = {
    ...roundSettingsOf(dependencies, fleet),
    unknownSizeBytes: config.DISPATCHER_UNKNOWN_SIZE_BYTES,
    originFetchesMax: null,
  };
  const all = explainAsset({ candidate, facts, askers, origins, settings, nowMs });
  const asker = nodeId === undefined ? undefined : askers.find((one) => one.nodeId === nodeId);
  if (nodeId !== undefined && asker === undefined) {
    throw new DispatcherError("NODE_UNKNOWN", `There is no node ${nodeId}.`, { details: { id: nodeId } });
  }
  const one = asker === undefined ? null : explain({ nowMs, asker, candidate, origin: origins[0], settings });
  const restsUntilMs = retryAtMs !== null && retryAtMs > nowMs ? Math.ceil(retryAtMs) : null;
  const aside = changeOfState(asset, restsUntilMs);
  return {
    id,
    state: asset.state,
    restsUntilMs,
    urgency: all.urgency,
    terms: all.terms === null ? null : [...all.terms],
    changesAtMs: all.changesAtMs,
    copies: all.copies,
    nodesAsked: askers.length,
    chosen: aside === null ? all.chosen : null,
    eligible: aside === null ? [...all.eligible] : [],
    refused: [...all.refused],
    change: aside ?? all.change,
    node:
      one === null
        ? null
        : {
            nodeId: one.nodeId,
            verdict: aside === null ? one.verdict : "refused",
            primary: one.primary,
            refusals: [...one.refusals],
            findings: [...one.findings],
          },
  };
}

/** What keeps an asset from all nodes before any rule is asked; null for nothing. */
function changeOfState({ state }: AssetFacts, restsUntilMs: number | null): string | null {
  if (state === "withdrawn") return "Restore it: it was withdrawn.";
  if (state === "review") return "Look at why it could not be fetched, then requeue it: it waits in review.";
  if (state === "gone") return "Requeue it if it is back: its origin did not have it.";
  return restsUntilMs === null ? null : "Wait: it rests after a failure.";
}
