import { DispatcherError } from "@dispatcher/core";
import type { NodeId } from "@dispatcher/core";
import type { z } from "zod";
import { appendEvents } from "../db/queries/events.ts";
import { readLatestAssignments } from "../db/queries/rescues.ts";
import type { LatestAssignment } from "../db/queries/rescues.ts";
import { BYTES_PER_MB } from "../wire/rescue.ts";
import type { ReportedAsset } from "../wire/rescue.ts";
import type { Dependencies } from "./dependencies.ts";
import type { SyncNode } from "./dispatch-assets.ts";
import { requireOffer, restSync } from "./rest-node.ts";
import type { SyncCall } from "./sync/desk.ts";
import type { SyncReply } from "./sync/sync-nodes.ts";

type Reported = z.output<typeof ReportedAsset>;
type Finished = SyncCall["input"]["finished"][number];
type Failed = SyncCall["input"]["failed"][number];

export type Verdict =
  | { readonly outcome: "inserted" | "updated" }
  | { readonly outcome: "refused"; readonly code: string; readonly reason: string };

/**
 * What a node has to say of assets it was given, as reports on its leases: the answers are in the order of `assets`, and the
 * same report again is `updated`. A success is judged as an agent's: it has to tell the SHA-256 of the stored bytes, for
 * without it nobody could compare the copy with the catalog or with others. One that is refused leaves its lease as it is, so
 * that it may be reported again with what was missing. Where others can get a copy is kept in the log of events.
 * @throws DispatcherError NODE_RETIRED, KEY_INVALID
 */
export async function recordDownloads(
  dependencies: Dependencies,
  syncNode: SyncNode,
  call: {
    readonly nodeId: NodeId;
    readonly message: string;
    readonly assets: readonly Reported[];
    readonly network: string | null;
  },
): Promise<readonly Verdict[]> {
  const { nodeId, message, assets } = call;
  const { db } = dependencies;
  const offer = await requireOffer(dependencies, nodeId);
  await keepMagnetLinks(dependencies, nodeId, assets);
  const latest = await readLatestAssignments(db.sql, nodeId, [...new Set(assets.map((asset) => asset.asset_id))]);
  const assignmentByAsset = new Map(latest.map((assignment) => [assignment.assetId, assignment]));
  const said: (Verdict | { readonly report: Finished } | { readonly report: Failed })[] = [];
  const finished: Finished[] = [];
  const failed: Failed[] = [];
  const told = new Set<string>();
  for (const asset of assets) {
    const verdict = told.has(asset.asset_id)
      ? refused(new DispatcherError("INPUT_INVALID", `Asset ${asset.asset_id} is reported twice in this call.`))
      : toReport(asset, assignmentByAsset.get(asset.asset_id), message);
    told.add(asset.asset_id);
    said.push(verdict);
    if (!("report" in verdict)) continue;
    if ("code" in verdict.report) failed.push(verdict.report);
    else finished.push(verdict.report);
  }
  const isSaid = finished.length + failed.length > 0;
  const { offeredBytes, marginBytes, freeBytes } = offer;
  const { reports } = await syncNode(
    restSync(dependencies, call, { offeredBytes, marginBytes, freeBytes, ...(isSaid ? { finished, failed } : {}) }),
  );
  const answerById = new Map(reports.map((answer) => [answer.assignmentId, answer]));
  return said.map((verdict) =>
    "report" in verdict ? toVerdict(answerById.get(verdict.report.assignmentId)) : verdict,
  );
}

function refused({ code, message }: DispatcherError): Verdict {
  return { outcome: "refused", code, reason: message };
}

function toVerdict(answer: SyncReply["reports"][number] | undefined): Verdict {
  if (answer === undefined) throw new Error("A report was not answered.");
  const { outcome, code = "INTERNAL", message = "" } = answer;
  if (outcome === "rejected") return { outcome: "refused", code, reason: message };
  return { outcome: outcome === "accepted" ? "inserted" : "updated" };
}

/** What an asset's line says about the node's lease of it, or what is to be answered without asking anybody. */
function toReport(
  asset: Reported,
  assignment: LatestAssignment | undefined,
  message: string,
): Verdict | { readonly report: Finished } | { readonly report: Failed } {
  if (assignment === undefined) {
    return refused(new DispatcherError("ASSIGNMENT_UNKNOWN", `Asset ${asset.asset_id} was never given to this node.`));
  }
  const { id: assignmentId, term } = assignment;
  if (asset.status === "FAIL") {
    const code = asset.failure_code ?? "CONNECT_FAILED";
    return { report: { assignmentId, term, code, message: message === "" ? "reported over REST" : message } };
  }
  if (assignment.state === "stored") return compareWithCopy(asset, assignment);
  const { sha256 } = asset;
  const sizeBytes = sizeOf(asset);
  if (sha256 === undefined || sizeBytes === null) {
    const missing = sha256 === undefined ? "no sha256" : "no size";
    return refused(
      new DispatcherError("RESCUE_UNPROVEN", `The report of asset ${asset.asset_id} tells ${missing} of the copy.`),
    );
  }
  const flow = { etag: null, lastModified: null, fetchMs: 0, fetchedBytes: 0 };
  return { report: { assignmentId, term, sizeBytes, sha256, digest: asset.digest ?? null, ...flow } };
}

/** The copy is on record already. Other bytes than those are another thing than the same report again. */
function compareWithCopy({ asset_id: id, sha256 }: Reported, copy: LatestAssignment): Verdict {
  if (sha256 === undefined || sha256 === copy.sha256) return { outcome: "updated" };
  return refused(
    new DispatcherError("DIGEST_MISMATCH", `The copy of asset ${id} on record has the SHA-256 ${copy.sha256}.`),
  );
}

/** Bytes are not made up: a size in MB counts where it is a whole number of them. */
function sizeOf({ size_bytes: bytes, size_mb: mb }: Reported): number | null {
  if (bytes !== undefined) return bytes;
  const fromMb = typeof mb === "number" ? mb * BYTES_PER_MB : Number.NaN;
  return Number.isSafeInteger(fromMb) ? fromMb : null;
}

/** Before they are judged: who was killed in between reports again, and who was refused has a copy all the same. */
async function keepMagnetLinks({ db }: Dependencies, nodeId: NodeId, assets: readonly Reported[]): Promise<void> {
  const links = assets.flatMap(({ asset_id: assetId, magnet_link: magnetLink, status }) =>
    magnetLink === "" || status !== "SUCCESS" ? [] : [{ assetId, magnetLink }],
  );
  if (links.length === 0) return;
  await appendEvents(db.sql, [{ kind: "copies.told", actor: "node", nodeId, detail: { magnetLinks: links } }]);
}
